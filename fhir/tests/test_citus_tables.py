"""Where there is Citus the FHIR tables really are distributed; where there is none the same migrations do nothing."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from django.conf import settings
from django.db import connection, transaction
from django.db.migrations.state import ProjectState
from django.db.utils import NotSupportedError

from clinical_records.env import database_url
from fhir import citus
from fhir.citus import Distribute

TABLES = {
    "resource",
    "content",
    "history",
    "range_index",
    "string_index",
    "code_value_index",
    "locator",
    "compartment_link",
    "identifier_locator",
    "audit_record",
}


@pytest.fixture
def table(database: None) -> Iterator[str]:
    """A table with two rows and no shards; dropped in the end."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE to_distribute (bucket integer, name text, PRIMARY KEY (bucket, name))")
        cursor.execute("INSERT INTO to_distribute VALUES (1, 'a'), (2, 'b')")
    yield "to_distribute"
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE to_distribute")


@pytest.fixture
def cluster(database: None) -> None:
    """The test is skipped where the test database is plain PostgreSQL."""
    if not citus.has_citus(connection):
        pytest.skip("the database has no Citus extension (set DATABASE_URL to that of a coordinator)")


def rows(sql: str) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def apply(operation: Distribute) -> None:
    """As the migrations do: in a transaction."""
    state = ProjectState()
    with connection.schema_editor(atomic=True) as editor:
        operation.database_forwards("fhir", editor, state, state)


@pytest.mark.citus
def test_all_fhir_tables_are_one_group_by_bucket(cluster: None) -> None:
    found = rows("SELECT table_name::text, distribution_column, shard_count, colocation_id FROM citus_tables")
    assert {name for name, *_ in found} == TABLES
    assert {column for _, column, *_ in found} == {"bucket"}
    assert {count for *_, count, _ in found} == {settings.CITUS_SHARD_COUNT}
    assert len({group for *_, group in found}) == 1


@pytest.mark.citus
def test_the_shards_lie_on_all_workers(cluster: None) -> None:
    workers = rows("SELECT groupid FROM pg_dist_node WHERE shouldhaveshards AND noderole = 'primary'")
    used = rows("SELECT DISTINCT groupid FROM pg_dist_placement")
    assert set(used) == set(workers)


@pytest.mark.citus
def test_it_distributes_what_is_in_the_table_and_does_it_once(cluster: None, table: str) -> None:
    for _again in range(2):
        apply(Distribute(table, colocate_with="resource"))
    group = "SELECT colocation_id FROM citus_tables WHERE table_name = '{}'::regclass"
    assert rows(group.format(table)) == rows(group.format("resource"))
    assert rows(f"SELECT * FROM {table} ORDER BY name") == [(1, "a"), (2, "b")]


@pytest.mark.citus
def test_a_table_of_its_own_group_has_the_shards_of_the_setting(cluster: None, table: str) -> None:
    apply(Distribute(table))
    found = rows(f"SELECT shard_count FROM citus_tables WHERE table_name = '{table}'::regclass")
    assert found == [(settings.CITUS_SHARD_COUNT,)]


@pytest.mark.citus
def test_a_column_that_cannot_serve_is_refused_and_nothing_changes(cluster: None, database: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE without_key (id integer PRIMARY KEY, bucket integer)")
    try:
        with pytest.raises(NotSupportedError, match="partition column"), transaction.atomic():
            apply(Distribute("without_key"))
        assert not citus.is_distributed(connection, "without_key")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE without_key")


def test_tables_lie_in_shards_where_there_is_citus_and_nowhere_else(table: str) -> None:
    """The same migration on both; whatever it does, the rows are there after it."""
    there = rows("SELECT 1 FROM pg_extension WHERE extname = 'citus'") != []
    apply(Distribute(table, colocate_with="resource"))
    assert citus.has_citus(connection) == there
    assert citus.is_distributed(connection, table) == there
    assert citus.is_distributed(connection, "resource") == there
    assert citus.distributed() == there
    assert rows(f"SELECT * FROM {table} ORDER BY name") == [(1, "a"), (2, "b")]


def test_the_operation_survives_the_writer_of_migrations() -> None:
    operation = Distribute("resource", colocate_with="content")
    _name, args, kwargs = operation.deconstruct()
    again = Distribute(*args, **kwargs)
    assert (again.table, again.column, again.colocate_with) == ("resource", "bucket", "content")
    assert again.describe() == "Distribute resource by bucket where there is Citus"


def test_the_whole_run_is_on_citus_where_the_settings_name_a_coordinator(database: None) -> None:
    """A test database without the extension would be plain PostgreSQL, and prove nothing of Citus."""
    if not settings.DATABASE_URL:
        assert not citus.has_citus(connection)
        return
    at = connection.settings_dict
    given = {name.lower(): at[name] for name in ("HOST", "PORT", "USER", "PASSWORD") if at[name]}
    with psycopg.connect(dbname=database_url(settings.DATABASE_URL)["NAME"], **given) as named:
        expected = named.execute("SELECT 1 FROM pg_extension WHERE extname = 'citus'").fetchone()
    assert citus.has_citus(connection) == (expected is not None)
