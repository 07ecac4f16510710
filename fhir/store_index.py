"""Index rows made anew for versions that stay: what is stored is read, compared, and written where it is not right.

No version is made and no time is changed. Each set of resources is one transaction, whose first statement locks those
rows that still hold the version that was read; whatever was written meanwhile was indexed by its writer and is left
alone. On Citus each statement that writes, or looks up keys, goes to the shard of one bucket.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from . import citus, database
from .database import Statement
from .index_rows import IndexRows
from .place_rows import PlaceRows
from .store_many import INDEX_TABLES, KEYS, ON_KEYS
from .versions import array

Key = tuple[int, int, str]


@dataclass(slots=True)
class Stored:
    """A current version with its index rows as they are stored."""

    bucket: int
    type: int
    id: str
    version: int
    body: str
    rows: IndexRows

    @property
    def key(self) -> Key:
        """(bucket, type number, id)."""
        return self.bucket, self.type, self.id


@dataclass(frozen=True, slots=True)
class Change:
    """A version and the rows that it should have; `tables` are those whose rows differ, by their names in IndexRows."""

    stored: Stored
    rows: IndexRows
    tables: tuple[str, ...]


_STORED = """SELECT r.bucket, r.type, r.id, r.version, c.body, r.terms, r.present, r.sdate FROM resource r
 JOIN content c ON c.bucket = r.bucket AND c.type = r.type AND c.id = r.id WHERE NOT r.deleted"""
_PAGE = f"""{_STORED} AND r.bucket BETWEEN %s AND %s AND (r.bucket, r.type, r.id) > (%s, %s, %s)
 AND {{wanted}} ORDER BY r.bucket, r.type, r.id LIMIT %s"""
_ONE = f"{_STORED} AND r.bucket = %s AND c.bucket = %s AND r.type = %s AND r.id = %s"
_ROWS = {
    "ranges": "SELECT r.bucket, r.type, r.id, r.param, r.unit, r.lo, r.hi FROM range_index r",
    "strings": "SELECT r.bucket, r.type, r.id, r.param, r.value, r.exact FROM string_index r",
    "code_values": "SELECT r.bucket, r.type, r.id, r.code, r.unit, r.lo, r.hi FROM code_value_index r",
}


def page(wanted: str, first: int, last: int, after: Key, limit: int) -> list[Stored]:
    """Current versions of the buckets `first` to `last` behind the key `after`, with their rows, in two round trips.

    `wanted` is a condition on the row r of resource, without parameters.
    """
    return _with_rows(database.fetch(_PAGE.format(wanted=wanted), (first, last, *after, limit)))


def one(key: Key) -> Stored | None:
    """The current version at a key, with its rows; None where there is none, or a deletion."""
    found = _with_rows(database.fetch(_ONE, (key[0], *key)))
    return found[0] if found else None


def _with_rows(found: Sequence[database.Row]) -> list[Stored]:
    stored = [Stored(*row[:5], IndexRows(terms=row[5], present=row[6], sdate=row[7])) for row in found]  # type: ignore[call-arg]
    if not stored:
        return []
    by_key = {each.key: each for each in stored}
    statements = [(name, s) for name, text in _ROWS.items() for s in _of_keys(_rows_of_keys(text), stored)]
    for (name, _s), rows in zip(statements, database.batch([s for _name, s in statements]), strict=True):
        for bucket, number, resource_id, *values in rows:
            getattr(by_key[bucket, number, resource_id].rows, name).append(tuple(values))
    return stored


def _rows_of_keys(text: str) -> str:
    return f"{text} JOIN {KEYS} ON {ON_KEYS} WHERE true"


def _of_keys(text: str, stored: Iterable[Stored]) -> list[Statement]:
    """The statement, which has KEYS, for these resources; on Citus once for each bucket."""
    listed = sorted(stored, key=attrgetter("key"))
    if not citus.distributed():
        return [(text, _keys(listed))]
    shares = groupby(listed, key=attrgetter("bucket"))
    return [(f"{text} AND r.bucket = %s", [*_keys(list(share)), bucket]) for bucket, share in shares]


def _keys(stored: Sequence[Stored]) -> list[str]:
    return [array(column) for column in zip(*(each.key for each in stored), strict=True)]


def difference(stored: Stored, rows: IndexRows) -> Change | None:
    """What is to be changed so that a version has these rows; None if it has them."""
    tables = [name for name in _ROWS if set(getattr(stored.rows, name)) != set(getattr(rows, name))]
    have, want = stored.rows, rows
    if not tables and (have.terms, have.present, have.sdate) == (want.terms, want.present, want.sdate):
        return None
    return Change(stored, rows, tuple(tables))


def places(made: Iterable[tuple[Stored, IndexRows]]) -> list[Statement]:
    """The statements that add what is missing of fhir.place_rows.

    What is there stays: the resource may have moved since it was read, and its writer said where.
    """
    found = PlaceRows()
    for stored, rows in made:
        found.add(*stored.key, rows)
    return found.statements(keep=True)


_UPDATE = """UPDATE resource r SET terms = COALESCE((%s::bigint[])[x.first:x.last], '{}'), present = x.present,
 sdate = x.sdate FROM unnest(%s::int[], %s::smallint[], %s::text[], %s::int[], %s::bigint[], %s::float8[], %s::int[],
 %s::int[]) AS x(bucket, type, id, version, present, sdate, first, last)
 WHERE r.bucket = x.bucket AND r.type = x.type AND r.id = x.id AND r.version = x.version AND NOT r.deleted"""
_TOUCHED = " RETURNING r.bucket, r.type, r.id"


def apply(transaction: database.Transaction, changes: Sequence[Change]) -> int:
    """Writes the rows of those versions that are still the newest; how many. The caller commits."""
    if not changes:
        return 0
    held = {tuple(row) for rows in transaction.send(_updates(changes)) for row in rows}
    kept = [change for change in changes if change.stored.key in held]
    statements = [statement for table in INDEX_TABLES for statement in _replacing(table, kept)]
    if statements:
        transaction.send(statements)
    return len(kept)


def _updates(changes: Sequence[Change]) -> list[Statement]:
    listed = sorted(changes, key=lambda change: change.stored.key)
    if not citus.distributed():
        return [(_UPDATE + _TOUCHED, _columns(listed))]
    shares = groupby(listed, key=lambda change: change.stored.bucket)
    return [(f"{_UPDATE} AND r.bucket = %s{_TOUCHED}", [*_columns(list(s)), bucket]) for bucket, s in shares]


def _columns(changes: Sequence[Change]) -> list[str]:
    terms: list[int] = []
    ends = []
    for change in changes:
        terms += change.rows.terms
        ends.append(len(terms))
    return [
        array(terms),
        *_keys([change.stored for change in changes]),
        array([change.stored.version for change in changes]),
        array([change.rows.present for change in changes]),
        array([change.rows.sdate for change in changes]),
        array([1, *(end + 1 for end in ends[:-1])]),
        array(ends),
    ]


def _replacing(table: tuple[str, str, str, str], changes: Sequence[Change]) -> list[Statement]:
    """The old rows of one table go and the new ones come."""
    name, attribute, columns, arrays = table
    touched = [change for change in changes if attribute in change.tables]
    if not touched:
        return []
    statements = _of_keys(f"DELETE FROM {name} r USING {KEYS} WHERE {ON_KEYS}", [c.stored for c in touched])
    rows = [(c.stored, n, row) for c in touched for n, row in enumerate(getattr(c.rows, attribute), 1)]
    if rows:
        values = zip(*(row for _stored, _n, row in rows), strict=True)
        lists = [list(v) if isinstance(v[0], str) else array(v) for v in values]
        sql = f"""INSERT INTO {name} (bucket, type, id, n, {columns})
 SELECT * FROM unnest(%s::int[], %s::smallint[], %s::text[], %s::smallint[], {arrays})"""
        statements.append((sql, [*_keys([s for s, _n, _row in rows]), array([n for _s, n, _row in rows]), *lists]))
    return statements
