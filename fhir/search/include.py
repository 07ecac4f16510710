"""`_include` and `_revinclude` (https://hl7.org/fhir/R4/search.html#include): what goes with the matches of a page.

One statement for each round of references, by the own terms of the targets; the caller's policy is in each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from django.utils.translation import gettext_lazy as _

from accounts.scopes import Scope
from accounts.texts import lazy_text
from fhir import ids, json
from fhir.definitions.structure import RESOURCE_TYPES, TYPE_NAME, TYPE_NUMBER
from fhir.exceptions import InvalidRequest
from fhir.fhirpath import Environment, compile_many

from . import catalogue, custom_rows, hashing, include_sql, references
from .beside import NOTHING, Found, Read
from .catalogue import Parameter, parameters, patient_decides
from .include_sql import Place
from .parameters import reference
from .request import Include

# How often `:iterate` goes on; https://hl7.org/fhir/R4/search.html#include leaves the bound to the server. What lies
# further is refused: a part would look like all.
ROUNDS = 10
# What the includes of one page add at most, and references that are followed at once.
MOST = 10_000
_MOST_TERMS = 200_000


@dataclass(slots=True)
class _Walk:
    """What has been found so far, beginning with what came with the page."""

    scope: Scope
    base_url: str
    beside: Read
    seen: set[tuple[str, str]]
    found: list[Found] = field(default_factory=list)


def included(
    matches: Sequence[Found], asked: Sequence[Include], scope: Scope, base_url: str, beside: Read = NOTHING
) -> list[Found]:
    """The resources that the includes of a search add to its matches, each once. Raises InvalidRequest.

    Some may stand `beside` the matches already (fhir.search.beside).
    """
    walk = _Walk(scope, base_url, beside, {(kind, rid) for kind, rid, _body in matches})
    sources = list(matches)
    for number in range(ROUNDS + 1):
        wanted = [include for include in asked if number == 0 or include.iterate]
        if not sources or not wanted:
            return walk.found
        came = _new(walk, beside.patients) if number == 0 else []
        walk.found += came
        new = _round(walk, sources, wanted)
        walk.found += new
        sources = came + new
    if sources:
        text = _("The includes go on after %(limit)d rounds of “:iterate”: name fewer references.")
        raise InvalidRequest(lazy_text(text, limit=ROUNDS), code="too-costly", expression="_include")
    return walk.found


def _new(walk: _Walk, found: Iterable[Found]) -> list[Found]:
    """What has not been found before."""
    new = []
    for item in found:
        if item[:2] not in walk.seen:
            walk.seen.add(item[:2])
            new.append(item)
    return new


def _round(walk: _Walk, sources: Sequence[Found], wanted: Sequence[Include]) -> list[Found]:
    terms = dict(pair for include in wanted for pair in _terms(walk, sources, include))
    if not terms:
        return []
    left = MOST - len(walk.found)
    rows = include_sql.rows(walk.scope, terms, left + 1)
    if len(rows) > left or len(terms) > _MOST_TERMS:
        text = _("The includes add more than %(limit)d resources: ask for fewer matches with _count.")
        raise InvalidRequest(lazy_text(text, limit=MOST), code="too-costly", expression="_include")
    return _new(walk, ((TYPE_NAME[number], resource_id, body) for number, resource_id, body in rows))


def _terms(walk: _Walk, sources: Sequence[Found], include: Include) -> Iterator[tuple[int, Place]]:
    return _reverse(sources, include) if include.reverse else _forward(walk, sources, include)


def _reverse(sources: Sequence[Found], include: Include) -> Iterator[tuple[int, Place]]:
    decides = include.source in TYPE_NUMBER and patient_decides(include.source, include.code)
    for kind, resource_id, body in sources:
        if include.target is not None and include.target != kind:
            continue
        own, canonical = _bases(include.source, include.code, kind, catalogue.generation)
        term = hashing.own_term(kind, resource_id)
        place = ids.bucket_of(resource_id) if decides and kind == "Patient" else None
        for base in own:
            yield base ^ term, place
        url = json.loads(body).get("url") if canonical else None
        if url is not None:
            for base in canonical:
                yield base ^ hashing.uri(url), None


@lru_cache(maxsize=4096)
def _bases(source: str, code: str, target: str, _generation: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What a target's own term, and its url, are combined with to be references to it; `source` may be "*"."""
    own: dict[int, None] = {}
    canonical: dict[int, None] = {}
    for resource_type in RESOURCE_TYPES if source == "*" else (source,):
        for parameter in _references_of(resource_type, code):
            if target in parameter.targets:
                bases = dict.fromkeys(hashing.parameter_hash(resource_type, each) for each in parameter.stored_as)
                own |= bases
                canonical |= bases if parameter.types != {"Reference"} else {}
    return tuple(own), tuple(canonical) if "url" in parameters(target) else ()


def _references_of(resource_type: str, code: str) -> Iterable[Parameter]:
    known = parameters(resource_type)
    return [p for p in known.values() if p.type == "reference"] if code == "*" else [known[code]]


def _values(resource_type: str, code: str, resource: Any) -> dict[str, list[tuple[str, Any]]]:
    """The values of one reference parameter of a resource, or of all ("*")."""
    environment = Environment(resource=resource)
    read, custom = _reader(resource_type, code, catalogue.generation)
    found: dict[str, list[tuple[str, Any]]] = read(resource, environment)
    return found | {p.code: custom_rows.values(p, resource, environment) for p in custom}


@lru_cache(maxsize=2048)
def _reader(resource_type: str, code: str, _generation: int) -> tuple[Any, list[Parameter]]:
    """A compiled function resource → values of what is official of these parameters; those that are of clients."""
    known = _references_of(resource_type, code)
    official = {p.code: p.expression for p in known if not p.custom}
    return compile_many(official, resource_type), [p for p in known if p.custom]


def _forward(walk: _Walk, sources: Sequence[Found], include: Include) -> Iterator[tuple[int, Place]]:
    answered = walk.beside.answered(include)
    for kind, resource_id, body in sources:
        if include.source not in ("*", kind) or (kind, resource_id) in answered:
            continue
        for parameter, fhir_type, text in _texts(kind, include.code, body):
            form = reference.forms(text, walk.base_url, fhir_type)[-1]
            yield from _target_terms(walk, parameter, include.target, form)


def _texts(kind: str, code: str, body: str) -> Iterator[tuple[Parameter, str, str]]:
    """Parameter, FHIR type and text of each reference of a resource by one parameter, or by all ("*")."""
    read = None if code == "*" else references.reader(kind, code, catalogue.generation)
    if read is not None:
        parameter = parameters(kind)[code]
        for text in read(body):
            yield parameter, "Reference", text
        return
    values = _values(kind, code, json.loads(body))
    for parameter in _references_of(kind, code):
        for fhir_type, value in values.get(parameter.code, ()):
            literal = reference.literal(value)
            if literal is not None:
                yield parameter, fhir_type, literal


def _target_terms(walk: _Walk, parameter: Parameter, wanted: str | None, form: str) -> Iterator[tuple[int, Place]]:
    target = reference.target_type(form)
    if target is not None:
        name = form.split("/", 1)[1]
        if wanted in (None, target) and (target, name) not in walk.seen:
            yield hashing.reference(form), (TYPE_NUMBER[target], name)
    elif "canonical" in parameter.types or "uri" in parameter.types:
        for name in (wanted,) if wanted else parameter.targets:
            if name in RESOURCE_TYPES and "url" in parameters(name):
                yield hashing.parameter_hash(name, "url") ^ hashing.uri(form), None
