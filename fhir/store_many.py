"""Many versions at once, in the caller's transaction: one statement per table, whatever their number.

Everything is set-based (`unnest` of arrays), and each row carries its bucket. Callers have locked what they supersede.
On Citus what touches stored rows is one statement per table and bucket, which goes to one shard; without a constant
bucket it would go to all of them, and FOR UPDATE would be refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, chain, groupby
from operator import itemgetter
from typing import Any

from audit import recorder

from . import citus, database, ids, place_rows, stored_definitions
from .database import Statement
from .versions import Current, Write, array

_COLUMNS = "bucket, type, id, version, updated, method, deleted, pat, sdate, present"
_RESOURCE_ARRAYS = (
    "%s::int[], %s::smallint[], %s::text[], %s::int[], %s::timestamptz[], %s::smallint[], %s::bool[],"
    " %s::bigint[], %s::float8[], %s::bigint[], %s::int[], %s::int[]"
)
_X = f"unnest({_RESOURCE_ARRAYS}) AS x({_COLUMNS}, first, last)"
# All terms of all rows are one array, of which each row has a slice: Citus refuses a cast from text in an UPDATE, and
# 13.2.2 crashes where the slice itself is what is assigned.
_TERMS = "COALESCE((%s::bigint[])[x.first:x.last], '{}')"
_INSERT_RESOURCES = f"""INSERT INTO resource ({_COLUMNS}, terms)
 SELECT x.bucket, x.type, x.id, x.version, x.updated, x.method, x.deleted, x.pat, x.sdate, x.present, {_TERMS}
 FROM {_X}"""
_UPDATE_RESOURCES = f"""UPDATE resource r SET version = x.version, updated = x.updated, method = x.method,
 deleted = x.deleted, pat = x.pat, sdate = x.sdate, present = x.present, terms = {_TERMS}
 FROM {_X} WHERE r.bucket = x.bucket AND r.type = x.type AND r.id = x.id"""

# Up to so many buckets a statement for each is cheaper on Citus than one for all shards.
FEW_BUCKETS = 3

KEYS = "unnest(%s::int[], %s::smallint[], %s::text[]) AS k(bucket, type, id)"
ON_KEYS = "r.bucket = k.bucket AND r.type = k.type AND r.id = k.id"
_INSERT_CONTENTS = """INSERT INTO content (bucket, type, id, body)
 SELECT * FROM unnest(%s::int[], %s::smallint[], %s::text[], %b::text[])"""
_UPDATE_CONTENTS = """UPDATE content r SET body = x.body
 FROM unnest(%s::int[], %s::smallint[], %s::text[], %b::text[]) AS x(bucket, type, id, body)
 WHERE r.bucket = x.bucket AND r.type = x.type AND r.id = x.id"""
_INSERT_HISTORY = "INSERT INTO history (bucket, type, id, version, updated, method, pat, body)"
_CONTENT = "LEFT JOIN content c ON c.bucket = r.bucket AND c.type = r.type AND c.id = r.id"
_STORED = f"""FROM resource r {_CONTENT}
 JOIN {KEYS} ON r.bucket = k.bucket AND r.type = k.type AND r.id = k.id WHERE true"""
_SUPERSEDED = f"""{_INSERT_HISTORY}
 SELECT r.bucket, r.type, r.id, r.version, r.updated, r.method, r.pat, c.body {_STORED}"""
_TARGETS = "unnest(%s::int[], %s::smallint[], %s::text[], %s::int[]) AS x(bucket, type, id, target)"
_MOVE_SUPERSEDED = f"""{_INSERT_HISTORY}
 SELECT x.target, r.type, r.id, r.version, r.updated, r.method, r.pat, c.body
 FROM resource r {_CONTENT}
 JOIN {_TARGETS} ON r.bucket = x.bucket AND r.type = x.type AND r.id = x.id WHERE true"""
_MOVE_HISTORY = f"""{_INSERT_HISTORY}
 SELECT x.target, r.type, r.id, r.version, r.updated, r.method, r.pat, r.body
 FROM history r JOIN {_TARGETS} ON r.bucket = x.bucket AND r.type = x.type AND r.id = x.id WHERE true"""
_LOCATORS = """INSERT INTO locator (bucket, type, id, target)
 SELECT * FROM unnest(%s::int[], %s::smallint[], %s::text[], %s::int[])"""
_RELOCATE = _LOCATORS + " ON CONFLICT (bucket, type, id) DO UPDATE SET target = excluded.target"

INDEX_TABLES = (
    ("range_index", "ranges", "param, unit, lo, hi", "%s::int[], %s::bigint[], %s::float8[], %s::float8[]"),
    ("string_index", "strings", "param, value, exact", "%s::int[], %s::text[], %s::text[]"),
    ("code_value_index", "code_values", "code, unit, lo, hi", "%s::bigint[], %s::bigint[], %s::float8[], %s::float8[]"),
)


def _delete(table: str, keys: Sequence[Any]) -> Statement:
    return f"DELETE FROM {table} r USING {KEYS} WHERE {ON_KEYS}", keys


def _keys(writes: Sequence[Write], *, at_previous: bool = False) -> list[Any]:
    """Parameters of a key list; ids need no escaping in an array literal (fhir.ids.is_legal)."""
    buckets = [w.previous.bucket if at_previous and w.previous else w.bucket for w in writes]
    return [array(buckets), array([w.type for w in writes]), array([w.id for w in writes])]


def _resource_rows(writes: Sequence[Write]) -> list[Any]:
    terms = [w.rows.terms for w in writes]
    ends = list(accumulate(map(len, terms)))
    return [
        array(list(chain.from_iterable(terms))),
        *_keys(writes),
        array([w.version for w in writes]),
        array([w.updated.isoformat() for w in writes]),
        array([int(w.method) for w in writes]),
        array(["t" if w.body is None else "f" for w in writes]),
        array([w.pat for w in writes]),
        array([w.rows.sdate for w in writes]),
        array([w.rows.present for w in writes]),
        array([1, *(end + 1 for end in ends[:-1])]),
        array(ends),
    ]


def _index_statements(writes: Iterable[Write]) -> list[Statement]:
    statements: list[Statement] = []
    kept = list(writes)
    for table, attribute, columns, arrays in INDEX_TABLES:
        numbered = [(w, n, row) for w in kept for n, row in enumerate(getattr(w.rows, attribute), 1)]
        if not numbered:
            continue
        values = list(zip(*(row for _, _, row in numbered), strict=True))
        keys = _keys([w for w, _, _ in numbered])
        columns_sql = f"bucket, type, id, n, {columns}"
        sql = f"""INSERT INTO {table} ({columns_sql})
 SELECT * FROM unnest(%s::int[], %s::smallint[], %s::text[], %s::smallint[], {arrays})"""
        lists = [recorder.array_literal(v) if isinstance(v[0], str) else array(v) for v in values]
        statements.append((sql, [*keys, array([n for _, n, _ in numbered]), *lists]))
    return statements


def _contents(sql: str, writes: Sequence[Write]) -> list[Statement]:
    return [(sql, [*_keys(writes), [w.body for w in writes]])] if writes else []


def statements(writes: Sequence[Write], audit_rows: Sequence[recorder.Row]) -> list[Statement]:
    """All statements of a set of versions and of their audit rows, in order; at most one version per resource."""
    new = [w for w in writes if w.previous is None]
    moved = [w for w in writes if w.moves]
    stay = [w for w in writes if w.previous is not None and not w.moves]
    return [
        *(statement for buckets, share in _shares(stay) for statement in _superseding(share, buckets)),
        *(statement for buckets, share in _shares(moved) for statement in _leaving(share, buckets)),
        *_arriving(moved),
        *_inserting(new + moved),
        *_claiming(new),
        *_index_statements(writes),
        *stored_definitions.statements(writes),
        *place_rows.of(writes).statements(),
        *_audit(audit_rows),
    ]


def _shares(writes: Sequence[Write]) -> list[tuple[Sequence[int], list[Write]]]:
    """Sets of writes, each with the buckets that their previous versions lie in; () where that does not matter.

    On Citus each of a few buckets is a set of its own; many are one, and a statement of it is a task for each shard.
    """
    if not writes or not citus.distributed():
        return [((), list(writes))] if writes else []
    shares: dict[int, list[Write]] = {}
    for write in writes:
        assert write.previous is not None
        shares.setdefault(write.previous.bucket, []).append(write)
    if len(shares) > FEW_BUCKETS:
        return [(sorted(shares), list(writes))]
    return [((bucket,), share) for bucket, share in sorted(shares.items())]


def _within(buckets: Sequence[int], touching: Iterable[Statement]) -> list[Statement]:
    """The statements, all with a WHERE and an alias r, kept to rows of these buckets."""
    if not buckets:
        return list(touching)
    if len(buckets) == 1:
        return [(f"{sql} AND r.bucket = %s", [*parameters, buckets[0]]) for sql, parameters in touching]
    listed = f"ANY('{array(buckets)}'::int[])"
    content = f"{_CONTENT} AND c.bucket = {listed}"  # an outer join does not take it from r
    return [(f"{sql.replace(_CONTENT, content)} AND r.bucket = {listed}", parameters) for sql, parameters in touching]


def _superseding(stay: Sequence[Write], buckets: Sequence[int]) -> list[Statement]:
    keys = _keys(stay)
    kept = [w for w in stay if w.body is not None and w.previous is not None]
    gone = [w for w in stay if w.body is None]
    touching = [
        (_SUPERSEDED, keys),
        (_UPDATE_RESOURCES, _resource_rows(stay)),
        *_contents(_UPDATE_CONTENTS, [w for w in kept if w.previous and not w.previous.deleted]),
        *([_delete("content", _keys(gone))] if gone else []),
        *(_delete(table, keys) for table, *_ in INDEX_TABLES),
    ]
    revived = [w for w in kept if w.previous and w.previous.deleted]
    return [*_within(buckets, touching), *_contents(_INSERT_CONTENTS, revived)]


def _leaving(moved: Sequence[Write], buckets: Sequence[int]) -> list[Statement]:
    """The resource leaves its bucket, and its history goes before it."""
    old, targets = _keys(moved, at_previous=True), array([w.bucket for w in moved])
    touching = [
        (_MOVE_SUPERSEDED, [*old, targets]),
        (_MOVE_HISTORY, [*old, targets]),
        *(_delete(table, old) for table in ("history", "content", "resource", *(t for t, *_ in INDEX_TABLES))),
    ]
    return _within(buckets, touching)


def _arriving(moved: Sequence[Write]) -> list[Statement]:
    """The resource's home learns the new place."""
    if not moved:
        return []
    homes = array([ids.bucket_of(w.id) for w in moved])
    buckets, *names = _keys(moved)
    return [(_RELOCATE, [homes, *names, buckets])]


