"""Each shard holds only rows whose bucket belongs to it; each node is asked about its own shards, one after another.

A row in a wrong shard is found by searches over all charts and by no read: the bucket leads elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable

from django.utils.translation import gettext as _

from fhir import citus, database
from fhir.exceptions import Unavailable

from . import cluster
from .findings import Finding, Findings

_ASK = "SELECT success, result FROM master_run_on_worker(ARRAY[%s::text], ARRAY[%s::int], ARRAY[%s::text], false)"
_STRAY = "SELECT count(*)::text FROM {relation} WHERE NOT worker_hash(bucket) BETWEEN {low} AND {high}"


def look(findings: Findings, done: Callable[[], None]) -> None:
    """All shards of all tables. Raises Unavailable if a node does not answer. Nothing to do on plain PostgreSQL."""
    if not citus.distributed():
        return
    ranges = {shard.id: (shard.low, shard.high) for shard in cluster.shards()}
    nodes = {node.group: node for node in cluster.primaries()}
    for piece in cluster.pieces():
        node, (low, high) = nodes[piece.group], ranges[piece.home]
        sql = _STRAY.format(relation=piece.relation, low=low, high=high)
        ((succeeded, text),) = database.fetch(_ASK, (node.host, node.port, sql))
        if not succeeded:
            raise Unavailable(_("%(node)s does not answer: %(error)s") % {"node": node.name, "error": text})
        if int(text):
            findings.count("shard", int(text))
            findings.keep(Finding("shard", (-1, 0, ""), detail=f"{piece.relation}: {text}"))
        done()


def count() -> int:
    """How many shards there are to look at."""
    return len(cluster.pieces()) if citus.distributed() else 0
