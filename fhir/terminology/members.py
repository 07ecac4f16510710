"""Sets of codes, each with its system.

A system of which nothing is known but that all of its codes belong to the set is kept as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


class Unlistable(Exception):
    """All codes of a system but some: there is no list of them. The argument is the system."""


@dataclass(frozen=True, slots=True, eq=False)
class Members:
    """`codes`: system → codes; `whole`: systems of which every code is a member. No system is in both."""

    codes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    whole: frozenset[str] = frozenset()

    def __len__(self) -> int:
        """The number of listed codes."""
        return sum(map(len, self.codes.values()))

    def __bool__(self) -> bool:
        return bool(self.codes or self.whole)

    def __contains__(self, coding: tuple[str, str]) -> bool:
        system, code = coding
        return system in self.whole or code in self.codes.get(system, ())

    def __and__(self, other: Members) -> Members:
        """Members of both."""
        found = {s: codes & other.codes[s] for s, codes in self.codes.items() if s in other.codes}
        found |= {s: codes for s, codes in self.codes.items() if s in other.whole}
        found |= {s: codes for s, codes in other.codes.items() if s in self.whole}
        return Members({s: codes for s, codes in found.items() if codes}, self.whole & other.whole)

    def __sub__(self, other: Members) -> Members:
        """Members of the first only. Raises Unlistable where that is all of a system but some."""
        for system in sorted(self.whole & other.codes.keys()):
            raise Unlistable(system)
        kept = {s: c - other.codes.get(s, frozenset()) for s, c in self.codes.items() if s not in other.whole}
        return Members({s: codes for s, codes in kept.items() if codes}, self.whole - other.whole)


def union(sets: Iterable[Members]) -> Members:
    """Members of at least one."""
    sets = tuple(sets)
    whole = frozenset().union(*(found.whole for found in sets))
    codes: dict[str, set[str]] = {}
    for found in sets:
        for system, listed in found.codes.items():
            if system not in whole:
                codes.setdefault(system, set()).update(listed)
    return Members({system: frozenset(listed) for system, listed in codes.items() if listed}, whole)