def _inserting(new: Sequence[Write]) -> list[Statement]:
    if not new:
        return []
    return [
        (_INSERT_RESOURCES, _resource_rows(new)),
        *_contents(_INSERT_CONTENTS, [w for w in new if w.body is not None]),
    ]


def _claiming(new: Sequence[Write]) -> list[Statement]:
    claimed = [w for w in new if w.claim]
    if not claimed:
        return []
    keys = _keys(claimed)
    return [(_LOCATORS, [array([ids.bucket_of(w.id) for w in claimed]), *keys[1:], keys[0]])]


def _audit(rows: Sequence[recorder.Row]) -> list[Statement]:
    if not rows:
        return []
    return [(recorder.INSERT_MANY_SQL, recorder.many_parameters(rows))]


_LOCK = f"""SELECT r.bucket, r.version, r.updated, r.method, r.deleted, r.pat, r.terms, r.type, r.id
 FROM resource r JOIN {KEYS} ON {ON_KEYS} WHERE true"""
_IN_ORDER = " ORDER BY r.bucket, r.type, r.id FOR UPDATE OF r"


# A plan made once, for tables that were empty then, would be kept while they fill: these joins are planned each time.
_PLANNED_ANEW: Statement = ("SET LOCAL plan_cache_mode = force_custom_plan", None)


