"""`_explain=true`: how a search is answered, without the values that it asks for.

Not of FHIR: an OperationOutcome among the entries (search.mode outcome) with the clauses, the plan, the policy, the
statement and what PostgreSQL did (https://www.postgresql.org/docs/current/sql-explain.html).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

from django.utils import translation
from django.utils.translation import gettext as _

from fhir import database
from fhir.exceptions import Unavailable

from .binding import bound
from .clauses import Clause
from .plan import Plan
from .sql import Statement
from .statistics import Statistics

# Nodes of EXPLAIN that read what other nodes have read already.
_SECOND_HAND = frozenset({"CTE Scan", "Subquery Scan", "Function Scan", "Values Scan", "Result"})


@dataclass(frozen=True, slots=True)
class Node:
    """One scan of a table or index: its kind, what it reads, how many rows it read (estimated where not `ran`)."""

    kind: str
    target: str
    rows: float


@dataclass(frozen=True, slots=True)
class Execution:
    """What PostgreSQL did, or would do where it was stopped (`ran` False); `tasks` is the number of shards touched."""

    ran: bool
    milliseconds: float
    buffers: int
    tasks: int
    nodes: tuple[Node, ...]


def described(clause: Clause) -> str:
    """A clause in words of the code, with numbers of values in place of values: `Terms(code, 2 hashes)`."""
    inner = getattr(clause, "clauses", None) or ([clause.clause] if hasattr(clause, "clause") else [])
    said = [getattr(clause, "code", "")]
    for name in ("hashes", "ids", "values", "alternatives", "numbers"):
        if hasattr(clause, name):
            said.append(f"{len(getattr(clause, name))} {name}")
    said += [test.prefix for test in getattr(clause, "tests", ())]
    said += [described(each) for each in inner]
    return f"{type(clause).__name__}({', '.join(text for text in said if text)})"


def shape(text: str) -> str:
    """A statement with numbered, typed placeholders and without its values."""
    numbers = count(1)
    return re.sub(r"%s", lambda _found: f"${next(numbers)}", text)


def execution(plan: Plan, statement: Statement) -> Execution:
    """Runs a statement under EXPLAIN; only plans it if it takes longer than a statement may. Raises Unavailable."""
    text, parameters = statement
    try:
        ran, options = True, "ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON"
        found = database.fetch(*bound(plan, (f"EXPLAIN ({options}) {text}", parameters)))
    except Unavailable as error:
        if error.issues[0].code != "timeout":
            raise
        ran, options = False, "FORMAT JSON"
        found = database.fetch(*bound(plan, (f"EXPLAIN ({options}) {text}", parameters)))
    return read(found[0][0][0], ran)


def read(explained: dict[str, Any], ran: bool) -> Execution:
    """An Execution from the JSON of EXPLAIN, of plain PostgreSQL or of Citus."""
    nodes = tuple(_node(each, ran) for each in _all(explained) if _reads(each))
    tasks = sum(int(each["Task Count"]) for each in _all(explained) if "Task Count" in each)
    top = explained.get("Plan", {})
    buffers = sum(int(top.get(name, 0)) for name in ("Shared Hit Blocks", "Shared Read Blocks"))
    return Execution(ran, float(explained.get("Execution Time", 0.0)), buffers, tasks or 1, nodes)


def _all(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _all(each)


def _reads(node: dict[str, Any]) -> bool:
    kind = node.get("Node Type", "")
    return kind.endswith("Scan") and kind not in _SECOND_HAND and kind != "Custom Scan"


def _node(node: dict[str, Any], ran: bool) -> Node:
    target = node.get("Index Name") or node.get("Relation Name") or ""
    if not ran:
        return Node(node["Node Type"], target, float(node.get("Plan Rows", 0)))
    each = node.get("Actual Rows", 0) + sum(
        node.get(name, 0) for name in ("Rows Removed by Filter", "Rows Removed by Index Recheck")
    )
    return Node(node["Node Type"], target, float(each) * node.get("Actual Loops", 1))


def outcome(plan: Plan, statement: Statement, statistics: Statistics, language: str) -> dict[str, Any]:
    """The OperationOutcome that explains a search. Runs its statement once more, under EXPLAIN."""
    done = execution(plan, statement)
    with translation.override(language):
        parts = [
            (_("Clauses"), "\n".join(described(clause) for clause in plan.clauses)),
            (_("Policy"), _("None: this caller may see everything.") if plan.policy is None else
             described(plan.policy)),
            (_("Plan"), _plan_text(plan, statistics)),
            (_("Statement"), shape(statement[0])),
            (_("Execution"), _execution_text(done)),
        ]  # fmt: skip
        issues = [
            {"severity": "information", "code": "informational", "details": {"text": label}, "diagnostics": text}
            for label, text in parts
        ]
    return {"resourceType": "OperationOutcome", "issue": issues}


def _plan_text(plan: Plan, statistics: Statistics) -> str:
    order = ", ".join(f"{key.column or key.kind} {'desc' if key.descending else 'asc'}" for key in plan.keys)
    bucket = ", ".join(map(str, plan.buckets)) or ("all" if plan.bucket is None else str(plan.bucket))
    return (
        f"leads: {plan.leads}; types: {len(plan.types)}; bucket: {bucket}; order: {order}; count: {plan.count}; "
        f"rows by the statistics: {statistics.rows:.0f}"
    )


def _execution_text(done: Execution) -> str:
    lines = [f"{node.kind} {node.target}: {node.rows:.0f}" for node in done.nodes]
    if done.ran:
        head = _("%(milliseconds).2f ms, %(buffers)d pages, %(tasks)d tasks; rows read:")
    else:
        head = _("Stopped because it took too long; %(tasks)d tasks; rows expected:")
    numbers = {"milliseconds": done.milliseconds, "buffers": done.buffers, "tasks": done.tasks}
    return "\n".join([head % numbers, *lines])
