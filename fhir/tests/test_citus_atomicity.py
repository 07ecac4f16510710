"""Nothing is half-written, on one node or on many: the last statement of a write fails, and the first is not there.

On Citus a pipeline without BEGIN keeps what came before the failure, which is why these run on both.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from audit import recorder
from fhir import database, ids, store, store_many
from fhir.definitions.structure import TYPE_NUMBER
from fhir.index_rows import NOTHING, IndexRows
from fhir.models import Method
from fhir.store import Write

TYPE = TYPE_NUMBER["Observation"]
ROWS = IndexRows(
    terms=[-5, 7, 9],
    present=3,
    sdate=1.7e15,
    ranges=[(1, None, 1.0, 2.0), (2, 5, 0.0, float("inf"))],
    strings=[(3, "munoz", "Muñoz")],
    code_values=[(4, None, 1.5, 2.5)],
    patients=("the-first", "another"),
    identifiers=((70_000, 8), (-3, 9)),
)
TABLES = (
    "resource",
    "content",
    "history",
    "range_index",
    "string_index",
    "code_value_index",
    "locator",
    "compartment_link",
    "identifier_locator",
)
BUCKETS = (0, 20000, 40000, 65535)  # far apart: with two shards or more they are not all in one

written: list[str] = []


@pytest.fixture(autouse=True)
def _leave_nothing(request: pytest.FixtureRequest) -> Iterator[None]:
    """The contents and rows of these resources belong to no extractor: other tests reindex what they find."""
    request.getfixturevalue("database")
    yield
    for table in TABLES:
        database.fetch(f"DELETE FROM {table} WHERE type = %s AND id = ANY(%s::text[])", (TYPE, written))
    written.clear()


def first(bucket: int, resource_id: str | None = None) -> Write:
    written.append(resource_id or ids.new_id(bucket))
    return Write(
        bucket=bucket,
        type=TYPE,
        id=written[-1],
        version=1,
        updated=store.now(),
        method=Method.POST,
        pat=11,
        body='{"n": 1}',
        rows=ROWS,
        claim=resource_id is not None,
    )


def after(write: Write, *, bucket: int | None = None, deletion: bool = False) -> Write:
    previous = store.current(write.type, write.id)
    assert previous is not None
    return Write(
        bucket=write.bucket if bucket is None else bucket,
        type=write.type,
        id=write.id,
        version=previous.version + 1,
        updated=store.now(previous.updated),
        method=Method.DELETE if deletion else Method.PUT,
        pat=11,
        body=None if deletion else f'{{"n": {previous.version + 1}}}',
        rows=NOTHING if deletion else following_rows(previous.version),
        previous=previous,
    )


def following_rows(version: int) -> IndexRows:
    """With an identifier, and a patient, that the version before has not."""
    return IndexRows(
        terms=[-version, 3],
        ranges=[(1, None, 2.0, 3.0)],
        patients=("the-first", f"after-{version}"),
        identifiers=((version, 3 + version),),
    )


def audit_row(write: Write) -> recorder.Row:
    return recorder.record(
        None,
        interaction="update",
        bucket=write.bucket,
        status=200,
        request_id=recorder.time_ordered_id(datetime.now(UTC)),
        client="",
        at=write.updated,
        type_number=write.type,
        resource_id=write.id,
        version=write.version,
    )


def taken(write: Write) -> recorder.Row:
    """An audit row that is stored already: storing it again breaks the key, at the end of everything."""
    row = audit_row(write)
    database.fetch(recorder.INSERT_SQL, row)
    return row


def stored(write: Write) -> dict[str, int]:
    """How many rows of each table are about this resource, wherever they lie."""
    where = "type = %s AND id = %s"
    key = (write.type, write.id)
    return {name: database.fetch(f"SELECT count(*) FROM {name} WHERE {where}", key)[0][0] for name in TABLES}


def terms(write: Write) -> list[int]:
    sql = "SELECT terms FROM resource WHERE bucket = %s AND type = %s AND id = %s"
    found: list[int] = database.fetch(sql, (write.bucket, write.type, write.id))[0][0]
    return found


def bundle(writes: list[Write], audit_rows: list[recorder.Row]) -> None:
    with database.Transaction() as transaction:
        keys = [(w.previous.bucket, w.type, w.id) for w in writes if w.previous is not None]
        held = store_many.lock(transaction, keys)
        assert len(held) == len(keys)
        transaction.commit(store_many.statements(writes, audit_rows))


@pytest.mark.parametrize("resource_id", [None, "foreign-{}"])
def test_a_create(resource_id: str | None) -> None:
    name = resource_id and resource_id.format(ids.new_id())
    write = first(7, name)
    with pytest.raises(database.Collision):
        store.create(write, taken(write))
    assert not any(stored(write).values())
    store.create(write, audit_row(write))
    assert stored(write)["range_index"] == 2
    assert (stored(write)["compartment_link"], stored(write)["identifier_locator"]) == (1, 2)
    assert terms(write) == ROWS.terms


@pytest.mark.parametrize("deletion", [False, True])
@pytest.mark.parametrize("bucket", [None, 40007])
def test_the_next_version(bucket: int | None, deletion: bool) -> None:
    write = first(7)
    store.create(write, audit_row(write))
    before = stored(write)
    following = after(write, bucket=bucket, deletion=deletion)
    with pytest.raises(database.Collision):
        store.supersede(following, taken(following))
    assert stored(write) == before
    assert terms(write) == ROWS.terms
    store.supersede(following, audit_row(following))
    now = stored(write)
    assert (now["resource"], now["content"], now["history"]) == (1, 0 if deletion else 1, 1)
    assert terms(following) == following.rows.terms


def test_a_version_that_was_superseded_changes_nothing() -> None:
    write = first(7)
    store.create(write, audit_row(write))
    winner, loser = after(write), after(write)
    store.supersede(winner, audit_row(winner))
    before = stored(write)
    with pytest.raises(database.Collision):
        store.supersede(loser, audit_row(loser))
    assert stored(write) == before
    versions = "SELECT count(*) FROM audit_record WHERE resource_id = %s"
    assert database.fetch(versions, (write.id,)) == [(2,)]


def test_a_version_of_a_resource_that_has_moved_away_changes_nothing() -> None:
    write = first(7)
    store.create(write, audit_row(write))
    moved, late = after(write, bucket=40007), after(write)
    store.supersede(moved, audit_row(moved))
    before = stored(write)
    with pytest.raises(database.Collision):
        store.supersede(late, audit_row(late))
    assert stored(write) == before


def test_a_bundle_over_several_buckets() -> None:
    writes = [first(bucket) for bucket in BUCKETS]
    rows = [audit_row(write) for write in writes]
    with pytest.raises(database.Collision):
        bundle(writes, [*rows[:-1], taken(writes[-1])])
    assert not any(count for write in writes for count in stored(write).values())
    bundle(writes, rows)
    assert [terms(write) for write in writes] == [ROWS.terms] * len(writes)


def test_a_bundle_that_updates_deletes_revives_and_moves() -> None:
    writes = [first(bucket) for bucket in BUCKETS]
    bundle(writes, [audit_row(write) for write in writes])
    gone = after(writes[2], deletion=True)
    store.supersede(gone, audit_row(gone))
    following = [
        after(writes[0]),
        after(writes[1], deletion=True),
        after(writes[2]),
        after(writes[3], bucket=BUCKETS[0]),
    ]
    before = [stored(write) for write in writes]
    with pytest.raises(database.Collision):
        bundle(following, [*map(audit_row, following[:-1]), taken(following[-1])])
    assert [stored(write) for write in writes] == before
    bundle(following, [audit_row(write) for write in following])
    assert [terms(write) for write in following] == [write.rows.terms for write in following]
    counts = [stored(write) for write in writes]
    assert [(n["resource"], n["content"], n["history"], n["range_index"]) for n in counts] == [
        (1, 1, 1, 1),
        (1, 0, 1, 0),
        (1, 1, 2, 1),
        (1, 1, 1, 1),
    ]
    assert counts[3]["locator"] == 1
    found = store.current(TYPE, writes[3].id)
    assert found is not None and found.bucket == BUCKETS[0]
