"""The search parameters of each resource type as this server stores and answers them.

Values that one parameter shares with others are stored once: `stored_as` names the parameters under which the rows of
a parameter lie. `combo-code` of Observation lies under `code` and `component-code`, `patient` under `subject`, `name`
under `name`, `family` and `given`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache

from fhir.definitions import search_parameters
from fhir.definitions.compartments import compartment_parameters
from fhir.definitions.structure import RESOURCE_TYPES, is_subtype
from fhir.definitions.value_sets import concepts

from .paths import Branch, branches

# Columns of the resource table hold these; they have neither terms nor rows.
COLUMNS = ("_id", "_lastUpdated")

# The official definition of `relationship` exchanges the expressions of its two parts; that of `characteristic-value`
# names all values, among them quantities, which its second part, a token, cannot find.
_PARTS = {
    ("Group", "characteristic-value"): (
        ("characteristic", "token", "code"),
        ("value", "token", "value.as(CodeableConcept) | value.as(boolean)"),
    ),
    ("DocumentReference", "relationship"): (
        ("relatesto", "reference", "target"),
        ("relation", "token", "code"),
    ),
}
# Parts of names and addresses that are parameters of their own.
_NAME_PARTS = {"family": "family", "given": "given"}
_ADDRESS_PARTS = {
    "city": "address-city",
    "country": "address-country",
    "postalCode": "address-postalcode",
    "state": "address-state",
}
# Two official parameters of Resource are called _id; one of them is an example.
_EXAMPLES = ("http://hl7.org/fhir/SearchParameter/example",)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One search parameter of one resource type.

    `bit` is its bit in column `present`, -1 for a custom one; `targets` the types that a reference may point to;
    `system` the system that elements of type code imply; `single` says that a resource has at most one value; `parts`
    belong to composites: (code, type, expression). `pieces` maps elements of HumanName or Address to the codes they are
    stored under. `url` is that of its definition.
    """

    resource_type: str
    code: str
    type: str
    expression: str
    bit: int
    targets: tuple[str, ...]
    branches: tuple[Branch, ...]
    system: str | None
    single: bool
    parts: tuple[tuple[str, str, str], ...]
    stored_as: tuple[str, ...]
    pieces: Mapping[str, str]
    url: str

    @property
    def custom(self) -> bool:
        """Whether a client has defined it. Then terms and not a bit say whether there is a value."""
        return self.bit < 0

    @property
    def mask(self) -> int:
        """The bit of the parameter, set; none for a custom one."""
        return 0 if self.custom else 1 << self.bit

    @property
    def types(self) -> frozenset[str]:
        """FHIR types of the values, as far as they are known."""
        return frozenset(t for branch in self.branches for t in branch.types)


# Parameters that clients have defined (fhir.search.custom), with the official ones, of the types that have any.
# What is remembered of `parameters` beside its own cache is remembered with `generation`.
_extended: Mapping[str, Mapping[str, Parameter]] = {}
generation = 0


def parameters(resource_type: str) -> Mapping[str, Parameter]:
    """The parameters of a type by code, ordered by code. Raises KeyError for an unknown type."""
    extended = _extended.get(resource_type)
    return official_parameters(resource_type) if extended is None else extended


def extend(custom: Mapping[str, Mapping[str, Parameter]]) -> None:
    """From now on types have these parameters beside the official ones, and no others."""
    global _extended, generation
    _extended = {
        name: dict(sorted({**found, **official_parameters(name)}.items())) for name, found in custom.items() if found
    }
    generation += 1


@cache
def official_parameters(resource_type: str) -> Mapping[str, Parameter]:
    """Those of the specification, by code, ordered by code. Raises KeyError for an unknown type."""
    official = {
        code: p for code, p in search_parameters.parameters(resource_type).items() if p.url not in _EXAMPLES
    } | {"_id": _the_id()}
    codes = sorted(official)
    drafts = {code: draft(official[code], resource_type, bit) for bit, code in enumerate(codes)}
    pieces = {code: _pieces(draft, drafts) for code, draft in drafts.items()}
    stored = {code: _stored_as(draft, drafts, pieces) for code, draft in drafts.items()}
    for _round in range(2):
        stored = {code: _flat(code, stored) for code in codes}
    return {code: _finished(drafts[code], stored[code], pieces[code]) for code in codes}


@cache
def _the_id() -> search_parameters.SearchParameter:
    return next(p for p in search_parameters.all_parameters() if p.code == "_id" and p.url not in _EXAMPLES)


def draft(official: search_parameters.SearchParameter, resource_type: str, bit: int) -> Parameter:
    """The parameter as a definition describes it for one type, stored under its own code."""
    found = branches(official.expression, resource_type)
    return Parameter(
        resource_type=resource_type,
        code=official.code,
        type=official.type,
        expression=official.expression,
        bit=bit,
        targets=_targets(official, found),
        branches=found,
        system=_implied_system(found) if official.type == "token" else None,
        single=len(found) == 1 and found[0].single,
        parts=_PARTS.get((resource_type, official.code), official.parts),
        stored_as=(official.code,),
        pieces={},
        url=official.url,
    )