def lock(transaction: database.Transaction, keys: Sequence[tuple[int, int, str]]) -> dict[tuple[int, str], Current]:
    """Locks the current versions at these (bucket, type, id), in that order; what is there, by (type, id)."""
    if not keys:
        return {}
    ordered = sorted(set(keys))
    # Citus locks rows of one bucket only.
    shares: list[tuple[Sequence[int], list[Key]]] = [((), ordered)]
    if citus.distributed():
        shares = [((bucket,), list(share)) for bucket, share in groupby(ordered, itemgetter(0))]
    locks = []
    for buckets, share in shares:
        columns = [array(column) for column in zip(*share, strict=True)]
        locks += [(sql + _IN_ORDER, parameters) for sql, parameters in _within(buckets, [(_LOCK, columns)])]
    rows = [row for found in transaction.send([_PLANNED_ANEW, *locks]) for row in found]
    return {(row[7], row[8]): Current(*row[:7]) for row in rows}


def supersede(write: Write, audit_row: recorder.Row) -> None:
    """Stores the next version: one that leaves its bucket, or of a definition.

    Raises Collision unless its previous version is still the newest.
    """
    previous = write.previous
    assert previous is not None
    with database.Transaction() as transaction:
        held = lock(transaction, [(previous.bucket, write.type, write.id)]).get((write.type, write.id))
        if held is None or held.version != previous.version:
            raise database.Collision("superseded")
        transaction.commit(statements([write], [audit_row]))


