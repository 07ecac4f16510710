"""`_include` and `_revinclude`: https://hl7.org/fhir/R4/search.html#include, #revinclude."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from . import judge
from .parameters import PARAMETERS, Parameter

Pair = tuple[str, str]


def included(
    world: judge.World, matches: Sequence[judge.Resource], asked: Sequence[Pair]
) -> tuple[list[judge.Resource], int]:
    """What the includes add to the matches of a page, each once; with `:iterate` also to what has been added.

    The number says how many times something was added to what had been added before.
    """
    held = [(resource["resourceType"], resource["id"]) for resource in matches]
    found: list[judge.Resource] = []
    sources = list(matches)
    rounds = 0
    while sources:
        wanted = [pair for pair in asked if rounds == 0 or pair[0].endswith(":iterate")]
        added = [other for source in sources for pair in wanted for other in followed(world, source, *pair)]
        sources = []
        for other in added:
            if (other["resourceType"], other["id"]) not in held:
                held.append((other["resourceType"], other["id"]))
                sources.append(other)
        found += sources
        rounds += bool(sources)
    return found, rounds


def followed(world: judge.World, source: judge.Resource, name: str, value: str) -> Iterator[judge.Resource]:
    """What one include adds for one resource."""
    kind, code, target = ("*", "*", "") if value == "*" else (*value.split(":"), "")[:3]
    for other in world.resources:
        one, to = (other, source) if name.startswith("_revinclude") else (source, other)
        if kind not in ("*", one["resourceType"]) or target not in ("", to["resourceType"]):
            continue
        if any(judge.points_to(world, stored, to) for p in _named(one, code) for stored in p.values(one)):
            yield other


def _named(resource: judge.Resource, code: str) -> list[Parameter]:
    known = PARAMETERS[resource["resourceType"]]
    return [p for p in known.values() if p.type == "reference"] if code == "*" else [known[code]]
