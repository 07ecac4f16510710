"""A SearchParameter resource → the parameters that it defines, or what is wrong with it.

https://hl7.org/fhir/R4/searchparameter.html. Beyond the rules of the resource itself, a definition must be one that
this server can keep: an expression that means something for each of its types, values that can be searched as its type
asks, a code that means nothing else there. Otherwise it is refused as a whole, with an issue for each thing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from django.utils.translation import gettext_lazy as _

from accounts.texts import lazy_text
from fhir.definitions.search_parameters import SearchParameter, all_parameters
from fhir.definitions.structure import RESOURCE_TYPES, is_subtype
from fhir.exceptions import Issue, Unprocessable
from fhir.fhirpath import FhirPathError, FhirPathSyntaxError, compile_many, compile_typed
from fhir.ids import hash64

from .catalogue import Parameter, draft, official_parameters
from .paths import branches

# (type, code) → the id of the SearchParameter that has taken it, if one has.
Taken = Callable[[str, str], str | None]
Parts = tuple[tuple[str, str, str], ...]

USED = ("active", "draft")
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_\-]{0,63}")
_ANY = ("Resource", "DomainResource")

# What an expression may lead to, by the type of the parameter (https://hl7.org/fhir/R4/search.html#table).
VALUES: Mapping[str, frozenset[str]] = {
    "number": frozenset({"integer", "decimal", "positiveInt", "unsignedInt"}),
    "date": frozenset({"date", "dateTime", "instant", "Period", "Timing"}),
    "string": frozenset(
        {"string", "markdown", "code", "id", "HumanName", "Address", "CodeableConcept", "Coding", "Annotation"}
        | {"ContactPoint", "Identifier"}
    ),
    "token": frozenset(
        {"code", "id", "string", "boolean", "uri", "url", "oid", "uuid", "canonical", "Coding", "CodeableConcept"}
        | {"Identifier", "ContactPoint"}
    ),
    "reference": frozenset({"Reference", "canonical", "uri"}),
    "quantity": frozenset({"Quantity", "Age", "Count", "Distance", "Duration", "Money", "Range"}),
    "uri": frozenset({"uri", "url", "canonical", "oid", "uuid"}),
}
_NUMBERS = frozenset({"date", "number", "quantity"})


def define(resource: Mapping[str, Any], taken: Taken, by_url: Mapping[str, SearchParameter]) -> tuple[Parameter, ...]:
    """The parameter of each type that a SearchParameter speaks of; () if it defines nothing that is not served anyway.

    `by_url` knows further definitions, for the parts of composites. Raises Unprocessable.
    """
    if resource.get("status") not in USED or resource.get("url") in _official():
        return ()
    issues = _frame(resource)
    types, unknown = _types(resource)
    issues += unknown
    if not issues:
        parts = _parts(resource, by_url, issues)
        found = [_of_type(resource, name, parts, taken, issues) for name in types]
    if issues:
        raise Unprocessable(issues=issues)
    return tuple(parameter for parameter in found if parameter is not None)


def stored_name(resource: Mapping[str, Any]) -> str:
    """What the rows of a definition lie under: another one for other rows, so that old rows are never found."""
    meaning = [resource.get(key) for key in ("id", "type", "expression", "target", "component")]
    return f"{resource['code']}~{hash64(repr(meaning)) & (1 << 48) - 1:012x}"


def described(resource: Mapping[str, Any]) -> SearchParameter:
    """The definition as those of the specification are kept."""
    return SearchParameter(
        code=resource["code"],
        type=resource["type"],
        base=tuple(resource.get("base", ())),
        expression=resource.get("expression", ""),
        url=resource["url"],
        targets=tuple(resource.get("target", ())),
        parts=(),
    )


@cache
def _official() -> Mapping[str, SearchParameter]:
    return {parameter.url: parameter for parameter in all_parameters()}


def _issue(issue_type: str, text: Any, element: str, **shown: Any) -> Issue:
    return Issue(issue_type, lazy_text(text, **shown), (f"SearchParameter.{element}",))


# --- what can be said without looking at a type


def _frame(resource: Mapping[str, Any]) -> list[Issue]:
    found = []
    code, kind = resource.get("code", ""), resource.get("type", "")
    if not _CODE.fullmatch(code):
        text = _("The code “%(code)s” cannot be written in a search: write letters, digits, - and _, a letter first.")
        found.append(_issue("value", text, "code", code=str(code)[:100]))
    if kind not in VALUES and kind != "composite":
        text = _("A parameter of type “%(type)s” cannot be served from its definition alone.")
        found.append(_issue("not-supported", text, "type", type=str(kind)[:100]))
    if not resource.get("expression"):
        text = _("Without an expression there is nothing to search; give one, or the status “retired”.")
        found.append(_issue("required", text, "expression"))
    if kind == "composite" and len(resource.get("component", ())) < 2:
        text = _("A composite parameter has at least two components.")
        found.append(_issue("required", text, "component"))
    return found


def _types(resource: Mapping[str, Any]) -> tuple[tuple[str, ...], list[Issue]]:
    """The resource types that `base` stands for, and what is wrong with it."""
    types: dict[str, None] = {}
    issues = []
    for position, name in enumerate(resource.get("base", ())):
        if name in _ANY:
            types.update(dict.fromkeys(t for t in RESOURCE_TYPES if is_subtype(t, name)))
        elif name in RESOURCE_TYPES:
            types[name] = None
        else:
            text = _("FHIR R4 has no resource type “%(type)s”.")
            issues.append(_issue("value", text, f"base[{position}]", type=str(name)[:100]))
    return tuple(types), issues


def _parts(resource: Mapping[str, Any], by_url: Mapping[str, SearchParameter], issues: list[Issue]) -> Parts:
    """(code, type, expression) of the components of a composite."""
    if resource["type"] != "composite":
        return ()
    found = []
    for position, component in enumerate(resource["component"]):
        url = component.get("definition", "").split("|")[0]
        known = _official().get(url) or by_url.get(url)
        if known is None:
            text = _("There is no search parameter “%(url)s” here.")
            issues.append(_issue("not-found", text, f"component[{position}].definition", url=url[:200]))
        else:
            found.append((known.code, known.type, component["expression"]))
    kinds = tuple(kind for _code, kind, _expression in found)
    if not issues and not _can_be_joined(kinds):
        text = _("Composites join a token with one or two numbers, dates or quantities, with a string, with a token or "
                 "with a reference; not %(kinds)s.")  # fmt: skip
        issues.append(_issue("not-supported", text, "component", kinds=", ".join(kinds)))
    return tuple(found)


def _can_be_joined(kinds: tuple[str, ...]) -> bool:
    if not _NUMBERS.isdisjoint(kinds):
        return kinds[0] == "token" and len(kinds) <= 3 and _NUMBERS.issuperset(kinds[1:])
    return kinds == ("token", "string") or (len(kinds) == 2 and set(kinds) <= {"token", "reference"})


# --- what is said of one type


def _of_type(
    resource: Mapping[str, Any], resource_type: str, parts: Parts, taken: Taken, issues: list[Issue]
) -> Parameter | None:
    """The parameter; None where the type has it already, or where something is wrong with it."""
    if _clashes(resource, resource_type, taken, issues):
        return None
    expression = resource["expression"]
    before = len(issues)
    try:
        compile_typed(expression, resource_type)
        compile_many({"x": expression}, resource_type)
        known = branches(expression, resource_type)
    except FhirPathError as error:
        text = _("The expression cannot be used for %(type)s: %(why)s")
        issues.append(_issue("invalid", text, "expression", type=resource_type, why=_why(error)))
        return None
    if not known:
        text = _("The expression finds nothing in %(type)s.")
        issues.append(_issue("value", text, "expression", type=resource_type))
        return None
    made = draft(described(resource), resource_type, -1)
    made = replace(made, parts=parts, stored_as=(stored_name(resource),), url=resource["url"])
    _check_values(made, issues)
    return made if len(issues) == before else None


def _clashes(resource: Mapping[str, Any], resource_type: str, taken: Taken, issues: list[Issue]) -> bool:
    """Whether the type has the code already: as the same (no problem), or as something else (one)."""
    code = resource["code"]
    official = official_parameters(resource_type).get(code)
    if official is not None:
        if official.type != resource["type"] or not _same(official, resource["expression"]):
            text = _("In FHIR R4 %(type)s has a search parameter “%(code)s” already, which means something else.")
            issues.append(_issue("duplicate", text, "code", type=resource_type, code=code))
        return True
    other = taken(resource_type, code)
    if other is not None:
        text = _("SearchParameter/%(id)s defines “%(code)s” for %(type)s already.")
        issues.append(_issue("duplicate", text, "code", type=resource_type, code=code, id=other))
        return True
    return False


def _same(official: Parameter, expression: str) -> bool:
    try:
        return {b.node for b in branches(expression, official.resource_type)} == {b.node for b in official.branches}
    except FhirPathError:
        return False


def _why(error: FhirPathError) -> str:
    # The compiler's own words are English, as FHIRPath is; they quote nothing but the expression.
    return str(error)[:300] if isinstance(error, FhirPathSyntaxError) else str(error)[:200]


def _check_values(parameter: Parameter, issues: list[Issue]) -> None:
    if parameter.type == "composite":
        _check_composite(parameter, issues)
        return
    types = parameter.types
    wanted = VALUES[parameter.type]
    if types and all(b.types for b in parameter.branches) and not any(_fits(name, wanted) for name in types):
        text = _("The expression leads to %(found)s in %(type)s, which cannot be searched as %(kind)s.")
        shown = {"found": ", ".join(sorted(types)), "type": parameter.resource_type, "kind": parameter.type}
        issues.append(_issue("value", text, "expression", **shown))


def _fits(name: str, wanted: frozenset[str]) -> bool:
    # A path may end at an extension: then its value counts.
    return name in wanted or name == "Extension" or any(is_subtype(name, each) for each in wanted)


def _check_composite(parameter: Parameter, issues: list[Issue]) -> None:
    types = parameter.types
    if len(types) != 1 or not all(branch.types for branch in parameter.branches):
        text = _("The expression of a composite must lead to elements of one type in %(type)s.")
        issues.append(_issue("value", text, "expression", type=parameter.resource_type))
        return
    (context,) = types
    for position, (_code, _kind, expression) in enumerate(parameter.parts):
        try:
            compile_many({"x": expression}, context)
            compile_typed(expression, context)
        except (FhirPathError, KeyError) as error:
            text = _("The expression cannot be used for %(type)s: %(why)s")
            shown = {"type": context, "why": str(error)[:200]}
            issues.append(_issue("invalid", text, f"component[{position}].expression", **shown))
