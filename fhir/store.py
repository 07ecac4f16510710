"""The only module that writes the resource tables: what a version of a resource is made of, and how it is stored.

A single write is one statement (a writable CTE: atomic on plain PostgreSQL and on Citus, one round trip, audit row
included). Bundles, moves to another bucket and whatever is rarer use the set-based statements of fhir.store_many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from audit import recorder

from . import citus, database, ids
from .database import Statement
from .index_rows import IndexRows
from .models import Method

_TICK = timedelta(milliseconds=1)
Filled = tuple[tuple[str, int], ...]


@dataclass(slots=True)
class Current:
    """The newest version of a resource as the store has it; `body` is None for a deletion, or where not asked for.

    `row` is the transaction that last touched its row, where one statement supersedes it (see `_supersede_sql`).
    """

    bucket: int
    version: int
    updated: datetime
    method: int
    deleted: bool
    pat: int | None
    body: str | None = None
    row: str | None = None


@dataclass(slots=True)
class Write:
    """One version to be stored. `type` is the number; `body` the JSON text, None for a deletion.

    `previous` is what it supersedes; `claim` says that the id came from a client, so that its home must know of it.
    """

    bucket: int
    type: int
    id: str
    version: int
    updated: datetime
    method: Method
    pat: int | None
    body: str | None
    rows: IndexRows
    previous: Current | None = None
    claim: bool = False

    @property
    def moves(self) -> bool:
        """Whether the resource leaves the bucket that it lies in."""
        return self.previous is not None and self.previous.bucket != self.bucket


def now(after: datetime | None = None) -> datetime:
    """The time of a new version: milliseconds, and later than the version before it."""
    moment = datetime.now(UTC)
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    return moment if after is None or moment > after else after + _TICK


# --- reading what is there

_CURRENT = """SELECT r.bucket, r.version, r.updated, r.method, r.deleted, r.pat, {body}, {row}
 FROM resource r {join} WHERE r.bucket = %s AND r.type = %s AND r.id = %s"""
_BODY_JOIN = "LEFT JOIN content c ON c.bucket = %s AND c.type = r.type AND c.id = r.id"
_ROW = "r.xmin::text"  # Citus does not send this to its shards, and does not need it: fhir.store_routed
_LOCATOR_SQL = "SELECT target FROM locator WHERE bucket = %s AND type = %s AND id = %s"


def head_statement(bucket: int, type_number: int, resource_id: str, *, body: bool) -> Statement:
    """The statement that reads Current's fields at a bucket."""
    key = (bucket, type_number, resource_id)
    return _current_sql(body, citus.distributed()), (bucket, *key) if body else key


@cache
def _current_sql(body: bool, distributed: bool) -> str:
    row = "NULL" if distributed else _ROW
    return _CURRENT.format(body="c.body" if body else "NULL", row=row, join=_BODY_JOIN if body else "")


def locator_statement(type_number: int, resource_id: str) -> Statement:
    """The statement that asks the id's home where the resource lies."""
    return _LOCATOR_SQL, (ids.bucket_of(resource_id), type_number, resource_id)


def current(type_number: int, resource_id: str, *, body: bool = False) -> Current | None:
    """The newest version, deletions included; None if there never was one.

    One round trip for a resource at home; a second one asks the locator, a third reads where it says.
    """
    home = ids.bucket_of(resource_id)
    if ids.is_issued(resource_id):
        found = database.fetch(*head_statement(home, type_number, resource_id, body=body))
        if found:
            return Current(*found[0])
        target = database.fetch(*locator_statement(type_number, resource_id))
    else:
        found, target = database.batch(
            [
                head_statement(home, type_number, resource_id, body=body),
                locator_statement(type_number, resource_id),
            ]
        )
        if found:
            return Current(*found[0])
    if not target or target[0][0] == home:
        return None
    found = database.fetch(*head_statement(target[0][0], type_number, resource_id, body=body))
    return Current(*found[0]) if found else None


# --- one version, one statement

KEY = "%(b)s::int, %(t)s::smallint, %(i)s"
AT_KEY = "bucket = %(b)s AND type = %(t)s AND id = %(i)s"

_INSERT_RESOURCE = f"""r AS (INSERT INTO resource
 (bucket, type, id, version, updated, method, deleted, pat, sdate, present, terms)
 VALUES ({KEY}, %(v)s, %(u)s, %(m)s, false, %(p)s::bigint, %(sdate)s, %(present)s, %(terms)s::bigint[]))"""
