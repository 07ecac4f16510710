"""`shards add-worker HOST PORT`: one more node; `shards rebalance` then moves shards to it."""

from __future__ import annotations

from argparse import ArgumentParser

from django.utils.translation import gettext as _

from . import Call, Result, changes, cluster, workers

HELP = "Register one more worker: its database and extension are made where they are missing. Moves nothing."

_TAKES_SHARDS = "SELECT citus_set_node_property(%s::text, %s::int, 'shouldhaveshards', true)"


def add_arguments(parser: ArgumentParser) -> None:
    """Its address, as the coordinator and this command reach it."""
    parser.add_argument("host", metavar="HOST", help="as the coordinator and the other workers reach it")
    parser.add_argument("port", metavar="PORT", type=int, nargs="?", default=5432, help="(default %(default)s)")


def run(call: Call) -> Result:
    """Registers it, or lets one that was drained have shards again. Raises CommandError where it is not fit for it."""
    host, port = call.options["host"], call.options["port"]
    workers.prepare_coordinator()
    known = [node for node in cluster.nodes() if node.name == f"{host}:{port}"]
    if not known:
        workers.prepare(host, port)
        workers.require_fit(host, port, workers.state(host, port))
        changes.audit(f"shards add-worker {host} {port}")
        cluster.call("SELECT citus_add_node(%s::text, %s::int)", host, port)
    elif not known[0].has_shards:
        changes.audit(f"shards add-worker {host} {port}")
        cluster.call(_TAKES_SHARDS, host, port)
    node = cluster.find(f"{host}:{port}")
    return {"node": node.name, "group": node.group, "added": not known, "problems": []}


def text(result: Result) -> str:
    """One or two sentences."""
    if not result["added"]:
        return _("%(node)s is group %(group)d already.") % result
    return _("%(node)s is group %(group)d now. “shards rebalance” moves shards to it.") % result
