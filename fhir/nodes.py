"""The nodes of a Citus cluster: which of them answer, and what is done about those that do not.

A node that is *down* refuses connections: statements for it fail in milliseconds. A node that is *frozen* accepts them
and says nothing: a statement for it hangs in the coordinator, which cannot cancel it, whatever statement_timeout says,
and the thread that sent it hangs too, until all threads do. So each process watches what it waits for. Where something
takes longer than SLOW_SECONDS, it asks the coordinator whether each node can be connected to. What waits for a frozen
node is ended, with 503, and nothing more is sent there until it answers again (docs/decisions/0050-dead-nodes.md).

There is nothing to watch without Citus.
"""

from __future__ import annotations

import logging
import os
import random
import re
import socket
import threading
import time
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg
from django.conf import settings
from django.db import DatabaseError, connection

from . import local_shards, statement_places

logger = logging.getLogger(__name__)

# A statement that takes longer is a reason to ask for the nodes.
SLOW_SECONDS = 1.0
# A node that cannot be connected to within this time is frozen.
CONNECT_SECONDS = 1.5
# What waits for a frozen node at least this long was sent before that was known.
_HUNG_SECONDS = 0.25
_TICK_SECONDS = 0.25
# So often a node in trouble is asked again.
_AGAIN_SECONDS = 0.5
# PostgreSQL ends a statement at its timeout; who has heard nothing so much later never will.
_GRACE_SECONDS = 5.0

Statement = tuple[str, Any]
Node = tuple[str, int]  # host and port, as the coordinator knows them

_NODES = (
    "SELECT nodename::text, nodeport FROM pg_dist_node WHERE isactive AND shouldhaveshards AND noderole = 'primary'"
)
_SHARDS = """SELECT s.shardminvalue::int, n.nodename::text, n.nodeport FROM pg_dist_shard s
 JOIN pg_dist_placement p ON p.shardid = s.shardid
 JOIN pg_dist_node n ON n.groupid = p.groupid AND n.noderole = 'primary'
 WHERE s.logicalrelid = to_regclass('resource') ORDER BY s.shardminvalue::int"""
_TABLES = "SELECT c.relname::text FROM pg_dist_partition d JOIN pg_class c ON c.oid = d.logicalrelid"
_SETTINGS = (
    f"SET citus.node_connection_timeout = '{int(CONNECT_SECONDS * 1000)}ms'",
    "SET citus.max_cached_conns_per_worker = 0",  # each question is a new connection
)
_ANSWERS = "SELECT citus_check_connection_to_node(%s, %s::int)"


class Waiting:
    """A context manager around what a thread waits for: statements on a connection."""

    __slots__ = ("cancelled", "connection", "look_after", "since", "statements")

    def __init__(self, connection: psycopg.Connection[Any], statements: Sequence[Statement]) -> None:
        self.connection, self.statements = connection, statements
        self.look_after = SLOW_SECONDS
        self.cancelled = False

    def __enter__(self) -> None:
        self.since = time.monotonic()
        _waiting[threading.get_ident()] = self

    def __exit__(self, *_error: object) -> None:
        _waiting.pop(threading.get_ident(), None)


@dataclass(frozen=True, slots=True)
class _Map:
    """Where what is: the tables that lie in shards, the lowest hash of each shard, and its node."""

    tables: re.Pattern[str]
    lowest: Sequence[int]
    nodes: Sequence[Node]
    hashes: array[int]

    def node_of(self, bucket: int) -> Node:
        """The node that has the shard of a bucket."""
        return self.nodes[max(0, bisect_right(self.lowest, self.hashes[bucket & 0xFFFF]) - 1)]

    def nodes_of(self, statements: Iterable[Statement]) -> set[Node]:
        """The nodes that may have to answer before these statements are done."""
        found: set[Node] = set()
        for sql, parameters in statements:
            if not self.tables.search(sql):
                continue
            buckets = statement_places.buckets(sql, parameters)
            if not buckets:
                return set(self.nodes)
            found.update(map(self.node_of, buckets))
        return found


