"""References between the entries of a transaction (https://hl7.org/fhir/R4/http.html#trules).

A reference to an entry's fullUrl becomes one to the id that the entry gets; a conditional reference
(`Patient?identifier=…`) one to what it finds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, cached_property
from typing import Any

from fhir.definitions.structure import COMPLEX_TYPES, RESOURCE_TYPES, type_definition
from fhir.definitions.table import table

_LINKS = frozenset({"uri", "url", "oid", "uuid", "canonical"})
_ABSOLUTE = re.compile(r"(https?://.*/)[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}")
_CONDITIONAL = re.compile(r"[A-Z][A-Za-z]+\?.+")


@cache
def link_keys() -> frozenset[str]:
    """JSON keys whose values are links (uri, url, oid, uuid): those, and only those, that never hold other text."""
    kinds: dict[str, set[str]] = {}
    names = [e["p"] for t in table()["types"].values() for e in t.get("e", ()) if e["t"] == [e["p"]]]
    for name in (*RESOURCE_TYPES, *COMPLEX_TYPES, *names):
        for element in type_definition(name).elements.values():
            for key, kind in element.keys():  # noqa: SIM118
                kinds.setdefault(key, set()).add(kind)
    return frozenset(key for key, found in kinds.items() if found <= _LINKS) | {"reference"}


class Rewriter:
    """Replaces placeholders in place. `known` maps fullUrl and conditional references to `Type/id`."""

    def __init__(self, known: dict[str, str]) -> None:
        self.known = known
        self.keys = link_keys()

    @cached_property
    def narrative(self) -> re.Pattern[str] | None:
        """Finds what is known inside a narrative; compiling it is dear, and few bundles have narratives."""
        known = map(re.escape, sorted(self.known, key=len, reverse=True))
        return re.compile("|".join(known)) if self.known else None

    def rewrite(self, resource: dict[str, Any], full_url: str | None) -> None:
        """All links of a resource; relative ones are read from its fullUrl's base (bundle.html#references)."""
        match = _ABSOLUTE.fullmatch(full_url) if full_url else None
        self._object(resource, match[1] if match else "")

    def _object(self, node: dict[str, Any], base: str) -> None:
        keys = self.keys
        for key, value in node.items():
            kind = type(value)
            if kind is dict:
                self._object(value, base)
            elif kind is list:
                self._list(key, value, base)
            elif kind is str:
                if key in keys:
                    node[key] = self._link(value, base)
                elif key == "div" and self.narrative is not None:
                    node[key] = self.narrative.sub(lambda found: self.known[found[0]], value)

    def _list(self, key: str, values: list[Any], base: str) -> None:
        for index, value in enumerate(values):
            if type(value) is dict:
                self._object(value, base)
            elif type(value) is str and key in self.keys:
                values[index] = self._link(value, base)

    def _link(self, value: str, base: str) -> str:
        known = self.known
        found = known.get(value)
        if found is None and base:
            found = known.get(base + value)
        if found is None and "#" in value:
            head, mark, fragment = value.partition("#")
            found = known[head] + mark + fragment if head in known else None
        return value if found is None else found


def conditional_references(node: Any) -> Iterator[str]:
    """Every `Type?query` reference of a resource."""
    if type(node) is dict:
        for key, value in node.items():
            if key == "reference" and type(value) is str:
                if "?" in value and _CONDITIONAL.fullmatch(value):
                    yield value
            elif type(value) is dict or type(value) is list:
                yield from conditional_references(value)
    elif type(node) is list:
        for item in node:
            yield from conditional_references(item)
