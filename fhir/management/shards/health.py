"""The state of each node, asked one by one: whether it answers, what it holds, whom it reaches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .cluster import Node, Piece
from .probe import CONNECT_SECONDS, Question, ask, literal, rows

_STATE = """SELECT json_build_object(
 'postgres', split_part(current_setting('server_version'), ' ', 1),
 'citus', split_part(citus_version(), ' ', 2),
 'group', (SELECT groupid FROM pg_dist_local_group),
 'recovery', pg_is_in_recovery(),
 'database', pg_database_size(current_database()),
 'prepared', (SELECT count(*) FROM pg_prepared_xacts
 WHERE database = current_database() AND prepared < now() - interval '5 minutes'),
 'pieces', {pieces})::text"""
_PIECES = """(SELECT json_object_agg(p.shard, pg_total_relation_size(to_regclass(p.name)))
 FROM (VALUES {values}) AS p(shard, name))"""
_REACH = """WITH t AS MATERIALIZED (SELECT set_config('citus.node_connection_timeout', {seconds}, false))
 SELECT json_object_agg(n.id, citus_check_connection_to_node(n.host, n.port))::text
 FROM t, (VALUES {values}) AS n(id, host, port)"""


def states(nodes: Sequence[Node], pieces: Iterable[Piece]) -> dict[int, dict[str, Any]]:
    """By node id, what the node says of itself, or {"error": …}: `pieces` bytes by shard, None for a missing one."""
    by_group: dict[int, list[Piece]] = {}
    for piece in pieces:
        by_group.setdefault(piece.group, []).append(piece)
    questions = [Question(node.host, node.port, _state_sql(by_group.get(node.group, []))) for node in nodes]
    replies = ask(questions)
    return {
        node.id: {"error": reply.error} if reply.error else {**reply.value, "pieces": _numbered(reply.value["pieces"])}
        for node, reply in zip(nodes, replies, strict=True)
    }


def _state_sql(pieces: Sequence[Piece]) -> str:
    if not pieces:
        return _STATE.format(pieces="NULL")
    return _STATE.format(pieces=_PIECES.format(values=rows((piece.id, piece.relation) for piece in pieces)))


def _numbered(sizes: dict[str, int | None] | None) -> dict[int, int | None]:
    return {int(shard): size for shard, size in (sizes or {}).items()}


def unreachable(alive: Sequence[Node]) -> list[tuple[Node, Node]]:
    """Pairs of nodes that both answer the coordinator, of which the first does not reach the second."""
    by_id = {node.id: node for node in alive}
    values = rows((node.id, node.host, node.port) for node in alive)
    if not values:
        return []
    sql = _REACH.format(seconds=literal(f"{CONNECT_SECONDS}s"), values=values)
    replies = ask([Question(node.host, node.port, sql) for node in alive])
    return [
        (source, by_id[int(target)])
        for source, reply in zip(alive, replies, strict=True)
        for target, reached in (reply.value or {}).items()
        if not reached
    ]
