"""Regular expressions of value sets: those that could take long are refused before they run."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_LONGEST = 200
_REPEATS = 3
_OPTIONAL = 8
# Of a character class, an escape, a quantifier (lazy or not), a bracket, or any other character.
_TOKEN = re.compile(
    r"(?P<atom>\[\^?\]?(?:\\.|[^\]\\])*\]|\\[^1-9])|(?P<quantifier>(?:[*+?]|\{\d*,?\d*\})[?+]?)"
    r"|(?P<open>\((?:\?:)?(?!\?))|(?P<close>\))|(?P<bar>\|)|(?P<other>[^\\(])",
    re.DOTALL,
)
_EXACT = re.compile(r"\{(\d+)\}\??")


@dataclass(slots=True)
class _Cost:
    """What was seen of a pattern: the groups that are open, each with whether its length can vary."""

    groups: list[bool] = field(default_factory=lambda: [False])
    closed: bool = False
    repeats: int = 0
    optional: int = 0


def compiled(pattern: str) -> re.Pattern[str] | None:
    """The pattern, for whole values; None if it is not valid, or may need more than polynomial time of degree 4."""
    if len(pattern) > _LONGEST or not _bounded(pattern):
        return None
    try:
        return re.compile(pattern)
    except (re.error, OverflowError):
        return None


def _bounded(pattern: str) -> bool:
    cost, position = _Cost(), 0
    while position < len(pattern):
        found = _TOKEN.match(pattern, position)
        if found is None or not _counted(cost, found):
            return False
        position = found.end()
    return cost.repeats <= _REPEATS and cost.optional <= _OPTIONAL


def _counted(cost: _Cost, found: re.Match[str]) -> bool:
    kind, text, after_group = found.lastgroup, found[0], cost.closed
    cost.closed = False
    if kind == "open":
        cost.groups.append(False)
    elif kind == "close":
        if len(cost.groups) == 1:
            return False
        cost.closed = cost.groups.pop()
        cost.groups[-1] |= cost.closed
    elif kind == "bar":
        cost.groups[-1] = True
        cost.optional += 1
    elif kind == "quantifier":
        optional, exact = text[0] == "?", _EXACT.fullmatch(text)
        if after_group and not optional:
            return False  # a repeated group of varying length
        if exact is None:
            cost.groups[-1] = True
            cost.optional, cost.repeats = cost.optional + optional, cost.repeats + (not optional)
    return True
