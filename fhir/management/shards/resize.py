"""`shards resize N`: more or fewer shards.

Where the present boundaries are among the new ones, as from one power of two to a higher one, shards are split one
after another with logical replication, and writes go on. Else it is a new copy of all tables, which blocks writes.
"""

from __future__ import annotations

from argparse import ArgumentParser

from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from . import Call, Result, changes, cluster, moves
from .tables import size

HELP = "Change the number of shards: splits beside reads and writes if it can, else a copy that blocks writes."
MOST = 1024
_LOWEST, _SPAN = -(1 << 31), 1 << 32
_SPLIT = "SELECT citus_split_shard_by_split_points(%s::bigint, %s::text[], %s::int[], 'force_logical')"
_ALTER = "SELECT alter_distributed_table('resource', shard_count => %s::int, cascade_to_colocated => true)"


def add_arguments(parser: ArgumentParser) -> None:
    """How many."""
    parser.add_argument("count", metavar="N", type=int, help=f"the number of shards, 1 to {MOST}; 2 to 4 a worker")
    parser.add_argument("--yes", action="store_true", help="block all writes for as long as a copy of all tables takes")


def run(call: Call) -> Result:
    """Splits or copies; a stopped split goes on when it is started again. Raises CommandError without --yes."""
    cluster.require()
    count = call.options["count"]
    if not 1 <= count <= MOST:
        raise CommandError(_("The number of shards is 1 to %(most)d.") % {"most": MOST})
    if changes.running():
        raise CommandError(_("Shards are moving: wait for “shards rebalance” to end."))
    shards, wanted = cluster.shards(), lowest_hashes(count)
    before, way = len(shards), "none"
    if {shard.low for shard in shards} == set(wanted):
        pass
    elif {shard.low for shard in shards} < set(wanted):
        way = "split"
        changes.require_synchronous()
        changes.audit(f"shards resize {count}")
        _split(call, shards, wanted)
    else:
        way = "copy"
        _confirm(call)
        changes.audit(f"shards resize {count} --yes")
        cluster.call(_ALTER, count)
    return {"before": before, "shards": len(cluster.shards()), "way": way, "problems": []}


def lowest_hashes(count: int) -> list[int]:
    """Where `count` shards begin, as Citus divides the 32-bit hashes."""
    return [_LOWEST + number * (_SPAN // count) for number in range(count)]


def _split(call: Call, shards: list[cluster.Shard], wanted: list[int]) -> None:
    with call.progress(_("shards"), len(shards)) as progress:
        for shard in shards:
            # A split point is the last hash of what lies before it.
            points = [str(low - 1) for low in wanted if shard.low < low <= shard.high]
            if points:
                cluster.call(_SPLIT, shard.id, points, [shard.node] * (len(points) + 1))
            progress.advance()


def _confirm(call: Call) -> None:
    if not call.options["yes"]:
        total = size(sum(moves.sizes().values()))
        text = _("This copies all tables, %(size)s, and blocks all writes meanwhile. With --yes it is done.")
        raise CommandError(text % {"size": total})


def text(result: Result) -> str:
    """One sentence."""
    if result["way"] == "none":
        return _("There are %(shards)d shards already.") % result
    return _("There are %(shards)d shards now, %(before)d before.") % result
