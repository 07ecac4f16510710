"""`shards status`: nodes, shards, sizes, and whether all of them are well."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils.translation import gettext as _

from fhir import citus, database

from . import Call, Result, cluster, health, moves
from .tables import joined, problems, size, table

HELP = "Show nodes, shards, sizes and health; status 1 where something is wrong."

_PLAIN = """SELECT relname, pg_total_relation_size(oid) FROM pg_class
 WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace ORDER BY 2 DESC LIMIT 20"""
_DATABASE = """SELECT current_database(), pg_database_size(current_database()),
 split_part(current_setting('server_version'), ' ', 1)"""


def add_arguments(parser: ArgumentParser) -> None:
    """It has none."""


def run(call: Call) -> Result:
    """Everything that there is to know; each node is asked by itself, so that a dead one is shown as such."""
    ((name, total, version),) = database.fetch(_DATABASE)
    about: Result = {"distributed": citus.distributed(), "database": name, "postgres": version, "problems": []}
    if not citus.distributed():
        tables = [{"table": row[0], "bytes": int(row[1])} for row in database.fetch(_PLAIN)]
        return {**about, "bytes": int(total), "tables": tables}
    nodes, pieces = cluster.nodes(), cluster.pieces()
    states = health.states(nodes, pieces)
    alive = [node for node in nodes if "error" not in states[node.id]]
    parts = {
        "nodes": _nodes(nodes, states),
        "tables": _tables(pieces, states, nodes),
        "shards": _shards(pieces, states, nodes),
        "rebalance": moves.latest(),
    }
    cut = [(source.name, target.name) for source, target in health.unreachable(alive)]
    return {**about, **parts, "unreachable": cut, "problems": _problems(parts, states, nodes, pieces, cut)}


def _nodes(nodes: list[cluster.Node], states: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "id": node.id,
            "group": node.group,
            "kind": "coordinator" if node.group == 0 else "worker",
            "host": node.host,
            "port": node.port,
            "role": node.role,
            "active": node.active,
            "alive": "error" not in state,
            "error": state.get("error"),
            "should_have_shards": node.has_shards,
            "metadata_synced": node.synced,
            "postgres": state.get("postgres"),
            "citus": state.get("citus"),
            "bytes": state.get("database"),
            "shards": None if "error" in state else len(state["pieces"]),
            "shard_bytes": None if "error" in state else sum(s or 0 for s in state["pieces"].values()),
        }
        for node, state in ((node, states[node.id]) for node in nodes)
    ]


def _sizes(states: dict[int, dict[str, Any]], nodes: list[cluster.Node]) -> dict[int, int]:
    """Bytes of each shard on the primary that holds it; shards of nodes that do not answer are not in it."""
    sizes: dict[int, int] = {}
    for node in nodes:
        if node.role == "primary":
            sizes |= {shard: count or 0 for shard, count in states[node.id].get("pieces", {}).items()}
    return sizes


def _sum(ids: list[int], sizes: dict[int, int]) -> int | None:
    return sum(sizes[shard] for shard in ids) if all(shard in sizes for shard in ids) else None


def _tables(pieces: list[cluster.Piece], states: dict[int, Any], nodes: list[cluster.Node]) -> list[dict[str, Any]]:
    sizes = _sizes(states, nodes)
    by_table: dict[str, list[int]] = {}
    for piece in pieces:
        by_table.setdefault(piece.table, []).append(piece.id)
    return [
        {"table": name, "group": group, "shards": count, "bytes": _sum(by_table.get(name, []), sizes)}
        for name, group, count in cluster.tables()
    ]


def _shards(pieces: list[cluster.Piece], states: dict[int, Any], nodes: list[cluster.Node]) -> list[dict[str, Any]]:
    sizes, named = _sizes(states, nodes), {node.id: node for node in nodes}
    by_home: dict[int, list[int]] = {}
    for piece in pieces:
        by_home.setdefault(piece.home, []).append(piece.id)
    return [
        {
            "shard": shard.id,
            "from_hash": shard.low,
            "to_hash": shard.high,
            "node": named[shard.node].name,
            "tables": len(by_home.get(shard.id, [])),
            "bytes": _sum(by_home.get(shard.id, []), sizes),
        }
        for shard in cluster.shards()
    ]


def _problems(
    parts: Result,
    states: dict[int, dict[str, Any]],
    nodes: list[cluster.Node],
    pieces: list[cluster.Piece],
    cut: list[tuple[str, str]],
) -> list[str]:
    found = [problem for node in nodes for problem in _of_node(node, states[node.id], pieces)]
    for field in ("postgres", "citus"):
        versions = sorted({str(node[field]) for node in parts["nodes"] if node["alive"]})
        if len(versions) > 1:
            found.append(_("The nodes have several versions of %(program)s: %(versions)s.") % {
                "program": field, "versions": ", ".join(versions)})  # fmt: skip
    if len({row["group"] for row in parts["tables"]}) > 1:
        found.append(_("The tables are not in one co-location group."))
    for source, target in cut:
        found.append(_("%(source)s does not reach %(target)s.") % {"source": source, "target": target})
    return found + moves.failures(parts["rebalance"])


def _of_node(node: cluster.Node, state: dict[str, Any], pieces: list[cluster.Piece]) -> list[str]:
    name = {"node": node.name}
    if "error" in state:
        return [_("%(node)s does not answer: %(error)s") % {**name, "error": state["error"]}]
    found = []
    if not node.active:
        found.append(_("%(node)s is registered as inactive.") % name)
    if node.role == "primary" and state["recovery"]:
        found.append(_("%(node)s is registered as a primary and is a standby.") % name)
    if state["group"] != node.group:
        found.append(_("%(node)s is registered as group %(group)d and says that it is %(other)d.") % {
            **name, "group": node.group, "other": state["group"]})  # fmt: skip
    if state["prepared"]:
        found.append(_("%(node)s has prepared transactions that are older than five minutes: %(count)d.") % {
            **name, "count": state["prepared"]})  # fmt: skip
    missing = [piece.relation for piece in pieces if state["pieces"].get(piece.id, 0) is None]
    if missing:
        found.append(_("%(node)s lacks shards: %(shards)s.") % {**name, "shards": ", ".join(missing[:10])})
    return found


def text(result: Result) -> str:
    """Tables for people."""
    about = {"name": result["database"], "version": result["postgres"]}
    if not result["distributed"]:
        head = _("Database %(name)s, PostgreSQL %(version)s, %(size)s: not distributed, all records on one node.") % {
            **about, "size": size(result["bytes"])}  # fmt: skip
        rows = [(row["table"], size(row["bytes"])) for row in result["tables"]]
        return joined(head, table((_("table"), _("size")), rows))
    alive = sum(node["alive"] for node in result["nodes"])
    head = _("Database %(name)s: %(shards)d shards, %(alive)d of %(nodes)d nodes answer.") % {
        **about, "shards": len(result["shards"]), "alive": alive, "nodes": len(result["nodes"])}  # fmt: skip
    verdict = problems(result["problems"]) or _("Nothing is wrong.")
    return joined(head, *_three_tables(result), moves.line(result["rebalance"]), verdict)


def _three_tables(result: Result) -> list[str]:
    kinds = {"coordinator": _("coordinator"), "worker": _("worker")}
    nodes = [
        (
            node["group"],
            kinds[node["kind"]],
            node["role"],
            f"{node['host']}:{node['port']}",
            _("yes") if node["alive"] else _("NO"),
            _("yes") if node["should_have_shards"] else _("no"),
            _("yes") if node["metadata_synced"] else _("pending"),
            node["postgres"],
            node["citus"],
            node["shards"],
            size(node["shard_bytes"]),
            size(node["bytes"]),
        )
        for node in result["nodes"]
    ]
    head = (_("group"), _("kind"), _("role"), _("address"), _("answers"), _("takes shards"), _("metadata"),
            "PostgreSQL", "Citus", _("pieces"), _("of records"), _("database"))  # fmt: skip
    shards = [
        (row["shard"], row["from_hash"], row["to_hash"], row["node"], row["tables"], size(row["bytes"]))
        for row in result["shards"]
    ]
    tables = [(row["table"], row["group"], row["shards"], size(row["bytes"])) for row in result["tables"]]
    return [
        table(head, nodes),
        table((_("shard"), _("from hash"), _("to hash"), _("node"), _("pieces"), _("size")), shards),
        table((_("table"), _("co-location"), _("shards"), _("size")), tables),
    ]
