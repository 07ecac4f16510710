"""One search parameter of a query string → a clause: modifiers, chains, `_has`, types of parameters.

https://hl7.org/fhir/R4/search.html#modifiers, #chaining, #has
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from django.utils.translation import gettext_lazy as _

from accounts.scopes import Scope
from accounts.texts import lazy_text
from fhir.definitions.structure import TYPE_NUMBER
from fhir.exceptions import Forbidden, InvalidRequest

from . import hashing
from .catalogue import Parameter, parameters, patient_decides
from .clauses import AllOf, AnyOf, Clause, Ids, Present, Terms
from .links import Chain, Has
from .parameters import composite, date, number, quantity, reference, special, string, token, uri
from .parameters.text import bad_modifier, bad_value, split, unescape
from .rows import Words
from .terminology import MODIFIERS as TERMINOLOGY
from .terminology import Terminology
from .terminology import clause as coded

_NEGATIVE = ("not", "not-in")
_DEEPEST = 8
_MOST_TARGETS = 24
# Parameters of all resources that have rules of their own.
SPECIAL = ("_has", "_list", "_type", "_filter", "_text", "_content")
# Refused by name, never ignored.
UNSUPPORTED = ("_query",)

_PARSERS: dict[str, Callable[[Parameter, str | None, list[str]], Clause]] = {
    "token": token.parse,
    "date": date.parse,
    "number": number.parse,
    "quantity": quantity.parse,
    "uri": uri.parse,
    "composite": composite.parse,
    "special": special.parse,
}


class UnknownParameter(InvalidRequest):
    """A parameter that the type does not have: refused, or ignored if the client is lenient."""


@dataclass(frozen=True, slots=True)
class Reader:
    """What is needed to understand a parameter: whose question it is, the own address, how deep in a chain we are.

    `filtering` is set inside `_filter`, which has comparisons of texts that no modifier gives. `custom` gathers the
    parameters of clients that are asked for. Without a `terminology`, modifiers that need one are refused.
    """

    scope: Scope
    base_url: str
    terminology: Terminology | None = None
    depth: int = 0
    filtering: bool = False
    custom: list[Parameter] = field(default_factory=list, compare=False)

    def deeper(self, name: str) -> Reader:
        """For the next link of a chain. Raises InvalidRequest at the stated bound."""
        if self.depth >= _DEEPEST:
            text = _("A chain may have %(limit)d links.")
            raise InvalidRequest(lazy_text(text, limit=_DEEPEST), code="too-costly", expression=name[:100])
        return replace(self, depth=self.depth + 1)

    def require(self, resource_type: str) -> None:
        """Raises Forbidden for a type that the caller may not search: matching it would tell of its content."""
        if not self.scope.allows(resource_type, "s"):
            text = _("Your role does not allow a search that looks at %(type)s.")
            raise Forbidden(lazy_text(text, type=resource_type))


def clause(resource_type: str, name: str, value: str, reader: Reader) -> Clause:
    """The clause of `name=value`. Raises UnknownParameter, InvalidRequest, Forbidden."""
    if name.startswith("_has:"):
        return _has(resource_type, name, value, reader)
    if name in _RULES:
        return _RULES[name](resource_type, value, reader)
    if name.partition(":")[0] in UNSUPPORTED:
        text = _("The parameter “%(name)s” is not supported by this server.")
        raise InvalidRequest(lazy_text(text, name=name[:100]), code="not-supported", expression=name[:100])
    head, dot, rest = name.partition(".")
    code, _colon, modifier = head.partition(":")
    parameter = parameters(resource_type).get(code)
    if parameter is None:
        raise _unknown(resource_type, code)
    if parameter.custom:
        reader.custom.append(parameter)
    if dot:
        return _chain(parameter, modifier or None, rest, value, reader)
    if modifier == "missing":
        return _missing(parameter, value)
    found = _plain(parameter, modifier or None, value, reader)
    return AllOf((found, *indexed([parameter]))) if parameter.custom and modifier in _NEGATIVE else found


def indexed(asked: Iterable[Parameter]) -> tuple[Clause, ...]:
    """What a resource has to be beside the opposite of a condition: indexed for the parameters of clients in it.

    While they are being built nothing is known of the others, and the answer says that they are not found.
    """
    marks = {p.code: hashing.presence(p.resource_type, p.stored_as[0]) for p in asked if p.custom}
    return tuple(Terms(tuple(sorted(both)), code) for code, both in marks.items())


def _unknown(resource_type: str, code: str) -> UnknownParameter:
    text = _("%(type)s has no search parameter “%(code)s”. It has: %(known)s.")
    known = ", ".join([*parameters(resource_type), *(name for name in SPECIAL if name not in UNSUPPORTED)])
    shown = lazy_text(text, type=resource_type, code=code[:100], known=known)
    return UnknownParameter(shown, code="not-supported", expression=code[:100])


def values_of(name: str, value: str) -> list[str]:
    """The alternatives between commas, escapes kept. Raises InvalidRequest for an empty value."""
    found = [item for item in split(value, ",") if item]
    if not found:
        text = _("The parameter “%(code)s” has no value.")
        raise bad_value(name[:100], value, text)
    return found


def _plain(parameter: Parameter, modifier: str | None, value: str, reader: Reader) -> Clause:
    values = values_of(parameter.code, value)
    if parameter.type == "string":
        if modifier is not None and modifier.startswith("$") and not reader.filtering:
            raise bad_modifier(parameter.code, modifier, string.MODIFIERS)
        return string.parse(parameter, modifier, [unescape(item) for item in values])
    if parameter.type == "reference":
        return reference.parse(parameter, modifier, values, reader.base_url)
    if parameter.type == "token" and modifier in TERMINOLOGY and parameter.code != "_id":
        if reader.terminology is None:
            text = _("“%(code)s:%(modifier)s” needs a terminology, which is not at hand here.")
            shown = lazy_text(text, code=parameter.code, modifier=modifier)
            raise InvalidRequest(shown, code="not-supported", expression=parameter.code)
        return coded(parameter, modifier, values, reader.terminology)
    return _PARSERS[parameter.type](parameter, modifier, values)


def _missing(parameter: Parameter, value: str) -> Clause:
    if value not in ("true", "false"):
        text = _("“%(code)s:missing” is true or false, not “%(value)s”.")
        raise bad_value(parameter.code, value, text)
    if parameter.custom:
        present, absent = hashing.presence(parameter.resource_type, parameter.stored_as[0])
        return Terms((present if value == "false" else absent,), parameter.code)
    return Present(parameter.mask, value == "false", parameter.code)


# --- chains


Condition = Callable[[str, Reader], Clause]


def _chain(parameter: Parameter, modifier: str | None, rest: str, value: str, reader: Reader) -> Clause:
    def condition(target: str, deeper: Reader) -> Clause:
        return clause(target, rest, value, deeper)

    return _linked(parameter, modifier, rest, condition, reader)


def chain(resource_type: str, name: str, rest: str, condition: Condition, reader: Reader) -> Clause:
    """A reference `name` (`subject` or `subject:Patient`) to a resource that meets a condition on `rest`.

    `condition` makes the clause for a type that the reference may lead to. Raises as `clause` does.
    """
    code, _colon, modifier = name.partition(":")
    parameter = parameters(resource_type).get(code)
    if parameter is None:
        raise _unknown(resource_type, code)
    return _linked(parameter, modifier or None, rest, condition, reader)


def _linked(parameter: Parameter, modifier: str | None, rest: str, condition: Condition, reader: Reader) -> Clause:
    if parameter.type != "reference":
        text = _("“%(code)s” is no reference, so nothing can be chained to it.")
        raise bad_value(parameter.code, parameter.code, text)
    reader = reader.deeper(f"{parameter.code}.{rest}")
    targets = _targets(parameter, modifier, rest, reader)
    hashes = tuple(hashing.parameter_hash(parameter.resource_type, code) for code in parameter.stored_as)
    decides = patient_decides(parameter.resource_type, parameter.code)
    found: list[Clause] = []
    for target, asked in _conditions(targets, condition, reader):
        if not parameter.types or "Reference" in parameter.types:
            found.append(Chain(hashes, TYPE_NUMBER[target], asked, decides and target == "Patient"))
        if parameter.types != {"Reference"} and "url" in parameters(target):
            found.append(Chain(hashes, TYPE_NUMBER[target], asked, url=hashing.parameter_hash(target, "url")))
    return found[0] if len(found) == 1 else AnyOf(tuple(found))


def _conditions(targets: tuple[str, ...], condition: Condition, reader: Reader) -> list[tuple[str, Clause]]:
    """The rest of a chain for each type that it fits. Raises what the first one raised if it fits none."""
    found, refused = [], None
    for target in targets:
        try:
            found.append((target, condition(target, reader)))
        except (InvalidRequest, Forbidden) as error:
            refused = refused or error
    if refused is not None and (not found or refused.issues[0].code == "too-costly"):
        raise refused
    return found


def _targets(parameter: Parameter, modifier: str | None, rest: str, reader: Reader) -> tuple[str, ...]:
    """The types that a chain goes to: the one named, or each possible one that knows the next parameter."""
    if modifier is not None:
        if modifier not in parameter.targets:
            text = _("“%(code)s” does not refer to “%(value)s”; it refers to: %(known)s.")
            shown = lazy_text(text, code=parameter.code, value=modifier[:100], known=", ".join(parameter.targets))
            raise InvalidRequest(shown, code="not-supported", expression=parameter.code)
        reader.require(modifier)
        return (modifier,)
    code = rest.partition(".")[0].partition(":")[0]
    known = [t for t in parameter.targets if code in SPECIAL or code in parameters(t)]
    if not known:
        text = _("Nothing that “%(code)s” refers to has the search parameter “%(next)s”.")
        shown = lazy_text(text, code=parameter.code, next=code[:100])
        raise InvalidRequest(shown, code="not-supported", expression=parameter.code)
    allowed = tuple(t for t in known if reader.scope.allows(t, "s"))
    if not allowed:
        reader.require(known[0])
    if len(allowed) > _MOST_TARGETS:
        text = _("“%(code)s” refers to many types: name one, as in %(code)s:%(type)s.%(next)s.")
        shown = lazy_text(text, code=parameter.code, type=allowed[0], next=rest[:100])
        raise InvalidRequest(shown, code="too-costly", expression=parameter.code)
    return allowed


def _has(resource_type: str, name: str, value: str, reader: Reader) -> Clause:
    """`_has:Observation:patient:code=x`: an Observation with that code refers here by `patient`."""
    parts = name.split(":", 3)
    source = parts[1]
    if len(parts) < 4 or source not in TYPE_NUMBER:
        text = _("“%(value)s” is not understood: write _has:Type:reference:parameter.")
        raise bad_value("_has", name, text)
    reader = reader.deeper(name)
    reader.require(source)
    link = parameters(source).get(parts[2])
    if link is None:
        raise _unknown(source, parts[2])
    if link.custom:
        reader.custom.append(link)
    if link.type != "reference" or resource_type not in link.targets:
        text = _("“%(code)s” of %(type)s does not refer to %(target)s.")
        shown = lazy_text(text, code=link.code, type=source, target=resource_type)
        raise InvalidRequest(shown, code="not-supported", expression="_has")
    hashes = tuple(hashing.parameter_hash(source, code) for code in link.stored_as)
    condition = clause(source, parts[3], value, reader)
    found: list[Clause] = []
    if not link.types or "Reference" in link.types:
        through_pat = resource_type == "Patient" and patient_decides(source, link.code) and link.targets == ("Patient",)
        found.append(Has(TYPE_NUMBER[source], hashes, through_pat, condition))
    if link.types != {"Reference"} and "url" in parameters(resource_type):
        # By the url that both hold: the same question from either side.
        url = hashing.parameter_hash(resource_type, "url")
        found.append(Chain(hashes, TYPE_NUMBER[source], condition, url=url))
    return found[0] if len(found) == 1 else AnyOf(tuple(found))


# The codes of List.code that make a list the current one of its kind.
_CURRENT = {
    "$current-problems": ("problems", "11450-4"),
    "$current-medications": ("medications", "10160-0"),
    "$current-allergies": ("allergies", "48765-2"),
    "$current-drug-allergies": ("allergies", "48765-2"),
}


def _list(resource_type: str, value: str, reader: Reader) -> Clause:
    """`_list=42`: the items of List/42; `_list=$current-problems`: those of lists that are current.

    https://hl7.org/fhir/R4/search.html#list, https://hl7.org/fhir/R4/lifecycle.html#current
    """
    reader.require("List")
    items = [unescape(item) for item in values_of("_list", value)]
    found = [_current(resource_type, item, reader) for item in items if item.startswith("$")]
    ids = tuple(item.removeprefix("List/") for item in items if not item.startswith("$"))
    if ids:
        found.append(_items(Ids(ids, tuple(hashing.own_term("List", i) for i in ids))))
    return found[0] if len(found) == 1 else AnyOf(tuple(found))


def _items(of_list: Clause) -> Clause:
    return Has(TYPE_NUMBER["List"], (hashing.parameter_hash("List", "item"),), False, of_list)


def _current(resource_type: str, name: str, reader: Reader) -> Clause:
    if name not in _CURRENT:
        text = _("“%(value)s” in “%(code)s” is not a list that this server knows: %(known)s.")
        shown = lazy_text(text, value=name[:100], code="_list", known=", ".join(_CURRENT))
        raise InvalidRequest(shown, code="not-supported", expression="_list")
    code, loinc = _CURRENT[name]
    listed = f"http://terminology.hl7.org/CodeSystem/list-example-codes|{code},http://loinc.org|{loinc}"
    items = _items(AllOf((clause("List", "code", listed, reader), clause("List", "status", "current", reader))))
    if name == "$current-drug-allergies" and resource_type == "AllergyIntolerance":
        return AllOf((items, clause(resource_type, "category", "medication", reader)))
    return items


def _filter(resource_type: str, value: str, reader: Reader) -> Clause:
    from .filter import clause as filter_clause

    return filter_clause(resource_type, value, reader)


def _words(element: str | None, name: str) -> Callable[[str, str, Reader], Clause]:
    """`_text` and `_content`: all words of one of the alternatives (https://hl7.org/fhir/R4/search.html#content)."""

    def read(_resource_type: str, value: str, _reader: Reader) -> Clause:
        found = tuple(tuple(unescape(item).split()) for item in values_of(name, value))
        return Words(element, tuple(words for words in found if words))

    return read


_RULES: dict[str, Callable[[str, str, Reader], Clause]] = {
    "_list": _list,
    "_filter": _filter,
    "_text": _words("text", "_text"),
    "_content": _words(None, "_content"),
}


def common(clauses: list[tuple[int, Clause]]) -> Clause:
    """One clause from that of each type (by number): the same, or all terms together, or each with its type."""
    from .clauses import Terms, Types

    first = clauses[0][1]
    if all(found == first for _number, found in clauses):
        return first
    terms = [found for _number, found in clauses if isinstance(found, Terms)]
    if len(terms) == len(clauses):
        hashes = tuple(sorted({h for found in terms for h in found.hashes}))
        located = all(found.identifiers for found in terms)
        identifiers = tuple(each for found in terms for each in found.identifiers) if located else ()
        return Terms(hashes, terms[0].code, identifiers)
    ids = [found for _number, found in clauses if isinstance(found, Ids)]
    if len(ids) == len(clauses):
        return Ids(ids[0].ids, tuple(h for found in ids for h in found.own_terms))
    return AnyOf(tuple(AllOf((Types((number,)), found)) for number, found in clauses))
