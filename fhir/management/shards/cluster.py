"""What the coordinator knows of its nodes and shards.

https://docs.citusdata.com/en/stable/develop/api_metadata.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from fhir import citus, database

_NODES = """SELECT nodeid, groupid, nodename, nodeport, noderole::text, isactive, shouldhaveshards, metadatasynced
 FROM pg_dist_node ORDER BY groupid, noderole, nodeid"""
_SHARDS = """SELECT s.shardid, s.shardminvalue::int, s.shardmaxvalue::int, n.nodeid
 FROM pg_dist_shard s JOIN pg_dist_placement p USING (shardid) JOIN pg_dist_node n USING (groupid)
 WHERE s.logicalrelid = 'resource'::regclass AND n.noderole = 'primary' ORDER BY s.shardminvalue::int"""
# All shards of all tables, each with the shard of resource that it lies with.
_PIECES = """SELECT s.shardid, shard_name(s.logicalrelid, s.shardid), s.logicalrelid::text, r.shardid, p.groupid
 FROM pg_dist_shard s JOIN pg_dist_placement p USING (shardid)
 JOIN pg_dist_partition d USING (logicalrelid)
 JOIN pg_dist_partition e ON e.colocationid = d.colocationid AND e.logicalrelid = 'resource'::regclass
 JOIN pg_dist_shard r ON r.logicalrelid = e.logicalrelid AND r.shardminvalue = s.shardminvalue"""
# Not citus_tables: that view asks all nodes for sizes.
_TABLES = """SELECT d.logicalrelid::text, d.colocationid, count(*) FROM pg_dist_partition d
 JOIN pg_dist_shard s USING (logicalrelid) GROUP BY 1, 2 ORDER BY 1"""


@dataclass(frozen=True, slots=True)
class Node:
    """A row of pg_dist_node. Group 0 is the coordinator; the nodes of a group are a primary and its standbys."""

    id: int
    group: int
    host: str
    port: int
    role: str
    active: bool
    has_shards: bool
    synced: bool

    @property
    def name(self) -> str:
        """host:port"""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard of table resource, and with it those of all other tables: hashes `low` to `high`, on a node."""

    id: int
    low: int
    high: int
    node: int


@dataclass(frozen=True, slots=True)
class Piece:
    """A shard of any of the tables; `home` is the shard of resource that it lies with."""

    id: int
    relation: str
    table: str
    home: int
    group: int


def require() -> None:
    """Raises CommandError unless the tables are distributed."""
    if not citus.distributed():
        raise CommandError(_("The tables of this database are not distributed: it has no Citus, or no nodes yet."))


def known(sql: str, *parameters: Any) -> list[database.Row]:
    """What the coordinator knows by itself, for which no other node is asked.

    Past fhir.nodes, which takes the name of a table for a question to all of its shards, and refuses it while a node is
    frozen.
    """
    return database.raw().execute(sql, parameters).fetchall()


def nodes() -> list[Node]:
    """All nodes, by group; the primary of a group before its standbys."""
    return [Node(*row) for row in known(_NODES)]


def primaries() -> list[Node]:
    """The node of each group that answers for it."""
    return [node for node in nodes() if node.role == "primary"]


def coordinator() -> str | None:
    """The address that the coordinator is registered with; None before that."""
    return next((node.name for node in primaries() if node.group == 0), None)


def shards() -> list[Shard]:
    """The shards of resource, by hash."""
    return [Shard(*row) for row in known(_SHARDS)]


def pieces() -> list[Piece]:
    """All shards of the tables that lie with resource."""
    return [Piece(*row) for row in known(_PIECES)]


def tables() -> list[tuple[str, int, int]]:
    """(table, co-location group, shards) of all distributed tables."""
    return [(row[0], row[1], row[2]) for row in known(_TABLES)]


def find(text: str) -> Node:
    """The primary that HOST:PORT or HOST names. Raises CommandError for none, and for several."""
    found = [node for node in primaries() if text in (node.name, node.host)]
    if len(found) != 1:
        known = ", ".join(node.name for node in primaries())
        raise CommandError(_("“%(node)s” names no node, or several; the nodes are %(known)s.") % {
            "node": text, "known": known})  # fmt: skip
    return found[0]


def call(sql: str, *parameters: Any) -> list[database.Row]:
    """A statement that may take as long as it needs, on this command's own connection."""
    database.fetch("SET statement_timeout = 0")
    return database.fetch(sql, parameters)
