"""`shards registered --node GROUP=HOST:PORT …`: the nodes are known by the addresses that they have now.

Made to run whenever a cluster starts, as often as one likes: containers come back with other addresses. A node is
recognized by the group that it says it is, never by the address: an exchanged one would be asked for others' shards.
"""

from __future__ import annotations

import re
import time
from argparse import ArgumentParser
from dataclasses import dataclass

from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from fhir import citus, database
from fhir.exceptions import Unavailable

from . import Call, Result, changes, cluster, workers
from .tables import joined, problems, table

HELP = "Make the cluster know its nodes by these addresses: registers new ones, corrects those that have changed."

_NODE = re.compile(r"(\d{1,6})=(.+):(\d{1,5})")
_ADD = "SELECT citus_add_node(%s::text, %s::int, %s::int)"
# Queries that hang on the old address are ended after ten seconds.
_UPDATE = "SELECT citus_update_node(%s::int, %s::text, %s::int, true, 10000)"
_COORDINATOR = "SELECT citus_set_coordinator_host(%s::text, %s::int)"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The address that the primary of a group has now."""

    group: int
    host: str
    port: int

    @property
    def name(self) -> str:
        """host:port"""
        return f"{self.host}:{self.port}"


def add_arguments(parser: ArgumentParser) -> None:
    """Groups with their addresses."""
    about = "the primary of a group, 0 for the coordinator; once for each node"
    parser.add_argument("--node", action="append", required=True, metavar="GROUP=HOST:PORT", help=about)
    parser.add_argument("--wait-for", type=float, default=60.0, metavar="SECONDS",
                        help="how long nodes may take until they answer (default %(default)s)")  # fmt: skip


def run(call: Call) -> Result:
    """Compares and corrects, all in one transaction. Raises CommandError where a node is another than it should be."""
    wanted = _parsed(call.options["node"])
    until = time.monotonic() + call.options["wait_for"]
    _coordinator(until)
    known = {node.group: node for node in cluster.primaries()}
    silent: list[str] = []
    for each in wanted:
        before = known.get(each.group)
        try:
            _recognize(each, before, max(0.0, until - time.monotonic()))
        except workers.Silent as error:
            if before is None or before.name != each.name:
                raise
            silent.append(str(error))  # nothing has to be changed: the others need not wait for it
    changed = [each for each in wanted if _change(each, known) != "none"]
    if changed:
        database.fetch("SET statement_timeout = 0")
        statements = [_statement(each, known.get(each.group)) for each in changed]
        database.batch([*_aside(wanted, known), *statements], atomic=True)
        if citus.distributed():
            changes.audit("shards registered " + " ".join(f"{each.group}={each.name}" for each in wanted), 200)
    return {"nodes": [_told(each, known) for each in wanted], "problems": silent}


def _change(each: Wanted, known: dict[int, cluster.Node]) -> str:
    before = known.get(each.group)
    return "added" if before is None else "none" if before.name == each.name else "changed"


def _told(each: Wanted, known: dict[int, cluster.Node]) -> dict[str, str | int | None]:
    before = known.get(each.group)
    name = before.name if before else None
    return {"group": each.group, "node": each.name, "before": name, "change": _change(each, known)}


def _parsed(given: list[str]) -> list[Wanted]:
    wanted = []
    for text_ in given:
        match = _NODE.fullmatch(text_)
        if match is None:
            raise CommandError(_("“%(node)s” is not GROUP=HOST:PORT.") % {"node": text_})
        wanted.append(Wanted(int(match[1]), match[2], int(match[3])))
    if len({each.group for each in wanted}) < len(wanted) or len({each.name for each in wanted}) < len(wanted):
        raise CommandError(_("Each group and each address is given once."))
    return sorted(wanted, key=lambda each: each.group)


def _coordinator(until: float) -> None:
    """Waits for this server, and sees to the extension."""
    while True:
        try:
            workers.prepare_coordinator()
            return
        except Unavailable:
            if time.monotonic() >= until:
                raise
            time.sleep(1)


def _recognize(each: Wanted, before: cluster.Node | None, wait: float) -> None:
    """Raises CommandError unless the server at the address is the one of that group, or a new one for a new group."""
    if each.group == 0:
        return
    if before is None:
        workers.prepare(each.host, each.port, wait=wait)
        workers.require_fit(each.host, each.port, workers.state(each.host, each.port))
        return
    found = workers.state(each.host, each.port, wait=wait)
    if found["group"] != each.group:
        raise CommandError(_("%(node)s says that it is group %(other)d, not %(group)d.") % {
            "node": each.name, "other": found["group"], "group": each.group})  # fmt: skip
    if found["recovery"]:
        raise CommandError(_("%(node)s is a standby.") % {"node": each.name})


def _statement(each: Wanted, before: cluster.Node | None) -> database.Statement:
    if each.group == 0:
        return _COORDINATOR, (each.host, each.port)
    if before is None:
        return _ADD, (each.host, each.port, each.group)
    return _UPDATE, (before.id, each.host, each.port)


def _aside(wanted: list[Wanted], known: dict[int, cluster.Node]) -> list[database.Statement]:
    """Nodes that stand at an address which another one gets are moved off it first: addresses are unique."""
    target = {each.name: each.group for each in wanted}
    return [
        (_UPDATE, (node.id, f"moving-{node.id}", 1))
        for node in known.values()
        if node.group != 0 and target.get(node.name, node.group) != node.group
    ]


def text(result: Result) -> str:
    """A table of the nodes."""
    words = {"none": _("as it was"), "changed": _("changed"), "added": _("added")}
    rows = [(node["group"], node["node"], node["before"], words[node["change"]]) for node in result["nodes"]]
    shown = table((_("group"), _("address"), _("before"), _("change")), rows)
    return joined(shown, problems(result["problems"]))