_INSERT_CONTENT = f"w AS (INSERT INTO content (bucket, type, id, body) VALUES ({KEY}, %(body)s))"
_INSERT_LOCATOR = """l AS (INSERT INTO locator (bucket, type, id, target)
 VALUES (%(home)s, %(t)s::smallint, %(i)s, %(b)s))"""

# Each index table: (name of the CTE, table, columns, types of their arrays).
INDEXES = (
    ("ranges", "range_index", "param, unit, lo, hi", ("int", "bigint", "float8", "float8")),
    ("strings", "string_index", "param, value, exact", ("int", "text", "text")),
    ("code_values", "code_value_index", "code, unit, lo, hi", ("bigint", "bigint", "float8", "float8")),
)


# Up to so many rows of a table are VALUES on Citus; each number of rows is a statement of its own.
_FEW = 12


def insert_index(
    name: str, table: str, columns: str, types: tuple[str, ...], after: str = "", *, values: int = 0
) -> str:
    """The INSERT of all rows of one index table; `values` is how many, where they are to be VALUES and not a SELECT.

    A SELECT is copied to its shard by Citus, which makes a two-phase commit of it: PREPARE and all.
    """
    arrays = [f"%({name}{number})s::{kind}[]" for number, kind in enumerate(types)]
    insert = f"INSERT INTO {table} (bucket, type, id, n, {columns})"
    if values:
        rows = (f"({KEY}, {n}, {', '.join(f'({array})[{n}]' for array in arrays)})" for n in range(1, values + 1))
        return f"{insert} VALUES {', '.join(rows)}"
    return f"""{insert} SELECT {KEY}, x.n, {", ".join("x." + c for c in columns.split(", "))}
 FROM unnest({", ".join(arrays)}) WITH ORDINALITY AS x({columns}, n) {after}"""


_AUDIT_VALUES = ", ".join(cast.replace("%s", f"%(a{n})s") for n, cast in enumerate(recorder.CASTS))
_AUDIT = f"INSERT INTO {recorder.TABLE} ({recorder.COLUMN_LIST})"
# VALUES where nothing is asked of other rows: Citus sends it to the shard as it is, and fetches what it selects.
INSERT_AUDIT = f"{_AUDIT} VALUES ({_AUDIT_VALUES})"


@cache
def _create_sql(filled: Filled, claim: bool) -> str:
    parts, values = [_INSERT_RESOURCE, _INSERT_CONTENT], dict(filled)
    parts += [f"{i[0]} AS ({insert_index(*i, values=values[i[0]])})" for i in INDEXES if i[0] in values]
    if claim:
        parts.append(_INSERT_LOCATOR)
    return f"WITH {', '.join(parts)} {INSERT_AUDIT}"


def update_resource(deletion: bool) -> str:
    """The guarded UPDATE of the resource's row: one row of answer, or none where another version came first."""
    return f"""UPDATE resource SET version = %(v)s, updated = %(u)s, method = %(m)s, deleted = {str(deletion).lower()},
 pat = %(p)s::bigint, sdate = %(sdate)s, present = %(present)s, terms = %(terms)s::bigint[]
 WHERE {AT_KEY} AND version = %(pv)s RETURNING 1"""


_UNTOUCHED = " AND xmin::text = COALESCE(%(row)s, xmin::text) RETURNING"


@cache
def _supersede_sql(filled: Filled, deletion: bool, revival: bool) -> str:
    """The guarded update: it does nothing, and stores no audit row, unless the previous version is still the newest.

    Nor if the row of that version has been touched since: what fhir.store_index writes while this statement waits for
    the row is newer than its snapshot, so that it would leave index rows standing that it does not see.
    """
    parts = [
        f"u AS ({update_resource(deletion).replace(' RETURNING', _UNTOUCHED)})",
        f"""h AS (INSERT INTO history (bucket, type, id, version, updated, method, pat, body)
 SELECT {KEY}, %(pv)s::int, %(pu)s::timestamptz, %(pm)s::smallint, %(pp)s::bigint,
 (SELECT body FROM content WHERE {AT_KEY}) FROM u)""",
    ]
    if deletion:
        parts.append(f"w AS (DELETE FROM content WHERE {AT_KEY} AND EXISTS (SELECT FROM u))")
    elif revival:
        parts.append(f"w AS (INSERT INTO content (bucket, type, id, body) SELECT {KEY}, %(body)s FROM u)")
    else:
        parts.append(f"w AS (UPDATE content SET body = %(body)s WHERE {AT_KEY} AND EXISTS (SELECT FROM u))")
    for name, table, columns, types in INDEXES:
        if not revival:
            parts.append(f"old_{name} AS (DELETE FROM {table} WHERE {AT_KEY} AND EXISTS (SELECT FROM u) RETURNING 1)")
        if name in dict(filled):
            # Counting the deleted rows makes their deletion come first: the new rows reuse their keys.
            order = "" if revival else f" AND (SELECT count(*) FROM old_{name}) >= 0"
            rows = insert_index(name, table, columns, types, f"WHERE EXISTS (SELECT FROM u){order}")
            parts.append(f"{name} AS ({rows})")
    return f"WITH {', '.join(parts)} {_AUDIT} SELECT {_AUDIT_VALUES} FROM u RETURNING version"


