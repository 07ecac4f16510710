"""The one door to the resource tables: the newest version of a resource (fhir.versions), and storing the next.

A single write is one statement (fhir.store_statements: a writable CTE, atomic on plain PostgreSQL and on Citus, one
round trip, audit row included). Bundles, moves to another bucket and whatever is rarer use the set-based statements of
fhir.store_many.
"""

from __future__ import annotations

from functools import cache

from audit import recorder

from . import citus, database, ids, place_rows, store_many, store_routed, stored_definitions
from . import store_statements as statements
from .database import Statement
from .local_shards import Shard
from .versions import Current, Write, array, now

__all__ = [
    "Current",
    "Write",
    "array",
    "create",
    "create_statements",
    "current",
    "head_statement",
    "locator_statement",
    "now",
    "supersede",
]

# --- reading what is there

_CURRENT = """SELECT r.bucket, r.version, r.updated, r.method, r.deleted, r.pat, r.terms, {body}, {row}
 FROM resource r {join} WHERE r.bucket = %s AND r.type = %s AND r.id = %s"""
_BODY_JOIN = "LEFT JOIN content c ON c.bucket = %s AND c.type = r.type AND c.id = r.id"
_ROW = "r.xmin::text"  # Citus does not send this to its shards, and does not need it: fhir.store_routed
_LOCATOR_SQL = "SELECT target FROM locator WHERE bucket = %s AND type = %s AND id = %s"


def head_statement(bucket: int, type_number: int, resource_id: str, *, body: bool) -> Statement:
    """The statement that reads Current's fields at a bucket."""
    key = (bucket, type_number, resource_id)
    parameters = (bucket, *key) if body else key
    shard = database.here(bucket)
    if shard is not None:
        return shard.own(_current_sql(body, False), _current_sql(body, True)), parameters
    return _current_sql(body, citus.distributed()), parameters


@cache
def _current_sql(body: bool, distributed: bool) -> str:
    row = "NULL" if distributed else _ROW
    return _CURRENT.format(body="c.body" if body else "NULL", row=row, join=_BODY_JOIN if body else "")


def locator_statement(type_number: int, resource_id: str) -> Statement:
    """The statement that asks the id's home where the resource lies."""
    home = ids.bucket_of(resource_id)
    return database.at(home, (_LOCATOR_SQL, (home, type_number, resource_id)))


def current(type_number: int, resource_id: str, *, body: bool = False) -> Current | None:
    """The newest version, deletions included; None if there never was one.

    One round trip for a resource at home; a second one asks the locator, a third reads where it says.
    """
    home = ids.bucket_of(resource_id)
    if ids.is_issued(resource_id):
        found = database.fetch(*head_statement(home, type_number, resource_id, body=body))
        if found:
            return Current(*found[0])
        target = database.fetch(*locator_statement(type_number, resource_id))
    else:
        found, target = database.batch(
            [
                head_statement(home, type_number, resource_id, body=body),
                locator_statement(type_number, resource_id),
            ]
        )
        if found:
            return Current(*found[0])
    if not target or target[0][0] == home:
        return None
    found = database.fetch(*head_statement(target[0][0], type_number, resource_id, body=body))
    return Current(*found[0]) if found else None


# --- storing


def create_statements(write: Write, audit_row: recorder.Row) -> list[Statement]:
    """The statements that store a first version with its audit row; those of a definition store its copy too."""
    if write.type in stored_definitions.TYPES:
        return store_many.statements([write], [audit_row])
    return statements.create_statements(write, audit_row)


def create(write: Write, audit_row: recorder.Row) -> None:
    """Stores the first version in one round trip. Raises Collision if the resource exists."""
    sent = create_statements(write, audit_row)
    if len(sent) == 1:
        database.fetch(*sent[0])
    else:
        database.batch(sent, atomic=True)


def supersede(write: Write, audit_row: recorder.Row) -> None:
    """Stores the next version (or the deletion), moves the previous one to the history: one round trip, two on Citus.

    Raises Collision unless the previous version is still the newest.
    """
    previous = write.previous
    assert previous is not None
    if write.moves or write.type in stored_definitions.TYPES:
        store_many.supersede(write, audit_row)
        return
    shard = database.here(write.bucket)
    if shard is not None:
        _supersede_here(write, audit_row, shard)
        return
    if citus.distributed():
        store_routed.supersede(write, audit_row)
        return
    tables, places = statements.filled(write.rows), place_rows.of([write])
    sql = statements.supersede_sql(tables, write.body is None, previous.deleted, places.names)
    if not database.fetch(sql, {**statements.parameters(write, audit_row), **places.parameters}):
        raise database.Collision("superseded")


def _supersede_here(write: Write, audit_row: recorder.Row, shard: Shard) -> None:
    """The same past Citus; what other buckets have to know follows, when the version is known to be the newest."""
    assert write.previous is not None
    sql = statements.supersede_sql(statements.arrays(write.rows), write.body is None, write.previous.deleted, ())
    sent, places = (shard.own(sql), statements.parameters(write, audit_row)), place_rows.of([write]).statements()
    if not places:
        stored = database.fetch(*sent)
    else:
        with database.Transaction() as transaction:
            stored = transaction.send([sent])[0]
            if stored:
                transaction.commit(places)
    if not stored:
        raise database.Collision("superseded")
