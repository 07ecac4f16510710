"""`shards rebalance`: shards move until all nodes hold about the same, while reads and writes go on."""

from __future__ import annotations

from argparse import ArgumentParser

from fhir import database

from . import Call, Result, changes, cluster

HELP = "Move shards until all nodes hold about the same, beside reads and writes. Started again it looks on."
text = changes.text


def add_arguments(parser: ArgumentParser) -> None:
    """Whether to wait, what is even, and an end."""
    changes.add_wait(parser)
    parser.add_argument("--by-count", action="store_true", help="as many shards for each node, whatever their size")
    parser.add_argument("--stop", action="store_true", help="end the moves that are under way; what has moved stays")


def run(call: Call) -> Result:
    """Starts the moves, or looks on at those under way."""
    cluster.require()
    if call.options["stop"]:
        if changes.running():
            changes.audit("shards rebalance --stop")
            database.fetch("SELECT citus_rebalance_stop()")
        return changes.follow(call, begun=False)
    begun = False
    if not changes.running():
        changes.audit("shards rebalance")
        begun = changes.start(drain=False, strategy="by_shard_count" if call.options["by_count"] else None)
    return changes.follow(call, begun=begun)
