"""What the commands that change the cluster share: their audit row, and looking on while shards move.

Moves run in the coordinator's background, with logical replication: records can be read and written all the time,
but for the moment in which a shard changes its node. They go on without the command that began them.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser, BooleanOptionalAction

from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from audit import recorder
from fhir import database, store
from fhir.management.actor import command_context

from . import Call, Result, cluster, moves
from .probe import Question, ask
from .tables import joined, problems, size, table

POLL_SECONDS = 0.5
_SYNCHRONOUS = "SELECT (current_setting('synchronous_commit') <> 'off')::text"
_START = """SELECT citus_rebalance_start(rebalance_strategy => %s::name, drain_only => %s::bool,
 shard_transfer_mode => 'force_logical')"""


def audit(query: str, status: int = 202) -> None:
    """The audit row of a change of the cluster, before it begins: who moved all these records."""
    row = command_context("shards").audit("operation", bucket=None, status=status, at=store.now(), query=query)
    database.fetch(recorder.INSERT_SQL, row)


def add_wait(parser: ArgumentParser) -> None:
    """--wait, --no-wait"""
    about = "look on until all shards have moved (default); they move without the command too"
    parser.add_argument("--wait", action=BooleanOptionalAction, default=True, help=about)


def require_synchronous() -> None:
    """Raises CommandError where a node commits asynchronously: what it has just acknowledged would not move along.

    At the end of a move Citus stops writers and waits until the new node has all up to pg_current_wal_lsn(), which is
    behind what was committed with synchronous_commit = off and is not written yet.
    """
    nodes = cluster.primaries()
    for node, reply in zip(nodes, ask([Question(node.host, node.port, _SYNCHRONOUS) for node in nodes]), strict=True):
        about = {"node": node.name, "error": reply.error}
        if reply.error:
            raise CommandError(_("%(node)s does not answer: %(error)s") % about)
        if not reply.value:
            text = _("%(node)s has synchronous_commit = off: shards would move without its last writes. Set it to on.")
            raise CommandError(text % about)


def running() -> bool:
    """Whether shards are moving."""
    job = moves.latest()
    return job is not None and job["state"] in moves.OPEN


def start(*, drain: bool, strategy: str | None = None) -> bool:
    """Begins to move shards; False where none has to move, or some are moving."""
    if running():
        return False
    require_synchronous()
    database.fetch("SET statement_timeout = 0")
    ((job,),) = database.fetch(_START, (strategy, drain))
    return job is not None


def follow(call: Call, *, begun: bool) -> Result:
    """The moves that are under way, until they have ended or at once; what there is to tell of them."""
    job = moves.latest() if begun or running() else None
    sizes = moves.sizes() if job is not None else {}
    if job is not None and call.options["wait"]:
        with call.progress(_("moves"), max(1, sum(_bytes(job, sizes)))) as progress:
            while job is not None and job["state"] in moves.OPEN:
                done = sum(_bytes({"tasks": [t for t in job["tasks"] if t["state"] == "done"]}, sizes))
                progress.at(done + moves.arrived(), _("%(done)d of %(moves)d shards") % job)
                time.sleep(POLL_SECONDS)
                job = moves.latest()
            progress.at(progress.total or 1)
    return _result(job, sizes)


def _bytes(job: Result, sizes: dict[int, int]) -> list[int]:
    return [sizes.get(task["shard"], 0) for task in job["tasks"]]


def _result(job: Result | None, sizes: dict[int, int]) -> Result:
    if job is None:
        return {"rebalance": None, "problems": []}
    names = {node.id: node.name for node in cluster.nodes()}
    tasks = [
        {**t, "from": names.get(t["from"]), "to": names.get(t["to"]), "bytes": sizes.get(t["shard"])}
        for t in job["tasks"]
    ]
    done = [task for task in tasks if task["state"] == "done"]
    moved = {"shards": len(done), "bytes": sum(task["bytes"] or 0 for task in done)}
    return {"rebalance": {**job, "tasks": tasks}, "moved": moved, "problems": moves.failures(job)}


def text(result: Result) -> str:
    """A table of the moves."""
    job = result["rebalance"]
    if job is None:
        return joined(_("No shard has to move."), problems(result["problems"]))
    rows = [
        (task["shard"], task["from"], task["to"], task["state"], task["retried"], size(task["bytes"]))
        for task in job["tasks"]
    ]
    head = (_("shard"), _("from node"), _("to node"), _("state"), _("repeated"), _("size"))
    about = {**result["moved"], "size": size(result["moved"]["bytes"])}
    moved = _("Moved: %(shards)d shards of all tables with them, %(size)s.") % about
    return joined(table(head, rows), moves.line(job), moved, problems(result["problems"]))
