"""A walk along patients that asks many of them at once for a resource of theirs (`_has`).

Asked one by one, each patient costs a search in the long list of the resources with a frequent term. Asked for 64
patients at once, the index on terms passes along that list once. The walk ends where a page is full.
"""

from __future__ import annotations

from collections.abc import Sequence

from fhir.definitions.structure import TYPE_NUMBER

from . import order
from .clauses import TRUE, Alias, Clause, Fragment
from .links import Has

SIZE = 64
PATIENT = TYPE_NUMBER["Patient"]


def page(
    has: Has,
    policy: Clause | None,
    keys: Sequence[order.Key],
    names: Sequence[str],
    others: Fragment,
    limit: int,
    after: Sequence[str | None] | None,
) -> Fragment:
    """The rows of a page: type, id, version, bucket and the keys by their `names`, of patients who also meet `others`.

    The keys are columns in one direction. Each step of the recursion is a row: the last keys of a batch, whether it was
    full, how many patients are found by then, and those of the batch.
    """
    plain = [key.sql.replace("$r", "r") for key in keys]
    begin = Fragment("TRUE") if after is None else order.after(keys, plain, after)
    sign = "<" if keys[0].descending else ">"
    last = ", ".join(f"w.{name}" for name in names)
    first = _step(has, policy, keys, names, others, begin, "0")
    further = _step(has, policy, keys, names, others, Fragment(f"({', '.join(plain)}) {sign} ({last})"), "w.found")
    columns = ", ".join(f"{column} AS {name}" for column, name in zip(plain, names, strict=True))
    seen = TRUE if policy is None else policy.sql(Alias("r", hidden=True))
    text = (
        f"WITH RECURSIVE w AS ({first.text} UNION ALL SELECT n.* FROM w, LATERAL ({further.text}) n"
        f" WHERE w.more AND w.found < {limit:d})"
        f" SELECT r.type, r.id, r.version, r.bucket, {columns} FROM resource r"
        " WHERE NOT r.deleted AND r.type = %s::smallint AND r.pat = ANY(ARRAY(SELECT unnest(w.pats) FROM w))"
        f" AND {seen.text}"
        f" ORDER BY {order.order_by(keys, plain)} LIMIT {limit:d}"
    )
    return Fragment(text, (*first.parameters, *further.parameters, PATIENT, *seen.parameters))


def _step(
    has: Has,
    policy: Clause | None,
    keys: Sequence[order.Key],
    names: Sequence[str],
    others: Fragment,
    begin: Fragment,
    found: str,
) -> Fragment:
    """The next patients in the order, and which of them have a source; `found` is the number of those before."""
    plain = [key.sql.replace("$r", "r") for key in keys]
    columns = ", ".join(f"{column} AS {name}" for column, name in zip(plain, names, strict=True))
    in_order = order.order_by(keys, [f"p.{name}" for name in names])
    last = ", ".join(f"(array_agg(p.{name} ORDER BY {in_order}))[count(*)] AS {name}" for name in names)
    inner = Alias("rx", None, False, policy)
    sources = has.sources(inner, Fragment("b.refs"))
    text = (
        f"SELECT {', '.join(f'b.{name}' for name in names)}, b.more, {found} + cardinality(m.pats) AS found, m.pats"
        f" FROM (SELECT {last}, count(*) = {SIZE:d} AS more, array_agg(p.pat) AS pats,"
        f" array_agg(p.pat # %s::bigint) AS refs FROM (SELECT r.pat, {columns} FROM resource r WHERE {others.text}"
        f" AND {begin.text} ORDER BY {order.order_by(keys, plain)} LIMIT {SIZE:d}) p) b,"
        f" LATERAL (SELECT COALESCE(array_agg(DISTINCT rx.pat), '{{}}') AS pats FROM resource rx"
        f" WHERE {sources.text} AND (rx.pat = ANY(b.pats)) IS TRUE) m"
    )
    return Fragment(text, (*has.parameters[:1], *others.parameters, *begin.parameters, *sources.parameters))
