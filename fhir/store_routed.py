"""The next version of a resource on Citus: plain statements, each sent to the one shard that its bucket names.

The writable CTE of fhir.store_statements is right there too, but each of its parts that asks whether the update has
happened costs Citus an intermediate result: 4 to 5 times the time of these statements
(docs/decisions/0020-citus-statements.md).
"""

from __future__ import annotations

from functools import cache

from audit import recorder

from . import database, place_rows
from .store_statements import (
    AT_KEY,
    INDEXES,
    INSERT_AUDIT,
    KEY,
    Filled,
    filled,
    insert_index,
    parameters,
    update_resource,
)
from .versions import Write

_INSERT_HISTORY = "INSERT INTO history (bucket, type, id, version, updated, method, pat, body)"
_BEFORE = "%(pv)s::int, %(pu)s::timestamptz, %(pm)s::smallint, %(pp)s::bigint"
_KEEP_VERSION = f"{_INSERT_HISTORY} SELECT bucket, type, id, {_BEFORE}, body FROM content WHERE {AT_KEY}"
_KEEP_DELETION = f"{_INSERT_HISTORY} VALUES ({KEY}, {_BEFORE}, NULL)"


@cache
def _statements(tables: Filled, deletion: bool, revival: bool) -> tuple[str, ...]:
    """Everything after the guarded update, in order."""
    steps, values = [_KEEP_DELETION if revival else _KEEP_VERSION], dict(tables)
    if deletion:
        steps.append(f"DELETE FROM content WHERE {AT_KEY}")
    elif revival:
        steps.append(f"INSERT INTO content (bucket, type, id, body) VALUES ({KEY}, %(body)s)")
    else:
        steps.append(f"UPDATE content SET body = %(body)s WHERE {AT_KEY}")
    for index in INDEXES:
        if not revival:
            steps.append(f"DELETE FROM {index[1]} WHERE {AT_KEY}")
        if index[0] in values:
            steps.append(insert_index(*index, values=values[index[0]]))
    return (*steps, INSERT_AUDIT)


def supersede(write: Write, audit_row: recorder.Row) -> None:
    """Stores the next version in two round trips: the guarded update, whose row stays locked, and all the rest.

    Raises Collision unless the previous version is still the newest.
    """
    previous = write.previous
    assert previous is not None
    deletion = write.body is None
    values = parameters(write, audit_row)
    with database.Transaction() as transaction:
        if not transaction.send([(update_resource(deletion), values)])[0]:
            raise database.Collision("superseded")
        steps = _statements(filled(write.rows), deletion, previous.deleted)
        transaction.commit([*((sql, values) for sql in steps), *place_rows.of([write]).statements()])
