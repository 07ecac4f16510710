"""The tables of a shard by their own names, where one node with Citus has all shards.

There a statement about one bucket need not be planned by Citus, which costs several times what the statement itself
does (docs/decisions/0070-local-shards.md). Such a statement is a ShardSQL, and fhir.database sends HOLD before it: a
function that keeps the shard where it is until the transaction ends, and fails with MOVED where it cannot. The node
has to be the only one: as soon as there is another, and so on a cluster always, everything goes through Citus.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import psycopg

Statement = tuple[str, Any]
Connection = psycopg.Connection[Any]

HOLD = "SELECT hold_local_shard(%s, %s::text[])"
# What that function raises where the shard is gone, or a second node is there.
MOVED = "CRMOV"

_HAS_CITUS = "SELECT 1 FROM pg_extension WHERE extname = 'citus'"
# Nothing, where there is a second node, or where the tables are not ours: then they could not be held.
_SHARDS = """SELECT s.shardminvalue::int, t.relname::text, t.relname::text || '_' || s.shardid, s.shardid
 FROM pg_dist_partition p JOIN pg_dist_shard s USING (logicalrelid) JOIN pg_class t ON t.oid = p.logicalrelid
 WHERE p.colocationid = (SELECT colocationid FROM pg_dist_partition WHERE logicalrelid = to_regclass('resource'))
 AND (SELECT groupid FROM pg_dist_local_group) = 0
 AND NOT EXISTS (SELECT FROM pg_dist_node WHERE groupid <> 0) AND to_regproc('hold_local_shard') IS NOT NULL
 AND NOT EXISTS (SELECT FROM pg_dist_partition o JOIN pg_class c ON c.oid = o.logicalrelid
  WHERE NOT pg_has_role(c.relowner, 'USAGE'))
 ORDER BY 1, 2"""
# SET LOCAL has no effect in a pipeline without BEGIN.
_MODE = "SELECT set_config('plan_cache_mode', '{}', true)"
_KEEP: Statement = (_MODE.format("force_generic_plan"), None)
_PLAN_ANEW: Statement = (_MODE.format("force_custom_plan"), None)
# Statements that a session keeps prepared; psycopg's own bound is 100.
_PREPARED = 400
# Citus places a bucket by this hash of it.
HASHES = "SELECT hashint4(b) FROM generate_series(0, 65535) AS b ORDER BY b"


class ShardSQL(str):
    """A statement that names the tables of `shard`. `routed` is the same for Citus; None where there is no such one."""

    __slots__ = ("routed", "shard")
    shard: Shard
    routed: str | None


@dataclass(frozen=True, eq=False, slots=True)
class Shard:
    """Where the rows of some buckets lie: the names of its tables, by those of the distributed ones."""

    tables: Mapping[str, str]
    hold: Statement
    names: re.Pattern[str]

    def sql(self, text: str) -> ShardSQL:
        """A statement all of whose rows, in every table, lie in one bucket of this shard."""
        return _named(self, text, text)

    def own(self, text: str, routed: str | None = None) -> ShardSQL:
        """The same where Citus takes another statement, or none: then the interaction begins anew."""
        return _named(self, text, routed)

    def at(self, statement: Statement) -> Statement:
        """A statement as `sql` wants it, with its parameters."""
        return self.sql(statement[0]), statement[1]

    def bound(self, text: str) -> ShardSQL:
        """A statement that has its values in it, and the names of this shard already."""
        return _made(text, self, None)


def _made(text: str, shard: Shard, routed: str | None) -> ShardSQL:
    made = ShardSQL(text)
    made.shard, made.routed = shard, routed
    return made


@lru_cache(maxsize=4096)
def _named(shard: Shard, text: str, routed: str | None) -> ShardSQL:
    return _made(shard.names.sub(lambda found: found[1] + shard.tables[found[2]], text), shard, routed)


@dataclass(frozen=True, slots=True)
class _Map:
    """The shards, in the order of their lowest hashes; the hash of each bucket."""

    lowest: Sequence[int] = ()
    shards: Sequence[Shard] = ()
    hashes: array[int] = field(default_factory=lambda: array("l"))

    def of(self, bucket: int) -> Shard | None:
        if not self.shards:
            return None
        return self.shards[max(0, bisect_right(self.lowest, self.hashes[bucket & 0xFFFF]) - 1)]


_NOTHING = _Map()
_known: WeakKeyDictionary[Connection, _Map] = WeakKeyDictionary()
# One for all connections that see the same shards.
_maps: dict[tuple[Any, ...], _Map] = {}


def of(connection: Connection, bucket: int) -> Shard | None:
    """The shard of a bucket, if this connection's node is the only one of a Citus; asked once in a connection.

    Raises psycopg.Error.
    """
    known = _known.get(connection)
    if known is None:
        known = _known[connection] = _load(connection)
    return known.of(bucket)


def forget(connection: Connection) -> None:
    """What is known is not so any more: it will be asked again."""
    _known.pop(connection, None)


def _load(connection: Connection) -> _Map:
    if connection.execute(_HAS_CITUS).fetchone() is None:
        return _NOTHING
    rows = tuple(connection.execute(_SHARDS).fetchall())
    if not rows:
        return _NOTHING
    if rows not in _maps:
        _maps[rows] = _map(rows, connection)
    # Each shard has statements of its own.
    connection.prepared_max = _PREPARED
    return _maps[rows]


def _map(rows: Sequence[tuple[int, str, str, int]], connection: Connection) -> _Map:
    tables: dict[int, dict[str, str]] = {}
    numbers: dict[int, int] = {}
    for lowest, table, name, number in rows:
        tables.setdefault(lowest, {})[table] = name
        if table == "resource":
            numbers[lowest] = number
    names = table_names(tables[min(tables)])
    # In the order in which a table that is distributed anew is locked: nobody waits for resource who has another one.
    order = sorted(tables[min(tables)], key=lambda table: (table != "resource", table))
    listed = "{" + ",".join(order) + "}"
    shards = [Shard(found, (HOLD, (numbers[lowest], listed)), names) for lowest, found in tables.items()]
    return _Map(list(tables), shards, array("l", (row[0] for row in connection.execute(HASHES).fetchall())))


def table_names(tables: Iterable[str]) -> re.Pattern[str]:
    """Finds the name of a table where it stands as one, and what comes before it: a column may be called the same."""
    return re.compile(rf"\b((?:FROM|JOIN|INTO|UPDATE)\s+)({'|'.join(tables)})\b")


def held(statements: Sequence[Statement], *, begun: bool) -> tuple[list[Statement], list[int]]:
    """The statements, each shard held before its first one; and the places of those that were given.

    HOLD also has PostgreSQL keep one plan of a statement; what Citus plans needs the values, and gets its way again.
    `begun` says that they go on with a transaction.
    """
    if not any(isinstance(text, ShardSQL) for text, _parameters in statements):
        return list(statements), list(range(len(statements)))
    sent: list[Statement] = []
    places: list[int] = []
    shards: set[Shard] = set()
    kept = False
    for text, parameters in statements:
        begun = (begun or text == "BEGIN") and text != "COMMIT"
        if isinstance(text, ShardSQL):
            if text.shard not in shards:
                sent.append(text.shard.hold)
            elif not kept:
                sent.append(_KEEP)
            shards.add(text.shard)
            kept = True
        elif kept and text != "COMMIT":
            sent.append(_PLAN_ANEW)
            kept = False
        places.append(len(sent))
        sent.append((text, parameters))
    if kept and begun:
        sent.append(_PLAN_ANEW)
    return sent, places


def routed(statements: Sequence[Statement]) -> list[Statement] | None:
    """The same statements for Citus; None if one of them is for a shard only."""
    found: list[Statement] = []
    for text, parameters in statements:
        through = text.routed if isinstance(text, ShardSQL) else text
        if through is None:
            return None
        found.append((through, parameters))
    return found
