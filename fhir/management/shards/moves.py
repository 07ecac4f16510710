"""Moves of shards in the background, as Citus reports them.

https://docs.citusdata.com/en/stable/develop/api_udf.html#citus-rebalance-status tells the same and asks the nodes.
"""

from __future__ import annotations

import re
from typing import Any

from django.utils.translation import gettext as _

from fhir import database

from . import cluster, health

_JOB = """SELECT job_id, state::text, started_at, finished_at FROM pg_dist_background_job
 WHERE job_type = 'rebalance' ORDER BY job_id DESC LIMIT 1"""
_TASKS = """SELECT task_id, status::text, command, coalesce(retry_count, 0), message
 FROM pg_dist_background_task WHERE job_id = %s ORDER BY task_id"""
_RUNNING = """SELECT shardid, sum(target_shard_size)::bigint FROM get_rebalance_progress()
 WHERE operation_type = 'move' GROUP BY 1"""
_MOVE = re.compile(r"citus_move_shard_placement\((\d+), *(\d+), *(\d+)")
OPEN = ("scheduled", "running", "failing", "cancelling")
_ENDED_BADLY = ("failing", "failed")


def latest() -> dict[str, Any] | None:
    """The newest job with its tasks; None where there never was one."""
    jobs = cluster.known(_JOB)
    if not jobs:
        return None
    job_id, state, started, finished = jobs[0]
    tasks = [_task(*row) for row in cluster.known(_TASKS, job_id)]
    return {
        "job": job_id,
        "state": state,
        "started": started and started.isoformat(),
        "finished": finished and finished.isoformat(),
        "moves": len(tasks),
        "done": sum(task["state"] == "done" for task in tasks),
        "tasks": tasks,
    }


def _task(task_id: int, state: str, command: str, retried: int, message: str) -> dict[str, Any]:
    found = _MOVE.search(command)
    shard, source, target = map(int, found.groups()) if found else (None, None, None)
    said = message.strip() if state in ("error", "runnable", "unscheduled") else ""
    return {"task": task_id, "state": state, "shard": shard, "from": source, "to": target,
            "retried": retried, "message": said}  # fmt: skip


def failures(job: dict[str, Any] | None) -> list[str]:
    """What is wrong with the newest job."""
    if job is None:
        return []
    found = [
        _("The move of shard %(shard)s failed: %(message)s") % task for task in job["tasks"] if task["state"] == "error"
    ]
    if job["state"] in _ENDED_BADLY and not found:
        found.append(_("Rebalance %(job)d has failed.") % {"job": job["job"]})
    return found


def line(job: dict[str, Any] | None) -> str:
    """One sentence."""
    if job is None:
        return _("There was no rebalance yet.")
    return _("Rebalance %(job)d: %(state)s, %(done)d of %(moves)d moves done.") % job


def sizes() -> dict[int, int]:
    """By shard of resource, the bytes that move with it, as far as the nodes answer."""
    pieces = cluster.pieces()
    states = health.states(cluster.primaries(), pieces)
    counted: dict[int, int] = {}
    known = {shard: count or 0 for state in states.values() for shard, count in state.get("pieces", {}).items()}
    for piece in pieces:
        counted[piece.home] = counted.get(piece.home, 0) + known.get(piece.id, 0)
    return counted


def arrived() -> int:
    """Bytes that have arrived of the shards that move at this moment."""
    return sum(int(row[1] or 0) for row in database.fetch(_RUNNING))
