"""Copies of the stored SearchParameters, ValueSets and CodeSystems on the coordinator.

Every process asks for them, before writes and searches of any patient: on the shards that question would depend on all
nodes, and a dead one would stop the patients of the others. The copy is written in the transaction of the version that
it copies. fhir.store_many writes these types, and on Citus commits them in two phases, so that copy and version are
both there or neither is (docs/decisions/0050-dead-nodes.md).
"""

from __future__ import annotations

from collections.abc import Iterable

from . import ids, json
from .database import Statement
from .definitions.structure import TYPE_NUMBER
from .versions import Write

TYPES = frozenset(TYPE_NUMBER[name] for name in ("SearchParameter", "ValueSet", "CodeSystem"))

# A deletion stays as a row without a body: the sum of the versions of a type grows with every write.
VERSION_SQL = "SELECT coalesce(sum(version), 0)::bigint FROM stored_definition WHERE type = %s::smallint"
_SAVE = """INSERT INTO stored_definition (type, id, version, updated, url, body)
 SELECT * FROM unnest(%s::smallint[], %s::text[], %s::int[], %s::timestamptz[], %s::bigint[], %b::text[])
 ON CONFLICT (type, id) DO UPDATE SET version = excluded.version, updated = excluded.updated, url = excluded.url,
 body = excluded.body WHERE stored_definition.version < excluded.version"""


def url_hash(url: str) -> int:
    """What column `url` holds."""
    return ids.hash64(url)


def statements(writes: Iterable[Write]) -> list[Statement]:
    """The statement that copies those of these versions that are definitions; none where none is."""
    copied = [(w.type, w.id, w.version, w.updated, url_of(w.body), w.body) for w in writes if w.type in TYPES]
    return [(_SAVE, [list(column) for column in zip(*copied, strict=True)])] if copied else []


def url_of(body: str | None) -> int | None:
    """What column `url` holds for the JSON text of a definition; None for a deletion, and for one without url."""
    url = json.loads(body).get("url") if body is not None else None
    return None if url is None else url_hash(url)
