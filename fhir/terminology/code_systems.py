"""A CodeSystem made ready for questions (https://hl7.org/fhir/R4/codesystem.html)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

Json = dict[str, Any]
Relations = Mapping[str, tuple[str, ...]]

PROPERTIES = "http://hl7.org/fhir/concept-properties#"
# Properties that every code system has (https://hl7.org/fhir/R4/codesystem-concept-properties.html).
STANDARD = ("inactive", "deprecated", "notSelectable", "parent", "child")
_BOOLEAN = ("inactive", "notSelectable")
_INACTIVE = ("retired", "inactive")
_NONE: tuple[str, ...] = ()


def _text(value: Any) -> str:
    """A property's value as filters write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value.get("code", "")) if isinstance(value, dict) else str(value)


def _property_value(row: Json) -> str | None:
    return next((_text(value) for key, value in row.items() if key.startswith("value")), None)


class CodeSystem:
    """Codes, their hierarchy and properties; `complete` says whether these are all codes of the system."""

    def __init__(self, resource: Json) -> None:
        self.url: str = resource.get("url", "")
        self.version: str | None = resource.get("version")
        self.content: str = resource.get("content", "")
        self.displays: dict[str, str] = {}
        self.properties: dict[str, dict[str, tuple[str, ...]]] = {}
        self.parents: dict[str, tuple[str, ...]] = {}
        self._declared = resource.get("property", [])
        for parent, concept in _walk(resource.get("concept", [])):
            self._add(parent, concept)
        self._relate()

    @property
    def complete(self) -> bool:
        """Whether every code of the system is here; one that lists none does not say what its codes are."""
        return self.content == "complete" and bool(self.parents)

    @property
    def codes(self) -> Mapping[str, object]:
        """The codes, in their order."""
        return self.parents

    @property
    def size(self) -> int:
        """How many codes are known."""
        return len(self.parents)

    def _add(self, parent: str | None, concept: Json) -> None:
        code = concept["code"]
        known = self.parents.get(code, _NONE)
        self.parents[code] = known if parent is None or parent in known else (*known, parent)
        if "display" in concept:
            self.displays.setdefault(code, concept["display"])
        for row in concept.get("property", ()):
            value = _property_value(row)
            if value is not None:
                of_code = self.properties.setdefault(row["code"], {})
                of_code[code] = (*of_code.get(code, _NONE), value)

    def _relate(self) -> None:
        """Parents and children that are stated by properties, beside those of the tree."""
        for name, kind in self._relation_properties():
            for code, values in self.properties.get(name, {}).items():
                for value in values:
                    child, parent = (code, value) if kind == "parent" else (value, code)
                    known = self.parents.get(child)
                    if known is not None and parent in self.parents and parent not in known:
                        self.parents[child] = (*known, parent)

    def _relation_properties(self) -> Iterator[tuple[str, str]]:
        found = dict.fromkeys(("parent", "child"))
        for row in self._declared:
            uri = row.get("uri", "")
            kind = uri.removeprefix(PROPERTIES) if uri.startswith(PROPERTIES) else None
            if kind in ("parent", "child"):
                yield row["code"], kind
                found.pop(row["code"], None)
            elif uri:
                found.pop(row["code"], None)  # the name is used for something else
        yield from ((name, name) for name in found)

    @cached_property
    def children(self) -> Relations:
        """Code → its children."""
        found: dict[str, list[str]] = {}
        for code, parents in self.parents.items():
            for parent in parents:
                found.setdefault(parent, []).append(code)
        return {code: tuple(children) for code, children in found.items()}

    def below(self, code: str) -> frozenset[str]:
        """The code and all that it subsumes. Raises KeyError for an unknown code."""
        return _reached(code, self.parents, self.children)

    def above(self, code: str) -> frozenset[str]:
        """The code and all that subsume it. Raises KeyError for an unknown code."""
        return _reached(code, self.parents, self.parents)

    def has_property(self, name: str) -> bool:
        """Whether filters can ask for this property."""
        if name == "display":
            return bool(self.displays)
        declared = any(row["code"] == name for row in self._declared)
        return name in STANDARD or name in ("concept", "code") or declared or name in self.properties

    def values(self, name: str, code: str) -> tuple[str, ...]:
        """The values of a property of a code; `concept` and `code` are the code itself."""
        if name in ("concept", "code"):
            return (code,)
        if name == "display":
            return (self.displays[code],) if code in self.displays else _NONE
        if name == "parent":
            return self.parents[code]
        if name == "child":
            return self.children.get(code, _NONE)
        return self.properties.get(name, {}).get(code, _NONE)

    def assumed(self, name: str, code: str) -> tuple[str, ...]:
        """As `values`, with those that the specification gives to a property that is not stated."""
        return self.values(name, code) or (("false",) if name in _BOOLEAN else _NONE)

    def inactive(self, code: str) -> bool:
        """Whether a code is no longer to be used."""
        return self.values("inactive", code) == ("true",) or any(s in _INACTIVE for s in self.values("status", code))


def _walk(concepts: list[Json]) -> Iterator[tuple[str | None, Json]]:
    """Every concept with the code of its parent, parents first, in order."""
    stack: list[tuple[str | None, Json]] = [(None, concept) for concept in reversed(concepts)]
    while stack:
        parent, concept = stack.pop()
        yield parent, concept
        stack += [(concept["code"], inner) for inner in reversed(concept.get("concept", ()))]


def _reached(code: str, known: Relations, following: Relations) -> frozenset[str]:
    if code not in known:
        raise KeyError(code)
    found, waiting = {code}, [code]
    while waiting:
        for other in following.get(waiting.pop(), _NONE):
            if other not in found:
                found.add(other)
                waiting.append(other)
    return frozenset(found)
