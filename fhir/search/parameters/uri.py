"""Addresses (https://hl7.org/fhir/R4/search.html#uri): whole and exact, or above and below each other by segments."""

from __future__ import annotations

from typing import Any

from fhir.search import hashing
from fhir.search.catalogue import Parameter
from fhir.search.clauses import AllOf, AnyOf, Clause, Terms

from . import token
from .text import bad_modifier, unescape

MODIFIERS = ("missing", "above", "below")
BELOW = ":below"
_DEEPEST = 32


def ancestors(value: str) -> list[str]:
    """The address itself and those above it: `http://a/b/c` lies below `http://a/b` and `http://a`.

    The version of a canonical counts as the last segment. Other addresses (urn:…) have none above them.
    """
    found, (address, bar, version) = [], value.partition("|")
    if bar:
        parts = version.split(".")
        found = [f"{address}|{'.'.join(parts[:n])}" for n in range(len(parts), 0, -1)]
    start = address.find("://")
    if start < 0:
        return [*found, address]
    path = address.rstrip("/")
    found.append(address)
    while len(found) < _DEEPEST and (cut := path.rfind("/")) > start + 2:
        path = path[:cut]
        found.append(path)
    return found


def hashes(value: Any) -> list[int]:
    """The address as it is; of a canonical with a version also without it."""
    if type(value) is not str:
        return []
    found = [hashing.uri(value)]
    if "|" in value:
        found.append(hashing.uri(value.split("|", 1)[0]))
    return found


def _of_version(parameter: Parameter, text: str) -> Clause:
    """`url|version` of a conformance resource, whose version is an element of its own."""
    address, _bar, version = text.partition("|")
    base = hashing.parameter_hash(parameter.resource_type, "version")
    of_version = Terms((base ^ hashing.any_system(version),), "version")
    return AllOf((token.terms(parameter, [hashing.uri(address)]), of_version))


def parse(parameter: Parameter, modifier: str | None, values: list[str]) -> Clause:
    """The clause of one repetition. Raises InvalidRequest."""
    texts = [unescape(value) for value in values]
    if modifier is None:
        plain = token.terms(parameter, [hashing.uri(text) for text in texts])
        versions = [_of_version(parameter, text) for text in texts if "|" in text and parameter.code == "url"]
        return AnyOf((plain, *versions)) if versions else plain
    if modifier == "above":
        return token.terms(parameter, [hashing.uri(above) for text in texts for above in ancestors(text)])
    if modifier == "below":
        return token.terms(parameter, [hashing.uri(text.rstrip("/")) for text in texts], BELOW)
    raise bad_modifier(parameter.code, modifier, MODIFIERS)
