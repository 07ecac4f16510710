"""`shards drain NODE`: all shards of a node move to the others, while reads and writes go on."""

from __future__ import annotations

from argparse import ArgumentParser

from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from . import Call, Result, changes, cluster
from .tables import joined

HELP = "Move all shards away from a node, which gets no new ones. Started again it looks on."
_KEEP_AWAY = "SELECT citus_set_node_property(%s::text, %s::int, 'shouldhaveshards', false)"
_LEFT = "SELECT count(*) FROM pg_dist_placement WHERE groupid = %s::int"


def add_arguments(parser: ArgumentParser) -> None:
    """Which node, and whether it is to go."""
    parser.add_argument("node", metavar="NODE", help="HOST:PORT, or HOST where that is clear")
    parser.add_argument("--remove", action="store_true", help="then remove the empty node from the cluster")
    changes.add_wait(parser)


def run(call: Call) -> Result:
    """Marks the node and moves its shards. Raises CommandError where nobody else could take them."""
    cluster.require()
    node = cluster.find(call.options["node"])
    _check(node, call)
    changes.require_synchronous()
    changes.audit(f"shards drain {node.name}")
    cluster.call(_KEEP_AWAY, node.host, node.port)
    result = changes.follow(call, begun=changes.start(drain=True))
    ((left,),) = cluster.call(_LEFT, node.group)
    removed = call.options["remove"] and not left
    if removed:
        # What was moved is dropped a little later by Citus, which must not forget it with the node.
        cluster.call("CALL citus_cleanup_orphaned_resources()")
        cluster.call("SELECT citus_remove_node(%s::text, %s::int)", node.host, node.port)
    if left and call.options["wait"]:
        result["problems"].append(_("%(node)s still has shards: %(count)d.") % {"node": node.name, "count": left})
    return {**result, "node": node.name, "left": left, "removed": removed}


def _check(node: cluster.Node, call: Call) -> None:
    others = [other for other in cluster.primaries() if other.has_shards and other.id != node.id]
    if not others:
        raise CommandError(_("No other node takes shards: add a worker first."))
    if call.options["remove"] and node.group == 0:
        raise CommandError(_("The coordinator cannot be removed."))
    if call.options["remove"] and not call.options["wait"]:
        raise CommandError(_("--remove has to wait until the node is empty."))


def text(result: Result) -> str:
    """The moves, and what became of the node."""
    about = {"node": result["node"], "count": result["left"]}
    if result["removed"]:
        last = _("%(node)s is empty and no longer a part of the cluster.") % about
    elif not result["left"]:
        last = _("%(node)s is empty and gets no new shards.") % about
    else:
        last = _("%(node)s has %(count)d pieces left.") % about
    return joined(changes.text(result), last)