@dataclass(slots=True)
class _State:
    """What this process knows. `down` and `frozen` are replaced, never changed."""

    map: _Map | None = None
    down: frozenset[Node] = frozenset()
    frozen: frozenset[Node] = frozenset()
    nodes: tuple[Node, ...] = ()
    looked_at: float = float("-inf")
    watcher: tuple[int, threading.Thread] | None = None
    serving: bool = False
    guard: threading.Lock = field(default_factory=threading.Lock)
    looking: threading.Lock = field(default_factory=threading.Lock)


_waiting: dict[int, Waiting] = {}
# Threads whose statements have no timeout.
_patient: set[int] = set()
_state = _State()


# --- what the others ask


def closed_to(statements: Sequence[Statement]) -> bool:
    """Whether these statements would wait for a node that is frozen."""
    if not _state.frozen or _state.map is None:
        return False
    return not _state.frozen.isdisjoint(_state.map.nodes_of(statements))


def living_bucket(bucket: int) -> int:
    """This bucket, or another one if its node is in trouble: the place of rows that belong to nobody."""
    trouble = _state.frozen | _state.down
    if not trouble or _state.map is None or trouble.issuperset(_state.nodes):
        return bucket
    while _state.map.node_of(bucket) in trouble:
        bucket = random.getrandbits(16)
    return bucket


def status(max_age: float = 1.0) -> tuple[int, int]:
    """(nodes that answer, nodes that there are), as they were not much more than `max_age` seconds ago.

    (0, 0) without Citus. Raises what Django raises where the coordinator does not answer.
    """
    if not _watching():
        return 0, 0
    if time.monotonic() - _state.looked_at > max_age:
        look()
    return len(_state.nodes) - len(_state.down | _state.frozen), len(_state.nodes)


def suspect() -> None:
    """A statement may have failed because of a node: the nodes are looked at in the background."""
    if _watching() and time.monotonic() - _state.looked_at > _AGAIN_SECONDS and not _state.looking.locked():
        threading.Thread(target=_look_quietly, name="nodes-look", daemon=True).start()


# --- looking at the nodes


def look() -> None:
    """Asks the coordinator for its nodes, and whether it can connect to each: all at once, each in its own session.

    Does nothing without Citus, or while another thread looks. Raises what Django raises where the coordinator does not
    answer.
    """
    if not _watching() or not _state.looking.acquire(blocking=False):
        return
    try:
        _state.map, _state.nodes = _places()
        found: dict[Node, str] = {}
        probes = [threading.Thread(target=_probe, args=(node, found), daemon=True) for node in _state.nodes]
        for probe in probes:
            probe.start()
        deadline = time.monotonic() + 2 * CONNECT_SECONDS
        for probe in probes:
            probe.join(max(0.0, deadline - time.monotonic()))
        _take_notice({node: found.get(node, "frozen") for node in _state.nodes})
    finally:
        _state.looked_at = time.monotonic()
        _state.looking.release()


def _look_quietly() -> None:
    """`look` in a thread of its own."""
    try:
        look()
    except DatabaseError:
        logger.warning("The nodes cannot be asked for: the coordinator does not answer", exc_info=True)
    except Exception:
        logger.exception("The nodes cannot be asked for")
    finally:
        connection.close()


