"""What a large load leaves to do: pending index entries to be merged, statistics for the planner to be taken."""

from __future__ import annotations

from django.db import connection

TABLES = (
    "resource",
    "content",
    "range_index",
    "string_index",
    "code_value_index",
    "locator",
    "compartment_link",
    "identifier_locator",
)


def settle() -> None:
    """Vacuum and analyze the tables of the store, on all shards; outside of a transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        (timeout,) = cursor.fetchone()
        cursor.execute("SET statement_timeout = 0")
        for table in TABLES:
            cursor.execute(f"VACUUM (ANALYZE) {table}")
        cursor.execute("SELECT set_config('statement_timeout', %s, false)", [timeout])
