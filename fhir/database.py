"""Round trips to PostgreSQL: every statement of the FHIR store goes through here.

One call of `fetch` or `batch` is one round trip: the client sends, waits once, and reads all answers. `trips()` counts
them, so that tests can pin what each interaction costs. `batch(…, atomic=True)` puts BEGIN and COMMIT into the
same trip; a pipeline's implicit transaction is not atomic on Citus, so a batch that writes more than one row set
must be atomic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import psycopg
from django.db import connection as django_connection

Row = tuple[Any, ...]
Statement = tuple[str, Sequence[Any]]

_counter: ContextVar[list[int] | None] = ContextVar("trips", default=None)


@contextmanager
def trips() -> Iterator[list[int]]:
    """Counts round trips inside the block: the first item of the list."""
    count = [0]
    token = _counter.set(count)
    try:
        yield count
    finally:
        _counter.reset(token)


def _count() -> None:
    count = _counter.get()
    if count is not None:
        count[0] += 1


def raw() -> psycopg.Connection[Row]:
    """psycopg's connection under Django's, in autocommit. Raises what connecting raises."""
    if django_connection.connection is None:
        django_connection.ensure_connection()
    connection: psycopg.Connection[Row] = django_connection.connection
    return connection


def fetch(sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
    """One statement, one round trip; its rows, [] where it has none."""
    _count()
    cursor = raw().execute(sql, parameters)
    return cursor.fetchall() if cursor.description else []


def batch(statements: Sequence[Statement], *, atomic: bool = False) -> list[list[Row]]:
    """Several statements in one round trip; the rows of each.

    `atomic` frames them in BEGIN and COMMIT. An error of any statement undoes all and is raised.
    """
    _count()
    connection = raw()
    cursors = []
    try:
        with connection.pipeline():
            if atomic:
                connection.execute("BEGIN")
            for sql, parameters in statements:
                cursors.append(connection.execute(sql, parameters))
            if atomic:
                connection.execute("COMMIT")
    except BaseException:
        _abandon(connection)
        raise
    return [cursor.fetchall() if cursor.description else [] for cursor in cursors]


def _abandon(connection: psycopg.Connection[Row]) -> None:
    """Ends a failed transaction, so that the connection can serve the next request; a broken one is dropped."""
    if connection.closed or connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
        return
    try:
        connection.rollback()
    except psycopg.Error:
        connection.close()