def parameters(write: Write, audit_row: recorder.Row) -> dict[str, Any]:
    """What the statements of one version name: its key, its columns, its rows and the audit row's columns."""
    rows = write.rows
    values: dict[str, Any] = {
        "b": write.bucket,
        "t": write.type,
        "i": write.id,
        "v": write.version,
        "u": write.updated,
        "m": int(write.method),
        "p": write.pat,
        "sdate": rows.sdate,
        "present": rows.present,
        "terms": array(rows.terms),
        "body": write.body,
    }
    for name, entries in (("ranges", rows.ranges), ("code_values", rows.code_values)):
        if entries:
            for number, column in enumerate(zip(*entries, strict=True)):
                values[f"{name}{number}"] = array(column)
    if rows.strings:
        params, folded, exact = zip(*rows.strings, strict=True)
        literals = {"strings1": recorder.array_literal(folded), "strings2": recorder.array_literal(exact)}
        values |= {"strings0": array(params), **literals}
    if write.previous is not None:
        before = write.previous
        values |= {"pv": before.version, "pu": before.updated, "pm": before.method, "pp": before.pat, "row": before.row}
    for number, value in enumerate(audit_row):
        values[f"a{number}"] = value
    return values


def array(numbers: Sequence[Any]) -> str:
    """An array literal; cheaper than psycopg's dump of a list. Python's `None`, `inf` and `nan` become PostgreSQL's."""
    text = "{" + ",".join(map(str, numbers)) + "}"
    return text.replace("None", "NULL").replace("inf", "Infinity") if "n" in text else text


def filled(rows: IndexRows) -> Filled:
    """The index tables that these rows go to, by their names in INDEXES, and `values` of insert_index for each."""
    named = (("ranges", rows.ranges), ("strings", rows.strings), ("code_values", rows.code_values))
    most = _FEW if citus.distributed() else 0
    return tuple((name, len(entries) if len(entries) <= most else 0) for name, entries in named if entries)


def create_statements(write: Write, audit_row: recorder.Row) -> list[Statement]:
    """The statements that store a first version, its index rows and its audit row; one, but for a foreign id."""
    values = parameters(write, audit_row)
    home = ids.bucket_of(write.id)
    if not write.claim or home == write.bucket:
        values["home"] = home
        return [(_create_sql(filled(write.rows), write.claim), values)]
    # Two buckets: on Citus one statement cannot write both.
    locator = "INSERT INTO locator (bucket, type, id, target) VALUES (%s, %s, %s, %s)"
    return [
        (locator, (home, write.type, write.id, write.bucket)),
        (_create_sql(filled(write.rows), False), values),
    ]


def create(write: Write, audit_row: recorder.Row) -> None:
    """Stores the first version in one round trip. Raises Collision if the resource exists."""
    statements = create_statements(write, audit_row)
    if len(statements) == 1:
        database.fetch(*statements[0])
    else:
        database.batch(statements, atomic=True)


def supersede(write: Write, audit_row: recorder.Row) -> None:
    """Stores the next version (or the deletion), moves the previous one to the history: one round trip, two on Citus.

    Raises Collision unless the previous version is still the newest.
    """
    previous = write.previous
    assert previous is not None
    if write.moves:
        from . import store_many

        store_many.move(write, audit_row)
        return
    if citus.distributed():
        from . import store_routed

        store_routed.supersede(write, audit_row)
        return
    sql = _supersede_sql(filled(write.rows), write.body is None, previous.deleted)
    if not database.fetch(sql, parameters(write, audit_row)):
        raise database.Collision("superseded")