def _places() -> tuple[_Map | None, tuple[Node, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(_NODES)
        nodes = tuple((name, port) for name, port in cursor.fetchall())
        cursor.execute(_SHARDS)
        shards = cursor.fetchall()
        if not shards:
            return None, nodes
        cursor.execute(_TABLES)
        tables = "|".join(re.escape(name) for (name,) in cursor.fetchall())
        if _state.map is not None:
            hashes = _state.map.hashes
        else:
            cursor.execute(local_shards.HASHES)
            hashes = array("i", [number for (number,) in cursor.fetchall()])
    lowest = [shard[0] for shard in shards]
    return _Map(re.compile(rf"\b(?:{tables})\b"), lowest, [(s[1], s[2]) for s in shards], hashes), nodes


def _probe(node: Node, found: dict[Node, str]) -> None:
    """How a node is: ok, down or frozen. Without the coordinator's answer nothing is found."""
    try:
        with connection.cursor() as cursor:
            for setting in _SETTINGS:
                cursor.execute(setting)
            begun = time.monotonic()
            cursor.execute(_ANSWERS, node)
            answers = cursor.fetchone()[0]
        late = time.monotonic() - begun >= 0.9 * CONNECT_SECONDS
        found[node] = "ok" if answers else "frozen" if late else "down"
    except DatabaseError:
        logger.warning("Asking for the node %s:%d failed", *node, exc_info=True)
        found[node] = "down"
    finally:
        connection.close()


def _take_notice(found: dict[Node, str]) -> None:
    down = frozenset(node for node, how in found.items() if how == "down")
    frozen = frozenset(node for node, how in found.items() if how == "frozen")
    for node in (down - _state.down) | (frozen - _state.frozen):
        logger.error("The node %s:%d is %s", *node, found[node])
    for node in (_state.down | _state.frozen) - down - frozen:
        logger.warning("The node %s:%d answers again", *node)
    _state.down, _state.frozen = down, frozen


# --- watching what is waited for


def serve() -> None:
    """The processes that follow are those of a server: none of their requests waits longer than a statement may."""
    _state.serving = True


def _watching() -> bool:
    return _state.watcher is not None and _state.watcher[0] == os.getpid()


def watch() -> None:
    """From now on this process, which is connected to a Citus cluster, watches what it waits for."""
    with _state.guard:
        if not _watching():
            thread = threading.Thread(target=_watch, name="nodes", daemon=True)
            _state.watcher = (os.getpid(), thread)
            thread.start()


def _watch() -> None:
    while True:
        time.sleep(_TICK_SECONDS)
        try:
            _tick()
        except Exception:
            logger.exception("Watching the nodes failed")


def _tick() -> None:
    now = time.monotonic()
    waiting = list(_waiting.items())
    slow = [w for _thread, w in waiting if now - w.since > w.look_after]
    for each in slow:
        each.look_after *= 2
    trouble = bool(_state.down or _state.frozen)
    if slow or (trouble and now - _state.looked_at > _AGAIN_SECONDS):
        suspect()
    last = settings.STATEMENT_TIMEOUT_SECONDS + _GRACE_SECONDS if _state.serving else float("inf")
    for thread, each in waiting:
        age = now - each.since
        if (age > _HUNG_SECONDS and _waits_for_frozen(each)) or (age > last and thread not in _patient):
            _end(thread, each)


def _waits_for_frozen(waiting: Waiting) -> bool:
    if not _state.frozen:
        return False
    if closed_to(waiting.statements):
        return True
    # What a COMMIT or ROLLBACK waits for was said before it.
    return waiting.statements[-1][0] in ("COMMIT", "ROLLBACK") and time.monotonic() - waiting.since > SLOW_SECONDS


def _end(thread: int, waiting: Waiting) -> None:
    """Cancels what a thread waits for, so that it is not done later either; in the next round, ends its wait.

    The coordinator takes notice of a cancel, but seldom can answer before the node does: the thread hears of it when
    its connection is shut.
    """
    if not waiting.cancelled:
        waiting.cancelled = True
        with suppress(psycopg.Error):
            waiting.connection.cancel_safe(timeout=SLOW_SECONDS)
        return
    with suppress(OSError, psycopg.Error):
        if _waiting.get(thread) is waiting:
            with socket.socket(fileno=os.dup(waiting.connection.pgconn.socket)) as line:
                line.shutdown(socket.SHUT_RDWR)
            logger.warning("A statement that nobody answers was ended")


@contextmanager
def unhurried() -> Iterator[None]:
    """Statements of this thread may take as long as they need."""
    _patient.add(threading.get_ident())
    try:
        yield
    finally:
        _patient.discard(threading.get_ident())


def watched(execute: Any, sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """Around each statement of Django's own cursors (https://docs.djangoproject.com/en/5.2/topics/db/instrumentation/)."""
    raw = context["connection"].connection
    with Waiting(raw, ((str(sql), None if many else params),)):
        return execute(sql, params, many, context)
