"""Audit rows as parameters of SQL, so that they travel in the statement or the pipeline of the access itself.

One row is a tuple in the order of COLUMNS. Numbers are given as text with a cast: psycopg prepares a statement for each
combination of parameter types, and NULL has the type of text, so that this way there is one statement for every row.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from fhir import nodes

from .interactions import INTERACTION_NUMBER, outcome_of

Row = tuple[Any, ...]

_TYPES: dict[str, str] = {
    "bucket": "integer",
    "id": "uuid",
    "at": "timestamptz",
    "request_id": "uuid",
    "user_id": "text",
    "username": "text",
    "role": "text",
    "client": "text",
    "interaction": "smallint",
    "type": "smallint",
    "resource_id": "text",
    "version": "integer",
    "pat": "bigint",
    "patient": "text",
    "query": "text",
    "outcome": "smallint",
    "status": "smallint",
    "detail": "text",
}
TABLE = "audit_record"
COLUMNS: tuple[str, ...] = tuple(_TYPES)
CASTS: tuple[str, ...] = tuple(f"%s::{sql_type}" for sql_type in _TYPES.values())
COLUMN_LIST = ", ".join(f'"{name}"' for name in COLUMNS)


class Cursor(Protocol):
    """The part of a database cursor that is used here."""

    def execute(self, query: Any, params: Any = None, /) -> Any:
        """Run one statement."""


class Actor(Protocol):
    """Who did it: an `accounts.scopes.Scope`, or anything with these three."""

    @property
    def user_id(self) -> str: ...
    @property
    def username(self) -> str: ...
    @property
    def role(self) -> str: ...


def array_literal(values: Iterable[Any]) -> str:
    """An array of PostgreSQL as text, for values whose text PostgreSQL reads; a tenth of what psycopg's dump costs.

    https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO
    """
    return "{" + ",".join("NULL" if value is None else _quoted(str(value)) for value in values) + "}"


def _quoted(text: str) -> str:
    if "\\" in text or '"' in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def values_sql() -> str:
    """`(%s::integer, …)`: one row of VALUES, or the select list of a CTE, for a tuple of `record`."""
    return f"({', '.join(CASTS)})"


INSERT_SQL = f"INSERT INTO {TABLE} ({COLUMN_LIST}) VALUES {values_sql()}"

_ARRAYS = ", ".join(f"%s::{sql_type}[]" for sql_type in _TYPES.values())
_REST_COLUMNS = ", ".join(f'u."{name}"' for name in COLUMNS[1:])
_REST_NAMES = ", ".join(f'"{name}"' for name in COLUMNS[1:])
_REST_ARRAYS = ", ".join(f"%s::{sql_type}[]" for sql_type in list(_TYPES.values())[1:])

# For rows of one bucket: Citus routes it to one shard because the bucket is a constant of the statement.
INSERT_BUCKET_SQL = (
    f"INSERT INTO {TABLE} ({COLUMN_LIST}) SELECT %s::integer, {_REST_COLUMNS} FROM unnest({_REST_ARRAYS})"
    f" AS u({_REST_NAMES})"
)
INSERT_MANY_SQL = f"INSERT INTO {TABLE} ({COLUMN_LIST}) SELECT * FROM unnest({_ARRAYS})"


def time_ordered_id(at: datetime) -> str:
    """A UUID of version 7 (RFC 9562 section 5.7): milliseconds, then 72 random bits."""
    stamp = f"{int(at.timestamp() * 1000):012x}"
    noise = os.urandom(10).hex()
    return f"{stamp[:8]}-{stamp[8:]}-7{noise[:3]}-8{noise[3:6]}-{noise[6:18]}"


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)


def record(
    actor: Actor | None,
    *,
    interaction: str,
    bucket: int | None,
    status: int,
    request_id: UUID | str,
    client: str,
    at: datetime,
    type_number: int | None = None,
    resource_id: str | None = None,
    version: int | None = None,
    pat: int | None = None,
    patient: str | None = None,
    query: str | None = None,
    detail: str | None = None,
) -> Row:
    """One row, in the order of COLUMNS.

    `interaction` is a key of INTERACTION_NUMBER (KeyError otherwise); `bucket` None spreads rows that belong to no
    patient and no resource over the shards of the nodes that answer; `at` must know its time zone.
    """
    row_id = time_ordered_id(at)
    if bucket is None:
        bucket = nodes.living_bucket(int(row_id[-4:], 16))
        row_id = f"{row_id[:-4]}{bucket:04x}"
    return (
        str(bucket),
        row_id,
        at,
        str(request_id),
        "" if actor is None else actor.user_id,
        "" if actor is None else actor.username,
        "" if actor is None else actor.role,
        client,
        str(INTERACTION_NUMBER[interaction]),
        _text(type_number),
        resource_id,
        _text(version),
        _text(pat),
        patient,
        query,
        str(outcome_of(status)),
        str(status),
        detail,
    )


def decided(row: Row, columns: Mapping[str, int | None]) -> Row:
    """The row with these numbers in it, which were not known when it was made."""
    return tuple(_text(columns[name]) if name in columns else value for name, value in zip(COLUMNS, row, strict=True))


def insert(cursor: Cursor, row: Row) -> None:
    """Write one row in the transaction of the cursor."""
    cursor.execute(INSERT_SQL, row)


def insert_many(cursor: Cursor, rows: Iterable[Row]) -> None:
    """Write rows in one statement, in the transaction of the cursor; no rows is no statement."""
    stored = list(rows)
    if not stored:
        return
    if len({row[0] for row in stored}) == 1:
        cursor.execute(INSERT_BUCKET_SQL, bucket_parameters(stored))
        return
    cursor.execute(INSERT_MANY_SQL, many_parameters(stored))


def many_parameters(rows: Sequence[Row]) -> list[str]:
    """The parameters of INSERT_MANY_SQL."""
    return [array_literal(column) for column in zip(*rows, strict=True)]


def bucket_parameters(rows: Sequence[Row]) -> list[Any]:
    """The parameters of INSERT_BUCKET_SQL for rows that all have the bucket of the first."""
    _, *columns = zip(*rows, strict=True)
    return [rows[0][0], *map(array_literal, columns)]
