"""What differs where PostgreSQL has the Citus extension: distributing tables, and knowing that they are distributed.

Plain PostgreSQL runs the same migrations and the same code; there these functions do nothing or answer False.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from django.conf import settings
from django.db import connection as default_connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation, OperationCategory
from django.db.migrations.state import ProjectState

from . import database

COLUMN = "bucket"


def has_citus(connection: BaseDatabaseWrapper) -> bool:
    """Whether this database, not merely the server, has the extension. One round trip."""
    if connection.vendor != "postgresql":
        return False
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_extension WHERE extname = 'citus'")
        return cursor.fetchone() is not None


def is_distributed(connection: BaseDatabaseWrapper, table: str) -> bool:
    """Whether `table` lies in shards. False without Citus, and where there is no such table."""
    if not has_citus(connection):
        return False
    with connection.cursor() as cursor:
        # to_regclass: NULL for what does not exist, so that nothing is raised inside a transaction.
        # Not citus_tables: that view asks all nodes for sizes, and hangs where one of them is frozen.
        cursor.execute("SELECT 1 FROM pg_dist_partition WHERE logicalrelid = to_regclass(%s)", [table])
        return cursor.fetchone() is not None


def distributed() -> bool:
    """Whether the FHIR tables lie in shards: then statements name their bucket, and are many instead of few.

    Asked of the database once in a process; the migration that distributes comes before the first resource.
    """
    at = default_connection.settings_dict
    return _distributed(at["HOST"], str(at["PORT"]), at["NAME"])


@cache
def _distributed(host: str, port: str, name: str) -> bool:
    with database.trips():  # not one of the trips that an interaction is held to
        if not database.fetch("SELECT 1 FROM pg_extension WHERE extname = 'citus'"):
            return False
        return bool(database.fetch("SELECT 1 FROM pg_dist_partition WHERE logicalrelid = to_regclass('resource')"))


class Distribute(Operation):
    """Migration operation: spreads a table over the shards of the cluster by one of its columns.

    Without `colocate_with` the table begins a co-location group of `settings.CITUS_SHARD_COUNT` shards; with it the
    table joins the group of that one, so that rows of one bucket lie on one node. Does nothing without Citus, or where
    the table is distributed already. Nothing to undo either: dropping a distributed table drops its shards.

    https://docs.citusdata.com/en/stable/develop/api_udf.html#create-distributed-table
    """

    reversible = True
    reduces_to_sql = True
    elidable = False
    category = OperationCategory.SQL

    def __init__(self, table: str, column: str = COLUMN, colocate_with: str | None = None) -> None:
        self.table, self.column, self.colocate_with = table, column, colocate_with

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """The models do not change."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Distributes the table and what is in it. Raises what PostgreSQL raises where the column cannot serve."""
        connection = schema_editor.connection
        if not has_citus(connection) or is_distributed(connection, self.table):
            return
        _one_shard_after_another(connection)
        with connection.cursor() as cursor:
            cursor.execute(*self._call())

    def _call(self) -> tuple[str, list[Any]]:
        if self.colocate_with is not None:
            sql = "SELECT create_distributed_table(%s::regclass, %s, colocate_with => %s)"
            return sql, [self.table, self.column, self.colocate_with]
        sql = "SELECT create_distributed_table(%s::regclass, %s, colocate_with => 'none', shard_count => %s::int)"
        return sql, [self.table, self.column, settings.CITUS_SHARD_COUNT]

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Leaves the table distributed: the migration that made it drops it with its shards."""

    def describe(self) -> str:
        """One line for `migrate --plan`."""
        return f"Distribute {self.table} by {self.column} where there is Citus"

    @property
    def migration_name_fragment(self) -> str:
        """What makemigrations calls a migration of this operation."""
        return f"distribute_{self.table}"


def _one_shard_after_another(connection: BaseDatabaseWrapper) -> None:
    """Until the transaction ends; Citus asks it of one that changes several tables of a group."""
    if connection.in_atomic_block:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL citus.multi_shard_modify_mode = 'sequential'")