Key = tuple[int, int, str]  # bucket, type, id
_OF_KEYS = f"{KEYS} ON {ON_KEYS} WHERE r.bucket = ANY(%s::int[])"
_TARGETS_OF = f"SELECT r.type, r.id, r.target FROM locator r JOIN {_OF_KEYS}"
_BODIES_OF = f"SELECT r.type, r.id, r.body FROM content r JOIN {_OF_KEYS}"


def targets(transaction: database.Transaction, keys: Sequence[Key]) -> dict[tuple[int, str], int]:
    """The buckets that locators at these (bucket, type, id) name, by (type, id)."""
    return _by_identity(transaction, _TARGETS_OF, keys)


def bodies(transaction: database.Transaction, keys: Sequence[Key]) -> dict[tuple[int, str], str]:
    """The contents at these (bucket, type, id), by (type, id)."""
    return _by_identity(transaction, _BODIES_OF, keys)


def _by_identity(transaction: database.Transaction, sql: str, keys: Sequence[Key]) -> dict[tuple[int, str], Any]:
    columns = [array(column) for column in zip(*keys, strict=True)]
    # The list of buckets says to Citus which shards are asked.
    places = array(sorted({bucket for bucket, _type, _id in keys}))
    rows = transaction.send([_PLANNED_ANEW, (sql, [*columns, places])])[1]
    return {(number, name): value for number, name, value in rows}


_RESOURCES_THERE = f"SELECT r.type, r.id FROM resource r JOIN {KEYS} ON {ON_KEYS} WHERE r.bucket = ANY(%s::int[])"
_LOCATORS_THERE = _RESOURCES_THERE.replace("FROM resource", "FROM locator")


def existing(transaction: database.Transaction, wanted: Sequence[tuple[int, str, int]]) -> set[tuple[int, str]]:
    """Which of these (type, id, bucket) exist, deleted ones too: at that bucket, or anywhere by their home's word."""
    numbers, names, buckets = zip(*wanted, strict=True)
    homes = [ids.bucket_of(name) for name in names]
    keys = [array(numbers), array(names)]
    found = transaction.send(
        [
            _PLANNED_ANEW,
            (_RESOURCES_THERE, [array(buckets), *keys, array(sorted(set(buckets)))]),
            (_LOCATORS_THERE, [array(homes), *keys, array(sorted(set(homes)))]),
        ]
    )
    return {(row[0], row[1]) for rows in found for row in rows}
