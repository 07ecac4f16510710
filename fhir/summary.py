"""Parts of a resource: `_summary` and `_elements`.

https://hl7.org/fhir/R4/search.html#summary and https://hl7.org/fhir/R4/search.html#elements
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from itertools import chain
from typing import Any

from django.utils.translation import gettext_lazy as _

from accounts.texts import lazy_text

from .definitions.structure import RESOURCE_TYPES, Element, type_definition
from .exceptions import InvalidRequest

SUMMARIES = ("true", "text", "data", "count", "false")
SUBSETTED = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
    "display": "subsetted",
}

_ALWAYS = frozenset({"resourceType", "id", "meta"})


def check(summary: str | None, elements: Sequence[str] = (), resource_type: str | None = None) -> None:
    """Refuse a `_summary` that is no code of the list, and names in `_elements` that the type does not have.

    Without a type only names that no type has are refused. Raises InvalidRequest.
    """
    if summary is not None and summary not in SUMMARIES:
        text = lazy_text(
            _("_summary is “%(value)s”; it must be one of %(known)s."), value=summary, known=", ".join(SUMMARIES)
        )
        raise InvalidRequest(text, code="value", expression="_summary")
    known = _element_names(resource_type)
    for name in elements:
        if name not in known:
            text = lazy_text(_("_elements: there is no element “%(name)s”."), name=name)
            raise InvalidRequest(text, code="value", expression="_elements")


def project(resource: dict[str, Any], *, summary: str | None, elements: Sequence[str] = ()) -> dict[str, Any]:
    """The part of `resource` that was asked for, tagged SUBSETTED; the input stays as it is.

    `summary` is one of SUMMARIES or None, `elements` names of top-level elements ("value" stands for every value[x]).
    Where nothing is to be left out the resource itself is given back. Both together give what both allow. Raises
    InvalidRequest for an unknown `summary`, and for "count", which is a question about a search.
    """
    check(summary)
    if summary == "count":
        text = _("_summary=count asks how many matches a search has; a single resource has no count.")
        raise InvalidRequest(text, code="value", expression="_summary")
    projected = resource
    if summary not in (None, "false"):
        projected = _summarized(projected, str(summary))
    if elements:
        projected = _only(projected, _requested_keys(projected["resourceType"], tuple(sorted(set(elements)))))
    return projected if projected is resource else _tagged(projected)


# --- _summary


def _summarized(resource: dict[str, Any], summary: str) -> dict[str, Any]:
    resource_type = resource["resourceType"]
    if summary == "data":
        return {key: value for key, value in resource.items() if key != "text"}
    if summary == "text":
        return _only(resource, _text_keys(resource_type))
    return _summary_of(resource, resource_type, _ALWAYS)


def _only(resource: dict[str, Any], keys: frozenset[str]) -> dict[str, Any]:
    return {key: value for key, value in resource.items() if key.removeprefix("_") in keys}


def _forms(elements: Iterable[Element]) -> Iterator[tuple[str, str]]:
    """(JSON key, type) of every form that the elements can take."""
    return chain.from_iterable(element.keys() for element in elements)


def _keys(elements: Iterable[Element]) -> frozenset[str]:
    return frozenset(key for key, _type in _forms(elements))


@cache
def _text_keys(resource_type: str) -> frozenset[str]:
    elements = type_definition(resource_type).elements.values()
    return _ALWAYS | {"text"} | _keys(element for element in elements if element.min)


@cache
def _summary_keys(type_name: str) -> Mapping[str, str | None]:
    """JSON key → type to descend into, or None to keep the value whole.

    A type that marks none of its elements (Extension, Narrative, primitives) is kept whole: the mark on the element
    that holds it is all that the definitions say.
    """
    elements = type_definition(type_name).elements.values()
    return {key: _part(kind) for key, kind in _forms(element for element in elements if element.summary)}


@cache
def _part(type_name: str) -> str | None:
    definition = type_definition(type_name)
    if definition.kind == "primitive":
        return None
    marked = definition.abstract or any(element.summary for element in definition.elements.values())
    return type_name if marked else None


def _summary_of(node: dict[str, Any], type_name: str, always: frozenset[str] = frozenset()) -> dict[str, Any]:
    parts = _summary_keys(type_name)
    kept: dict[str, Any] = {}
    for key, value in node.items():
        name = key.removeprefix("_")
        if name in always:
            kept[key] = value
        elif name in parts:
            part = parts[name] if name == key else None
            content = value if part is None else _summary_within(value, part)
            if content != {} and content != []:
                kept[key] = content
    return kept


def _summary_within(value: Any, type_name: str) -> Any:
    if isinstance(value, list):
        # An item of which nothing is left (it had extensions only) goes, for empty objects are no JSON of FHIR.
        return [content for item in value if (content := _summary_within(item, type_name)) != {}]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("resourceType"), str):
        return _summary_of(value, value["resourceType"], _ALWAYS)
    return _summary_of(value, type_name)


# --- _elements


@cache
def _element_names(resource_type: str | None) -> frozenset[str]:
    if resource_type is None:
        return frozenset().union(*(_element_names(name) for name in RESOURCE_TYPES))
    definition = type_definition(resource_type)
    return frozenset(definition.elements) | _keys(definition.elements.values()) | {"resourceType"}


@cache
def _mandatory_keys(resource_type: str) -> frozenset[str]:
    """Mandatory elements, and modifierExtension: a client cannot know that it is there.

    Other modifiers are for the client to list: https://hl7.org/fhir/R4/search.html#elements.
    """
    elements = type_definition(resource_type).elements.values()
    return _ALWAYS | _keys(e for e in elements if e.min or e.name == "modifierExtension")


@lru_cache(maxsize=512)
def _requested_keys(resource_type: str, names: tuple[str, ...]) -> frozenset[str]:
    elements = type_definition(resource_type).elements
    requested = _keys(element for name, element in elements.items() if name in names)
    return _mandatory_keys(resource_type) | requested | frozenset(names)


# --- the mark


def _tagged(resource: dict[str, Any]) -> dict[str, Any]:
    meta = resource.get("meta", {})
    tags = meta.get("tag", [])
    if not any(tag.get("system") == SUBSETTED["system"] and tag.get("code") == "SUBSETTED" for tag in tags):
        meta = {**meta, "tag": [*tags, SUBSETTED]}
    if "meta" in resource:
        return {**resource, "meta": meta}
    first: dict[str, Any] = {key: resource[key] for key in ("resourceType", "id") if key in resource}
    return {**first, "meta": meta, **resource}
