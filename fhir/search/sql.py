"""A Plan → SQL. Pages are found by keys and joined to the content, both with the bucket where one is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fhir import citus
from fhir.definitions.structure import TYPE_NUMBER

from . import batches, order
from .beside import Beside
from .clauses import Alias, Fragment, Types, joined
from .plan import CHART, SET, WALK, Plan

Statement = tuple[str, Sequence[Any]]


def _alias(plan: Plan, *, hidden: bool) -> Alias:
    return Alias("r", plan.bucket, hidden, plan.policy, plan.buckets, plan.shard, plan.together)


def _where(plan: Plan, *, hidden: bool) -> Fragment:
    """All conditions; where others are `hidden`, those that lead still are not."""
    lead, other = _alias(plan, hidden=False), _alias(plan, hidden=hidden)
    found = [clause.sql(lead if clause in plan.leading else other) for clause in plan.clauses]
    if plan.buckets:
        found = [lead.here, Types(tuple(TYPE_NUMBER[name] for name in plan.types)).sql(lead), *found]
    text = " AND ".join(["NOT r.deleted", *(fragment.text for fragment in found)])
    return Fragment(text, tuple(p for fragment in found for p in fragment.parameters))


def key_names(plan: Plan) -> list[str]:
    """The columns of a page that hold the keys."""
    return [f"k{number}" for number in range(len(plan.keys))]


def page(
    plan: Plan,
    limit: int,
    after: Sequence[str | None] | None = None,
    *,
    body: bool = True,
    total: Statement | None = None,
) -> Statement:
    """One page: type, id, version, bucket, the keys as texts, what stands `beside`, the total, the content.

    `limit` rows after the row whose keys are `after`, in the order of the plan. The answer to `total` may be null in a
    first page of fewer rows. A plan of one chart alone has a guard before them all (`guarded`).
    """
    if plan.bucket is None and citus.distributed():
        return _of_all_shards(plan, limit, after, body=body, total=total)
    names = key_names(plan)
    if _gathers(plan):
        inner = _set(plan, names, limit, after)
    elif plan.batched is None or citus.distributed():
        inner = _walk(plan, names, limit, after)
    else:
        inner = _batches(plan, names, limit, after)
    columns = "".join(f", r.{name}::text" for name in names)
    order_by = order.order_by(plan.keys, [f"r.{name}" for name in names])
    if not body:
        text = f"SELECT r.type, r.id, r.version, r.bucket{columns} FROM ({inner.text}) r ORDER BY {order_by}"
        return text, inner.parameters
    contents = _contents(plan)
    counted, counting = ("", ()) if total is None else (f", ({total[0]})", total[1])
    if total is not None and after is None:
        # A first page that is not full is itself the total: PostgreSQL does not run the subquery then.
        counted = f", CASE WHEN count(*) OVER () >= {limit:d} THEN ({total[0]}) END"
    rows, patients = inner.text, Fragment("")
    if plan.beside is not None:
        columns += ", r.refers, p.id, p.body"
        rows = plan.beside.rows(rows, order.order_by(plan.keys, [f"i.{name}" for name in names]))
        patients = plan.beside.lookup(_alias(plan, hidden=True))
    columns = f"r.type, r.id, r.version, r.bucket{columns}{counted}, c.body"
    tables = f"(({rows}) r JOIN {contents.text}{patients.text})"
    found = Fragment(tables, (*inner.parameters, *contents.parameters, *patients.parameters))
    asked = guarded(plan, columns, found)
    return f"{asked.text} ORDER BY {order_by}", (*counting, *asked.parameters)


# To be joined to rows `r` that each say where they lie: `c`, with the content of each.
CONTENTS = "content c ON c.bucket = r.bucket AND c.type = r.type AND c.id = r.id"


def _contents(plan: Plan) -> Fragment:
    """What the rows `r` of a page are joined to: `c`, with their contents."""
    if plan.bucket is None:
        return Fragment(CONTENTS)
    if plan.together or not citus.distributed():
        return Fragment(content_of("%s"), (plan.bucket,))
    return Fragment("content c ON c.bucket = %s AND c.type = r.type AND c.id = r.id", (plan.bucket,))


def content_of(bucket: str) -> str:
    """To be joined to rows `r` of one bucket: `c`, with the content of each.

    OFFSET 0 has each looked up by its whole key. A join looks them up by the bucket alone, and compares each with each,
    where the statistics have few rows of a bucket: 40 s for the 20,000 of a chart that has just been loaded.
    """
    return (
        f"LATERAL (SELECT c.body FROM content c WHERE c.bucket = {bucket} AND c.type = r.type AND c.id = r.id"
        " OFFSET 0) c ON true"
    )


def guarded(plan: Plan, columns: str, found: Fragment) -> Fragment:
    """The columns of the tables `found`; of one chart alone with a guard before them: whether that is not the whole.

    Where it is not, or where nothing is found, there is one row of nulls beside the guard. One statement has both, so
    that they are of one moment.
    """
    if not plan.elsewhere:
        return Fragment(f"SELECT {columns} FROM {found.text}", found.parameters)
    guards = joined([each.sql(plan.shard) for each in plan.elsewhere], "OR")
    # OFFSET 0 keeps PostgreSQL from asking twice: for the column and for the join.
    guard = f"(SELECT {guards.text} AS elsewhere OFFSET 0) g"
    text = f"SELECT g.elsewhere, {columns} FROM {guard} LEFT JOIN {found.text} ON NOT g.elsewhere"
    return Fragment(text, (*guards.parameters, *found.parameters))


def count(plan: Plan, counting: Statement) -> Statement:
    """The number that `counting` asks for, as one row; of one chart alone with a guard before it."""
    text, parameters = counting
    return guarded(plan, "n.n", Fragment(f"({text}) n(n)", tuple(parameters))) if plan.elsewhere else counting


def patients_beside(plan: Plan) -> Beside | None:
    """What stands beside the matches in the rows of `page`, behind the keys; on Citus only where one shard has both."""
    return None if plan.bucket is None and citus.distributed() else plan.beside


def _of_all_shards(
    plan: Plan, limit: int, after: Sequence[str | None] | None, *, body: bool, total: Statement | None
) -> Statement:
    """The same page on Citus, in one round of tasks: each shard orders and cuts what it has, and adds the contents.

    What is gathered or cut before the contents are joined would go to the coordinator, and from there to all nodes.
    """
    names = key_names(plan)
    of_row = [f"r.{name}" for name in names]
    columns = _columns(plan, names)
    where = _where(plan, hidden=plan.leads == WALK)
    begin = Fragment("TRUE") if after is None else order.after(plan.keys, of_row, after)
    counted, counting = (f", ({total[0]})", total[1]) if body and total is not None else ("", ())
    place = _alias(plan, hidden=False).of("c")
    content = f", (SELECT c.body FROM content c WHERE {place.text} AND c.type = r.type AND c.id = r.id)"
    text = (
        f"SELECT r.type, r.id, r.version, r.bucket{''.join(f', {name}::text' for name in of_row)}{counted}"
        f"{content if body else ''} FROM (SELECT r.type, r.id, r.version, r.bucket, {columns.text} FROM resource r"
        f" WHERE {where.text}) r WHERE {begin.text} ORDER BY {order.order_by(plan.keys, of_row)} LIMIT {limit:d}"
    )
    placing = place.parameters if body else ()
    return text, (*counting, *placing, *columns.parameters, *where.parameters, *begin.parameters)


def _gathers(plan: Plan) -> bool:
    return plan.leads == SET or any(key.column is None for key in plan.keys)


def _columns(plan: Plan, names: Sequence[str]) -> Fragment:
    found = [f"{key.sql.replace('$r', 'r')} AS {name}" for key, name in zip(plan.keys, names, strict=True)]
    beside = patients_beside(plan)
    further = Fragment("") if beside is None else beside.columns()
    parameters = (*(p for key in plan.keys for p in key.parameters), *further.parameters)
    return Fragment(", ".join([*found, *filter(None, [further.text])]), parameters)


def _walk(plan: Plan, names: Sequence[str], limit: int, after: Sequence[str | None] | None) -> Fragment:
    """Along an index that has the order: the limit stops the walk."""
    columns = _columns(plan, names)
    where = _where(plan, hidden=True)
    plain = [key.sql.replace("$r", "r") for key in plan.keys]
    begin = Fragment("") if after is None else order.after(plan.keys, plain, after)
    text = (
        f"SELECT r.type, r.id, r.version, r.bucket, {columns.text} FROM resource r WHERE {where.text}"
        f"{' AND ' + begin.text if begin.text else ''} ORDER BY {order.order_by(plan.keys, plain)} LIMIT {limit:d}"
    )
    return Fragment(text, (*columns.parameters, *where.parameters, *begin.parameters))


def _batches(plan: Plan, names: Sequence[str], limit: int, after: Sequence[str | None] | None) -> Fragment:
    """Along the same index, but what is asked of each patient is asked of many at once."""
    assert plan.batched is not None
    others = replace(plan, clauses=tuple(clause for clause in plan.clauses if clause is not plan.batched))
    return batches.page(plan.batched, plan.policy, plan.keys, names, _where(others, hidden=True), limit, after)


def _set(plan: Plan, names: Sequence[str], limit: int, after: Sequence[str | None] | None) -> Fragment:
    """All matches first, without a limit that would mislead the planner; then their order."""
    columns = _columns(plan, names)
    where = _where(plan, hidden=True)
    begin = Fragment("TRUE") if after is None else order.after(plan.keys, names, after)
    text = (
        f"WITH m AS MATERIALIZED (SELECT r.type, r.id, r.version, r.bucket, {columns.text} FROM resource r"
        f" WHERE {where.text}) SELECT * FROM m WHERE {begin.text} ORDER BY {order.order_by(plan.keys, names)}"
        f" LIMIT {limit:d}"
    )
    return Fragment(text, (*columns.parameters, *where.parameters, *begin.parameters))


def total(plan: Plan) -> Statement:
    """The number of matches."""
    where = _where(replace(plan, clauses=plan.counted), hidden=plan.leads in (CHART, SET))
    return f"SELECT count(*) FROM resource r WHERE {where.text}", where.parameters


def matches(plan: Plan) -> Statement:
    """All matches without any of their columns, for EXPLAIN."""
    where = _where(plan, hidden=False)
    return f"SELECT 1 FROM resource r WHERE {where.text}", where.parameters


def bounded_total(plan: Plan, bound: int) -> Statement:
    """The number of matches, counted up to `bound`."""
    where = _where(plan, hidden=plan.leads in (CHART, SET))
    text = f"SELECT count(*) FROM (SELECT 1 FROM resource r WHERE {where.text} LIMIT {bound:d}) n"
    return text, where.parameters
