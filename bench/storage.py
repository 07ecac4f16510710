"""Bytes on disk and in the WAL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import connection


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes of one table and of all its indexes."""

    table: str
    heap: int
    indexes: int


def _value(sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def server_version() -> str:
    """That of PostgreSQL."""
    return str(_value("SHOW server_version")).split()[0]


def sizes() -> list[Size]:
    """The tables of the FHIR store and of the audit, after a VACUUM that empties the pending lists of GIN."""
    tables = sorted(
        model._meta.db_table for app in ("fhir", "audit") for model in apps.get_app_config(app).get_models()
    )
    with connection.cursor() as cursor:
        cursor.execute(f"VACUUM ANALYZE {', '.join(tables)}")
        found = []
        for table in tables:
            cursor.execute("SELECT pg_table_size(%s::regclass), pg_indexes_size(%s::regclass)", [table, table])
            found.append(Size(table, *cursor.fetchone()))
    return found


def resource_count() -> int:
    """Current resources in the store."""
    count = _value("SELECT count(*) FROM resource WHERE NOT deleted")
    assert isinstance(count, int)
    return count


def body_bytes() -> int:
    """Bytes of the JSON of all current resources."""
    return int(_value("SELECT sum(octet_length(body)) FROM content"))


def wal(action: Callable[[], Any]) -> int:
    """Bytes of WAL that are written while `action` runs, right after a checkpoint's full-page images were paid for."""
    start = _value("SELECT pg_current_wal_insert_lsn()")
    action()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), %s)", [start])
        return int(cursor.fetchone()[0])
