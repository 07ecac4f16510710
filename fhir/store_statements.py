"""The statements that store one version: its row, its content, its index rows, its audit row."""

from __future__ import annotations

from functools import cache
from typing import Any

from audit import recorder

from . import citus, database, ids, place_rows
from .database import Statement
from .index_rows import IndexRows
from .versions import Write, array

Filled = tuple[tuple[str, int], ...]

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
def _create_sql(filled: Filled, claim: bool, places: tuple[str, ...]) -> str:
    parts, values = [_INSERT_RESOURCE, _INSERT_CONTENT], dict(filled)
    parts += [f"{i[0]} AS ({insert_index(*i, values=values[i[0]])})" for i in INDEXES if i[0] in values]
    if claim:
        parts.append(_INSERT_LOCATOR)
    parts += map(place_rows.cte, places)
    return f"WITH {', '.join(parts)} {INSERT_AUDIT}"


def update_resource(deletion: bool) -> str:
    """The guarded UPDATE of the resource's row: one row of answer, or none where another version came first."""
    return f"""UPDATE resource SET version = %(v)s, updated = %(u)s, method = %(m)s, deleted = {str(deletion).lower()},
 pat = %(p)s::bigint, sdate = %(sdate)s, present = %(present)s, terms = %(terms)s::bigint[]
 WHERE {AT_KEY} AND version = %(pv)s RETURNING 1"""


_UNTOUCHED = " AND xmin::text = COALESCE(%(row)s, xmin::text) RETURNING"


@cache
def supersede_sql(filled: Filled, deletion: bool, revival: bool, places: tuple[str, ...]) -> str:
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
    parts += (place_rows.cte(name, "WHERE EXISTS (SELECT FROM u)") for name in places)
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


def filled(rows: IndexRows) -> Filled:
    """The index tables that these rows go to, by their names in INDEXES, and `values` of insert_index for each."""
    return _filled(rows, _FEW if citus.distributed() else 0)


def arrays(rows: IndexRows) -> Filled:
    """The same, all of them for arrays."""
    return _filled(rows, 0)


def _filled(rows: IndexRows, most: int) -> Filled:
    named = (("ranges", rows.ranges), ("strings", rows.strings), ("code_values", rows.code_values))
    return tuple((name, len(entries) if len(entries) <= most else 0) for name, entries in named if entries)


def create_statements(write: Write, audit_row: recorder.Row) -> list[Statement]:
    """The statements that store a first version, its index rows and its audit row: one, if one bucket holds them all.

    On Citus one statement cannot write two buckets.
    """
    values = parameters(write, audit_row)
    home, tables, places = ids.bucket_of(write.id), filled(write.rows), place_rows.of([write])
    elsewhere: list[Statement] = []
    claim = write.claim
    if claim and home != write.bucket:
        claim = False
        locator = "INSERT INTO locator (bucket, type, id, target) VALUES (%s, %s, %s, %s)"
        elsewhere.append((locator, (home, write.type, write.id, write.bucket)))
    values["home"] = home
    shard = database.here(write.bucket)
    if shard is not None:
        create = _create_sql(arrays(write.rows), claim, ())
        return [*elsewhere, *places.statements(), (shard.own(create, _create_sql(tables, claim, ())), values)]
    if citus.distributed():
        return [*elsewhere, *places.statements(), (_create_sql(tables, claim, ()), values)]
    return [*elsewhere, (_create_sql(tables, claim, places.names), {**values, **places.parameters})]
