"""Test databases on all nodes of a Citus cluster; on plain PostgreSQL they are as Django makes them.

A database has its own list of nodes and its own extension, so that a new one on the coordinator alone would be plain
PostgreSQL, and its tests would prove nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import psycopg
from django.db.backends.postgresql import creation
from psycopg import sql

_ADDRESS = frozenset({"host", "port", "user", "password"})


class Node(NamedTuple):
    """A node as the coordinator reaches it; group 0 is the coordinator."""

    group: int
    host: str
    port: int


class DatabaseCreation(creation.DatabaseCreation):
    """Makes and drops a test database on every node that the database of the settings has."""

    nodes: tuple[Node, ...] = ()

    def create_test_db(self, *args: Any, **kwargs: Any) -> str:
        """Looks for the cluster while the settings still name its database."""
        self.nodes = self._find_nodes()
        return super().create_test_db(*args, **kwargs)

    def make(self, name: str) -> None:
        """A new, empty database of that name, instead of one that may be there; the settings name another one."""
        self.nodes = self._find_nodes()
        self._drop(name)
        with self._connect(None, "postgres") as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        if self.nodes:
            self._make_cluster(name)

    def drop(self, name: str) -> None:
        """Drops what `make` made."""
        self.connection.close()
        self._drop(name)

    def sessions(self) -> Iterator[psycopg.Connection[Any]]:
        """A session with every server, the coordinator first; each is open until the next one is asked for."""
        for node in (None, *self._workers()):
            with self._connect(node, "postgres") as connection:
                yield connection

    def _execute_create_test_db(self, cursor: Any, parameters: dict[str, str], keepdb: bool = False) -> None:
        name = parameters["dbname"].strip('"')
        kept = keepdb and self._database_exists(cursor, name)  # type: ignore[attr-defined]
        if self.nodes and not kept:
            self._drop(name)
        super()._execute_create_test_db(cursor, parameters, keepdb)  # type: ignore[misc]  # not in the types of Django
        if self.nodes and not kept:
            self._make_cluster(name)

    def _destroy_test_db(self, test_database_name: str, verbosity: int) -> None:
        self.connection.close()
        self._drop(test_database_name)

    def _find_nodes(self) -> tuple[Node, ...]:
        with self._connect() as connection:
            if not connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'citus'").fetchone():
                return ()
            found = connection.execute(
                "SELECT groupid, nodename, nodeport FROM pg_dist_node WHERE noderole = 'primary' ORDER BY groupid"
            )
            nodes = tuple(Node(*row) for row in found)
        if not nodes:
            at = self.connection.settings_dict
            nodes = (Node(0, at["HOST"] or "localhost", int(at["PORT"] or 5432)),)
        return nodes

    def _workers(self) -> list[Node]:
        return [node for node in self.nodes if node.group != 0]

    def _connect(self, node: Node | None = None, database: str | None = None) -> psycopg.Connection[Any]:
        """To the server of the settings, or with its user and password to a worker."""
        parameters = self.connection.get_connection_params()
        given = {name: parameters[name] for name in parameters if name in _ADDRESS or name.startswith("ssl")}
        given["dbname"] = database or parameters["dbname"]
        if node is not None:
            given |= {"host": node.host, "port": node.port}
        return psycopg.connect(**given, autocommit=True)

    def _drop(self, name: str) -> None:
        """Citus, and servers that tests kill, leave sessions: FORCE ends them. The coordinator goes first."""
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        for node in (None, *self._workers()):
            with self._connect(node, "postgres") as connection:
                connection.execute(statement)

    def _make_cluster(self, name: str) -> None:
        for node in self._workers():
            with self._connect(node, "postgres") as connection:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            with self._connect(node, name) as connection:
                connection.execute("CREATE EXTENSION citus")
        with self._connect(None, name) as connection:
            connection.execute("CREATE EXTENSION citus")
            self._register(connection)

    def _register(self, connection: psycopg.Connection[Any]) -> None:
        for node in self.nodes:
            if node.group == 0:
                connection.execute("SELECT citus_set_coordinator_host(%s, %s)", (node.host, node.port))
        for node in self._workers():
            connection.execute("SELECT citus_add_node(%s, %s)", (node.host, node.port))
        if not self._workers():
            host, port = self.nodes[0].host, self.nodes[0].port
            connection.execute("SELECT citus_set_node_property(%s, %s, 'shouldhaveshards', true)", (host, port))
