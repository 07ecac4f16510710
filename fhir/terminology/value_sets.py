"""A ValueSet made ready to be expanded (https://hl7.org/fhir/R4/valueset.html)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .members import Members

Json = dict[str, Any]
# Extensions of an expansion that does not hold all codes.
_UNFINISHED = (
    "http://hl7.org/fhir/StructureDefinition/valueset-toocostly",
    "http://hl7.org/fhir/StructureDefinition/valueset-unclosed",
)


@dataclass(frozen=True, slots=True)
class Selection:
    """One include or exclude: what meets all of its conditions. `codes` is None where none are listed."""

    system: str | None
    version: str | None
    codes: frozenset[str] | None
    filters: tuple[Json, ...]
    imports: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ValueSet:
    """The rules of a value set, and the codes of its stored expansion if those are all (else None).

    `partial` says that there is an expansion which does not hold all.
    """

    url: str
    includes: tuple[Selection, ...]
    excludes: tuple[Selection, ...]
    active_only: bool
    expansion: Members | None
    partial: bool = False

    @property
    def size(self) -> int:
        """How many codes are written in it."""
        listed = sum(len(s.codes or ()) for s in (*self.includes, *self.excludes))
        return listed + (len(self.expansion) if self.expansion is not None else 0)


def value_set(resource: Json) -> ValueSet:
    """The rules in a ValueSet resource."""
    compose = resource.get("compose", {})
    expansion = _expansion(resource.get("expansion"))
    return ValueSet(
        url=resource.get("url", ""),
        includes=tuple(_selection(row) for row in compose.get("include", ())),
        excludes=tuple(_selection(row) for row in compose.get("exclude", ())),
        active_only=compose.get("inactive") is False,
        expansion=expansion,
        partial="expansion" in resource and expansion is None,
    )


def _selection(row: Json) -> Selection:
    listed = row.get("concept")
    version = row.get("version")
    return Selection(
        system=row.get("system"),
        version=None if version == "*" else version,
        codes=None if listed is None else frozenset(concept["code"] for concept in listed),
        filters=tuple(row.get("filter", ())),
        imports=tuple(row.get("valueSet", ())),
    )


def _expansion(expansion: Json | None) -> Members | None:
    if expansion is None or any(e.get("url") in _UNFINISHED for e in expansion.get("extension", ())):
        return None
    items = list(_contained(expansion.get("contains", [])))
    if expansion.get("offset") or expansion.get("total", 0) > len(items):
        return None
    codes: dict[str, set[str]] = {}
    for item in items:
        if "code" in item and "system" in item and not item.get("abstract"):
            codes.setdefault(item["system"], set()).add(item["code"])
    return Members({system: frozenset(found) for system, found in codes.items()})


def _contained(items: list[Json]) -> Iterator[Json]:
    waiting = list(items)
    while waiting:
        item = waiting.pop()
        yield item
        waiting += item.get("contains", ())
