"""What the proof asks of the database itself: where charts lie, whether all is quiet, and everything that is stored."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import psycopg

from audit.interactions import INTERACTION_NUMBER
from fhir import ids, json
from fhir.definitions.structure import TYPE_NAME

from .judge import Snapshot, Version
from .resources import SYSTEM, mark_of

Connection = psycopg.Connection[tuple[Any, ...]]
QUIET_SECONDS = 75.0  # Citus finishes interrupted two-phase commits once a minute, if nobody changes that
_WRITES = tuple(INTERACTION_NUMBER[name] for name in ("create", "update", "patch", "delete"))

_GROUPS = """SELECT b.bucket, p.groupid FROM unnest(%s::int[]) AS b(bucket)
 JOIN pg_dist_placement p ON p.shardid = get_shard_id_for_distribution_column('resource'::regclass, b.bucket)"""
_CURRENT = """SELECT r.type, r.id, r.version, c.body FROM resource r
 LEFT JOIN content c ON c.bucket = r.bucket AND c.type = r.type AND c.id = r.id"""
_SUPERSEDED = "SELECT type, id, version, body FROM history"
_AUDITED = "SELECT type, resource_id, version FROM audit_record WHERE interaction = ANY(%s) AND version IS NOT NULL"
_REQUESTS = "SELECT request_id FROM audit_record"
_PREPARED = "SELECT success, result FROM run_command_on_all_nodes('SELECT count(*) FROM pg_prepared_xacts')"
_BUSY = """SELECT count(*) FROM citus_stat_activity
 WHERE application_name = 'clinical_records' AND state <> 'idle' AND NOT is_worker_query"""
_SIZES = """SELECT p.groupid, count(DISTINCT s.shardid) FROM pg_dist_placement p
 JOIN pg_dist_shard s ON s.shardid = p.shardid WHERE s.logicalrelid = 'resource'::regclass GROUP BY 1 ORDER BY 1"""


def versions(connection: Connection) -> dict[str, str]:
    """Of PostgreSQL and of Citus."""
    sql = "SELECT current_setting('server_version'), extversion FROM pg_extension WHERE extname = 'citus'"
    postgresql, citus = connection.execute(sql).fetchall()[0]
    return {"PostgreSQL": str(postgresql), "Citus": str(citus)}


def groups_of(connection: Connection, resource_ids: Iterable[str]) -> dict[str, int]:
    """The group of nodes on which each resource of a server-assigned id lies."""
    buckets = {resource_id: ids.bucket_of(resource_id) for resource_id in resource_ids}
    groups: dict[int, int] = dict(connection.execute(_GROUPS, [sorted(set(buckets.values()))]).fetchall())
    return {resource_id: groups[bucket] for resource_id, bucket in buckets.items()}


def shards_of(connection: Connection) -> dict[int, int]:
    """How many shards of a table each group has."""
    return dict(connection.execute(_SIZES).fetchall())


def wait_until_quiet(connection: Connection) -> float:
    """Until no request is at work and no two-phase commit waits for its end; the seconds that it took.

    At most QUIET_SECONDS: what is not finished by then is for the judge to see.
    """
    started = time.monotonic()
    while time.monotonic() - started < QUIET_SECONDS:
        if not prepared(connection) and not connection.execute(_BUSY).fetchall()[0][0]:
            break
        time.sleep(0.2)
    return time.monotonic() - started


def prepared(connection: Connection) -> int:
    """Two-phase commits that wait for their end, on all nodes. Raises ConnectionError if a node does not answer."""
    total = 0
    for success, result in connection.execute(_PREPARED).fetchall():
        if not success:
            raise ConnectionError(f"A node does not answer: {result}")
        total += int(result)
    return total


def snapshot(connection: Connection) -> Snapshot:
    """Everything that is stored."""
    versions = []
    for statement in (_CURRENT, _SUPERSEDED):
        for number, resource_id, version, text in connection.execute(statement):
            body = json.loads(text) if text and SYSTEM in text else None
            mark = mark_of(body) if body else None
            versions.append(Version(TYPE_NAME[number], resource_id, version, mark, body))
    audited = frozenset((TYPE_NAME[n], i, v) for n, i, v in connection.execute(_AUDITED, [list(_WRITES)]))
    requests = frozenset(str(request) for (request,) in connection.execute(_REQUESTS))
    return Snapshot(versions, audited, requests, prepared(connection))
