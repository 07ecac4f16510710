"""How frequent a term is, from what ANALYZE has seen: the choice between the index on terms and the walk by date."""

from __future__ import annotations

import time
from contextvars import Context
from dataclasses import dataclass, field

from fhir import database

# The most common elements are few (about a thousand), so that one answer holds them all.
_SQL = """SELECT c.reltuples, s.most_common_elems::text::bigint[], s.most_common_elem_freqs,
 t.most_common_vals::text::smallint[], t.most_common_freqs FROM pg_class c
 LEFT JOIN pg_stats s ON s.tablename = c.relname AND s.attname = 'terms' AND s.schemaname = current_schema()
 LEFT JOIN pg_stats t ON t.tablename = c.relname AND t.attname = 'type' AND t.schemaname = current_schema()
 WHERE c.oid = 'resource'::regclass"""
_SECONDS = 300.0


@dataclass(slots=True)
class Statistics:
    """Rows of the resource table, and the shares of them that hold the most common terms and are of each type."""

    rows: float = 0.0
    frequencies: dict[int, float] = field(default_factory=dict)
    types: dict[int, float] = field(default_factory=dict)
    read_at: float = -_SECONDS

    def expected(self, terms: tuple[int, ...]) -> float:
        """About how many resources hold one of these terms; terms that are not common count as none."""
        return self.rows * min(1.0, sum(self.frequencies.get(term, 0.0) for term in terms))

    def of_type(self, number: int) -> float:
        """About how many resources there are of a type."""
        return self.rows * self.types.get(number, 0.0)


_known = Statistics()


def current() -> Statistics:
    """The statistics of the last five minutes, read again (one round trip) when they are older."""
    now = time.monotonic()
    if now - _known.read_at >= _SECONDS:
        _known.read_at = now
        # In a context of its own, because it is not part of what the request costs.
        rows, elements, frequencies, types, shares = Context().run(database.fetch, _SQL)[0]
        _known.rows = max(0.0, rows)
        # After the frequencies come their smallest, largest and that of NULL.
        _known.frequencies = dict(zip(elements or (), frequencies or (), strict=False))
        _known.types = dict(zip(types or (), shares or (), strict=False))
    return _known