def _finished(draft: Parameter, stored_as: tuple[str, ...], pieces: Mapping[str, str]) -> Parameter:
    return replace(draft, stored_as=stored_as, pieces=pieces)


def _targets(official: search_parameters.SearchParameter, found: tuple[Branch, ...]) -> tuple[str, ...]:
    if official.type != "reference":
        return ()
    known: dict[str, None] = {}
    for branch in found:
        for target in branch.targets if branch.targets and branch.types else official.targets:
            known.update(dict.fromkeys(RESOURCE_TYPES if target == "Resource" else (target,)))
    return tuple(known) or official.targets or RESOURCE_TYPES


def _implied_system(found: tuple[Branch, ...]) -> str | None:
    """The one system behind elements of type code that are bound to a value set of one system."""
    systems: set[str] = set()
    for branch in found:
        listed = concepts(branch.binding) if branch.binding and branch.types == ("code",) else None
        if listed is None or len(listed) != 1:
            return None
        systems.update(listed)
    return systems.pop() if len(systems) == 1 else None


# --- what is stored under what


def _atoms(parameter: Parameter) -> frozenset[Hashable]:
    """What two parameters have in common if they find the same values."""
    parts = tuple((kind, expression) for _code, kind, expression in parameter.parts)
    return frozenset((branch.node, branch.target, parts) for branch in parameter.branches)


def _stored_as(
    parameter: Parameter, all_of_type: Mapping[str, Parameter], pieces: Mapping[str, Mapping[str, str]]
) -> tuple[str, ...]:
    code = parameter.code
    if not parameter.branches or code in COLUMNS:
        return (code,)
    own = _atoms(parameter)
    others = [p for c, p in all_of_type.items() if c != code and p.type == parameter.type and p.branches]
    twin = next((p.code for p in others if _atoms(p) == own and p.code < code), None)
    if twin is not None:
        return (twin,)
    if pieces[code]:
        return (code, *dict.fromkeys(pieces[code].values()))
    smaller = [p for p in others if _atoms(p) < own]
    if smaller and frozenset().union(*(_atoms(p) for p in smaller)) == own:
        return _covering(own, smaller)
    return (_without_filter(parameter, others) or code,)


def _covering(own: frozenset[Hashable], smaller: Iterable[Parameter]) -> tuple[str, ...]:
    chosen: list[str] = []
    left = own
    for parameter in sorted(smaller, key=lambda p: (-len(_atoms(p)), p.code)):
        if _atoms(parameter) & left:
            chosen.append(parameter.code)
            left -= _atoms(parameter)
    return tuple(chosen)


def _without_filter(parameter: Parameter, others: Iterable[Parameter]) -> str | None:
    """`subject` for a `patient` that is `subject.where(resolve() is Patient)`."""
    if parameter.type != "reference" or not all(branch.target for branch in parameter.branches):
        return None
    own = {branch.node for branch in parameter.branches}
    for other in others:
        if {b.node for b in other.branches} == own and not any(b.target for b in other.branches):
            return other.code
    return None


def _flat(code: str, stored: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Follows parameters that are themselves stored as others."""
    found: dict[str, None] = {}
    for name in stored[code]:
        found.update(dict.fromkeys((name,) if name == code else stored[name]))
    return tuple(found)


def _pieces(parameter: Parameter, all_of_type: Mapping[str, Parameter]) -> Mapping[str, str]:
    types = {t for branch in parameter.branches for t in branch.types}
    if parameter.type != "string" or len(parameter.branches) != 1 or len(types) != 1:
        return {}
    candidates = {"HumanName": _NAME_PARTS, "Address": _ADDRESS_PARTS}.get(types.pop(), {})
    own = parameter.branches[0].node
    return {element: code for element, code in candidates.items() if _is_piece(all_of_type.get(code), own, element)}


def _is_piece(candidate: Parameter | None, whole: object, element: str) -> bool:
    if candidate is None or candidate.type != "string" or len(candidate.branches) != 1:
        return False
    node = candidate.branches[0].node
    return getattr(node, "name", None) == element and getattr(node, "base", None) == whole


# --- the patient


@cache
def patient_decides(resource_type: str, code: str) -> bool:
    """Whether `code`=Patient/x can only be true of resources whose place the patient x decides.

    That is so for the first parameter of the compartment, if a resource has at most one value of it.
    """
    codes = compartment_parameters("Patient", resource_type)
    known = parameters(resource_type)
    if not codes or codes[0] not in known or code not in known or resource_type == "Patient":
        return False
    first, asked = known[codes[0]], known[code]
    return first.single and asked.single and first.stored_as == asked.stored_as


def common_ancestor(types: Iterable[str], base: str) -> bool:
    """Whether all types are kinds of `base`."""
    return all(is_subtype(name, base) for name in types)
