"""Parameters with rules of their own: `_filter`, `_list`, `_text`, `_content`, `near`.

https://hl7.org/fhir/R4/search.html#list, #content; https://hl7.org/fhir/R4/location.html#search; and the choices of
docs/search.md where R4 leaves them to the server: what "near" is without a distance, what a word is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from . import filters, judge, tokens
from .parameters import PARAMETERS
from .values import Value, plain, split

CURRENT = {
    "$current-problems": ("problems", "11450-4"),
    "$current-medications": ("medications", "10160-0"),
    "$current-allergies": ("allergies", "48765-2"),
}
EXAMPLE_CODES, LOINC = "http://terminology.hl7.org/CodeSystem/list-example-codes", "http://loinc.org"
EARTH = 6371.0088  # mean radius, km
KILOMETRES = {"": 1.0, "km": 1.0, "m": 0.001, "[mi_i]": 1.609344}
NEAR = 50.0


def holds(world: judge.World, resource: judge.Resource, name: str, value: str) -> bool:
    """One `name=value` of these."""
    if name == "_filter":
        return filters.matches(world, resource, value)
    alternatives = [plain(each) for each in split(value, ",")]
    if name == "_list":
        return any(_in_list(world, resource, each) for each in alternatives)
    texts = [narrative(resource)] if name == "_text" else list(written(resource))
    return any(all(any(lower(word) in lower(text) for text in texts) for word in each.split()) for each in alternatives)


def lower(text: str) -> str:
    """Small letters, one for each: a sigma is one wherever it stands, an İ is an i."""
    return "".join(character.lower()[:1] for character in text)


def narrative(resource: judge.Resource) -> str:
    """The text of the narrative without its markup."""
    return re.sub("<[^>]*>", " ", resource.get("text", {}).get("div", ""))


def written(node: Any) -> Iterator[str]:
    """All values of a resource; names of elements are none."""
    if isinstance(node, dict):
        for value in node.values():
            yield from written(value)
    elif isinstance(node, list):
        for value in node:
            yield from written(value)
    elif isinstance(node, str):
        yield re.sub("<[^>]*>", " ", node) if node.startswith("<div") else node


def _in_list(world: judge.World, resource: judge.Resource, asked: str) -> bool:
    item = PARAMETERS["List"]["item"]
    return any(
        _is_asked(listing, asked) and any(judge.points_to(world, value, resource) for value in item.values(listing))
        for listing in world.of_type("List")
    )


def _is_asked(listing: judge.Resource, asked: str) -> bool:
    if asked not in CURRENT:
        return asked.removeprefix("List/") == listing["id"]
    code, loinc = CURRENT[asked]
    known = {(EXAMPLE_CODES, code), (LOINC, loinc)}
    held = {pair for value in PARAMETERS["List"]["code"].values(listing) for pair in tokens.pairs(value)}
    return listing["status"] == "current" and bool(held & known)


# --- near


def distance(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Kilometres between two (latitude, longitude): the angle between two vectors."""
    (a, b, c), (x, y, z) = _vector(*one), _vector(*other)
    cross = math.hypot(b * z - c * y, c * x - a * z, a * y - b * x)
    return EARTH * math.atan2(cross, a * x + b * y + c * z)


def _vector(latitude: float, longitude: float) -> tuple[float, float, float]:
    phi, theta = math.radians(latitude), math.radians(longitude)
    return math.cos(phi) * math.cos(theta), math.cos(phi) * math.sin(theta), math.sin(phi)


def near(stored: Value, asked: str) -> bool:
    """`latitude|longitude|distance|unit`; without a unit kilometres."""
    latitude, longitude, radius, unit = (*split(asked, "|"), "", "")[:4]
    limit = float(radius) * KILOMETRES[unit] if radius else NEAR
    return distance(place(stored), (float(latitude), float(longitude))) <= limit


def place(stored: Value) -> tuple[float, float]:
    return float(stored.value["latitude"]), float(stored.value["longitude"])
