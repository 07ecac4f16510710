"""A query string → a SearchRequest (https://hl7.org/fhir/R4/search.html)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from accounts.scopes import Scope
from accounts.texts import lazy_text
from fhir import summary
from fhir.definitions.structure import RESOURCE_TYPES, TYPE_NUMBER
from fhir.exceptions import InvalidRequest

from . import custom
from .catalogue import Parameter, parameters, patient_decides
from .clauses import Clause
from .conditions import Reader, UnknownParameter, clause, common, values_of
from .parameters.reference import patient_of
from .parameters.text import bad_value
from .request import CONTAINED, CONTAINED_TYPES, TOTALS, Include, SearchRequest, Sort
from .terminology import Terminology, announce

Pairs = Sequence[tuple[str, str]]

# Parameters that shape the answer. Each is understood once; a second one is refused.
RESULT = ("_sort", "_count", "_total", "_summary", "_elements", "_cursor", "_contained", "_containedType", "_explain")
_INCLUDES = {"_include": False, "_revinclude": True}
_GENERAL = ("_format", "_pretty")


@dataclass(slots=True)
class _Draft:
    """What is gathered while the parameters are read."""

    types: tuple[str, ...]
    clauses: list[Clause] = field(default_factory=list)
    charts: list[str] = field(default_factory=list)
    result: dict[str, str] = field(default_factory=dict)
    includes: list[Include] = field(default_factory=list)
    kept: list[tuple[str, str]] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    custom: list[Parameter] = field(default_factory=list)


def read(
    resource_type: str | None,
    pairs: Pairs,
    scope: Scope,
    base_url: str,
    *,
    lenient: bool = False,
    terminology: Terminology | None = None,
) -> SearchRequest:
    """As `parse`, by the parameters that clients have defined up to now: what is not known is looked up anew."""
    custom.refresh(base_url)

    def attempt() -> SearchRequest:
        return parse(resource_type, pairs, scope, base_url, lenient=lenient, terminology=terminology)

    try:
        request = attempt()
    except InvalidRequest:
        if not custom.refresh(now=True):
            raise
        request = attempt()
    if (request.ignored or custom.incomplete(request.custom)) and custom.refresh(now=True):
        request = attempt()
    # Before the rows are looked for: what becomes complete meanwhile was not so for them.
    return replace(request, incomplete=tuple(custom.incomplete(request.custom))) if request.custom else request


def parse(
    resource_type: str | None,
    pairs: Pairs,
    scope: Scope,
    base_url: str,
    *,
    lenient: bool = False,
    terminology: Terminology | None = None,
) -> SearchRequest:
    """What a search of one type, or of the system (None), asks.

    Raises InvalidRequest naming the parameter that is not understood, Forbidden for types that the caller may not see.
    """
    reader = Reader(scope, base_url, terminology)
    draft = _Draft(types=(resource_type,) if resource_type else _types(pairs, scope))
    for name, value in pairs:
        _check_characters(name, value)
    if terminology is not None:
        announce(pairs, terminology)
    for name, value in pairs:
        if name in _GENERAL or (resource_type is None and name == "_type"):
            draft.kept += [] if name in _GENERAL else [(name, value)]
            continue
        try:
            _read(draft, name, value, reader)
        except UnknownParameter:
            if not lenient:
                raise
            draft.ignored.append(name)
            continue
        if name != "_cursor":
            draft.kept.append((name, value))
    draft.custom += reader.custom
    return _finished(draft)


def _check_characters(name: str, value: str) -> None:
    text = name + value
    if text.isascii() and "\x00" not in text:
        return
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidRequest(_("A search parameter holds characters that no text may have."), code="value")


def _types(pairs: Pairs, scope: Scope) -> tuple[str, ...]:
    """The types of a search of the system: those of `_type`, or all that the caller may search."""
    asked = [name for key, value in pairs if key == "_type" for name in value.split(",") if name]
    for name in asked:
        if name not in TYPE_NUMBER:
            raise bad_value("_type", name, _("“%(value)s” in “%(code)s” is no resource type of FHIR R4."))
        Reader(scope, "").require(name)
    return tuple(dict.fromkeys(asked)) or tuple(name for name in RESOURCE_TYPES if scope.allows(name, "s"))


def _read(draft: _Draft, name: str, value: str, reader: Reader) -> None:
    kind, _colon, modifier = name.partition(":")
    if kind in _INCLUDES:
        draft.includes.append(_include(kind, modifier, value))
    elif name in RESULT:
        if name in draft.result:
            raise bad_value(name, value, _("The parameter “%(code)s” is given twice."))
        draft.result[name] = value
    elif draft.types:
        found = [(TYPE_NUMBER[each], clause(each, name, value, reader)) for each in draft.types]
        draft.clauses.append(common(found))
        if len(draft.types) == 1:
            _note_chart(draft, name, value, reader)


def _note_chart(draft: _Draft, name: str, value: str, reader: Reader) -> None:
    """Remembers the patient whose chart alone can hold the matches."""
    code, _colon, modifier = name.partition(":")
    if modifier not in ("", "Patient") or not patient_decides(draft.types[0], code):
        return
    if modifier == "Patient" or parameters(draft.types[0])[code].targets == ("Patient",):
        value = value if "/" in value else f"Patient/{value}"
    patient = patient_of(value, reader.base_url)
    if patient is not None:
        draft.charts.append(patient)


def _include(kind: str, modifier: str, value: str) -> Include:
    if modifier not in ("", "iterate", "recurse"):
        raise bad_value(kind, modifier, _("“%(code)s” has the modifier :iterate only."))
    source, *rest = value.split(":")
    code, target = (rest + [None, None])[:2] if source != "*" else ("*", None)
    if len(rest) > 2 or code is None or (source != "*" and source not in TYPE_NUMBER):
        raise bad_value(kind, value, _("“%(value)s” in “%(code)s” is not Type:parameter or Type:parameter:Target."))
    if target is not None and target not in TYPE_NUMBER:
        raise bad_value(kind, target, _("“%(value)s” in “%(code)s” is no resource type of FHIR R4."))
    if code != "*":
        known = parameters(source)
        if code not in known or known[code].type != "reference":
            names = ", ".join(c for c, p in known.items() if p.type == "reference")
            text = _("“%(value)s” in “%(code)s” is no reference parameter of %(type)s. It has: %(known)s.")
            shown = lazy_text(text, value=code[:100], code=kind, type=source, known=names)
            raise InvalidRequest(shown, code="not-supported", expression=kind)
    return Include(source, code, target, modifier != "", _INCLUDES[kind])


# --- the shape of the answer


def _finished(draft: _Draft) -> SearchRequest:
    result = draft.result
    elements = tuple(name.strip() for name in result.get("_elements", "").split(",") if name.strip())
    summary.check(result.get("_summary"), elements, draft.types[0] if len(draft.types) == 1 else None)
    total = result.get("_total")
    if total is not None and total not in TOTALS:
        raise bad_value("_total", total, _("“%(code)s” is none, estimate or accurate, not “%(value)s”."))
    return SearchRequest(
        types=draft.types,
        clauses=tuple(draft.clauses),
        chart=draft.charts[0] if draft.charts else None,
        sort=_sort(result.get("_sort"), draft.types),
        count=_count(result.get("_count")),
        total=total,
        summary=result.get("_summary"),
        elements=elements,
        includes=tuple(draft.includes),
        cursor=result.get("_cursor"),
        explain=_explain(result.get("_explain")),
        contained=_one_of(result, "_contained", CONTAINED),
        contained_type=_one_of(result, "_containedType", CONTAINED_TYPES),
        kept=tuple(draft.kept),
        ignored=tuple(draft.ignored),
        custom=tuple(draft.custom + _custom(draft, result.get("_sort"))),
    )


def _custom(draft: _Draft, sort: str | None) -> list[Parameter]:
    """Parameters of clients that `_sort` and `_revinclude` look up in the index."""
    named = [(kind, key.code) for key in _sort(sort, draft.types) for kind in draft.types]
    named += [(include.source, include.code) for include in draft.includes if include.reverse]
    known = [parameters(kind).get(code) for kind, code in named if kind in TYPE_NUMBER]
    return [parameter for parameter in known if parameter is not None and parameter.custom]


def _one_of(result: Mapping[str, str], name: str, known: Sequence[str]) -> str:
    """The value of a parameter, or its default, the first of the known ones."""
    value = result.get(name, known[0])
    if value not in known:
        text = _("“%(code)s” is one of %(known)s, not “%(value)s”.")
        shown = lazy_text(text, code=name, known=", ".join(known), value=value[:100])
        raise InvalidRequest(shown, code="value", expression=name)
    return value


def _explain(value: str | None) -> bool:
    if value not in (None, "true", "false"):
        raise bad_value("_explain", str(value), _("“%(code)s” is true or false, not “%(value)s”."))
    return value == "true"


def _count(value: str | None) -> int:
    if value is None:
        return int(settings.FHIR_DEFAULT_PAGE)
    if not (value.isascii() and value.isdigit()):
        raise bad_value("_count", value, _("“%(code)s” is a whole number, 0 or more, not “%(value)s”."))
    return min(int(value[:9]), int(settings.FHIR_MAX_PAGE))


def _sort(value: str | None, types: Iterable[str]) -> tuple[Sort, ...]:
    if value is None:
        return ()
    keys = [Sort(item.removeprefix("-"), item.startswith("-")) for item in values_of("_sort", value)]
    for key in keys:
        for resource_type in types:
            if key.code not in parameters(resource_type):
                text = _("“%(value)s” in “%(code)s” is no search parameter of %(type)s.")
                shown = lazy_text(text, value=key.code[:100], code="_sort", type=resource_type)
                raise InvalidRequest(shown, code="not-supported", expression="_sort")
    return tuple(dict.fromkeys(keys))
