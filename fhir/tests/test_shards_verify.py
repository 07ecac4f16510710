"""`manage.py shards verify`: every kind of damage is found, and mended where that is harmless."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from audit.models import AuditRecord
from clinical_records.testing import ApiClient
from fhir import citus, ids
from fhir.definitions.structure import TYPE_NUMBER
from fhir.management.shards import checks_places, verify
from fhir.search import custom

from .shards_command import said_by, shards
from .test_shards import ANA, made, observation

PATIENT, OBSERVATION = TYPE_NUMBER["Patient"], TYPE_NUMBER["Observation"]
COLUMNS = {
    "resource": "type, id, version, updated, method, deleted, pat, sdate, present, terms",
    "content": "type, id, body",
    "range_index": "type, id, n, param, unit, lo, hi",
    "string_index": "type, id, n, param, value, exact",
    "code_value_index": "type, id, n, code, unit, lo, hi",
    "history": "type, id, version, updated, method, pat, body",
}
Chart = dict[str, str]


def execute(sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else []


def at(record: str) -> tuple[int, int, str]:
    """(bucket, type, id) of a record."""
    kind, _slash, name = record.partition("/")
    number = TYPE_NUMBER[kind]
    ((bucket,),) = execute("SELECT bucket FROM resource WHERE type = %s AND id = %s", number, name)
    return bucket, number, name


def touched(sql: str, record: str, *first: Any) -> None:
    """The statement with `WHERE` of one record behind it."""
    execute(f"{sql} WHERE bucket = %s AND type = %s AND id = %s", *first, *at(record))


@pytest.fixture
def chart(clean_database: None, api: Callable[..., ApiClient], monkeypatch: pytest.MonkeyPatch) -> Chart:
    """Two patients with what can be damaged, all in order."""
    monkeypatch.setattr(checks_places, "SECOND_LOOK_SECONDS", 0.0)
    custom.refresh(now=True)
    client = api()
    named = {**ANA, "identifier": [{"system": "urn:verify", "value": uuid4().hex}]}
    ana, eva = made(client, named), made(client, named)
    pulse = {**observation(ana), "effectiveDateTime": "2024-03-01", "valueQuantity": {"value": 72, "unit": "/min"}}
    chart = {
        "ana": ana,
        "eva": eva,
        "pulse": made(client, pulse),
        "changed": made(client, observation(ana)),
        "deleted": made(client, observation(ana)),
        "away": made(client, observation(ana), uuid4().hex),
        "shared": made(
            client,
            {
                "resourceType": "Appointment",
                "status": "booked",
                "start": "2024-03-01T10:00:00Z",
                "end": "2024-03-01T10:30:00Z",
                "participant": [{"actor": {"reference": who}, "status": "accepted"} for who in (ana, eva)],
            },
        ),
    }
    for _again in range(2):
        body = {**observation(ana), "id": chart["changed"].partition("/")[2], "status": "amended"}
        assert client.put(chart["changed"], body).status_code == 200
    assert client.delete(chart["deleted"]).status_code in (200, 204)
    return chart


def move(record: str) -> int:
    """All rows of a record to a bucket where they do not belong; that bucket."""
    bucket, number, name = at(record)
    wrong = (bucket + 1) % ids.BUCKETS
    for table, columns in COLUMNS.items():
        key = f"FROM {table} WHERE bucket = %s AND type = %s AND id = %s"
        execute(f"INSERT INTO {table} (bucket, {columns}) SELECT %s::int, {columns} {key}", wrong, bucket, number, name)
        execute(f"DELETE {key}", bucket, number, name)
    return wrong


def copy(record: str) -> None:
    """A second resource with the id, in another bucket."""
    bucket, number, name = at(record)
    for table in ("resource", "content"):
        execute(
            f"INSERT INTO {table} (bucket, {COLUMNS[table]}) SELECT %s::int, {COLUMNS[table]} FROM {table}"
            " WHERE bucket = %s AND type = %s AND id = %s",
            (bucket + 1) % ids.BUCKETS, bucket, number, name,
        )  # fmt: skip


def locator(chart: Chart, sql: str) -> None:
    _bucket, number, name = at(chart["away"])
    execute(f"{sql} WHERE bucket = %s AND type = %s AND id = %s", ids.bucket_of(name), number, name)


def stale_locator(_chart: Chart) -> None:
    name = uuid4().hex
    execute("INSERT INTO locator (bucket, type, id, target) VALUES (%s, %s, %s, 7)",
            ids.bucket_of(name), PATIENT, name)  # fmt: skip


def orphan(table: str, values: str) -> Callable[[Chart], None]:
    sql = f"INSERT INTO {table} (bucket, {COLUMNS[table]}) VALUES (5, {OBSERVATION}, 'nobody', {values})"
    return lambda chart: execute(sql) and None


def audit_elsewhere(chart: Chart) -> None:
    bucket, _number, name = at(chart["ana"])
    columns = "id, at, request_id, user_id, username, role, client, interaction, type, resource_id, version, pat,\
 patient, query, outcome, status, detail"
    execute(
        f"INSERT INTO audit_record (bucket, {columns}) SELECT %s::int, {columns} FROM audit_record"
        " WHERE bucket = %s AND resource_id = %s AND pat IS NOT NULL LIMIT 1",
        (bucket + 1) % ids.BUCKETS, bucket, name,
    )  # fmt: skip


# What is done to the chart, what is found of it, and which of that is mended.
DAMAGE: dict[str, tuple[Callable[[Chart], Any], set[str], set[str]]] = {
    "a content is gone": (lambda c: touched("DELETE FROM content", c["pulse"]), {"content-missing"}, set()),
    "a deleted record has a content": (
        lambda c: execute("INSERT INTO content (bucket, type, id, body) VALUES (%s, %s, %s, '{}')", *at(c["deleted"])),
        {"content-of-deleted"},
        set(),
    ),
    "a content of nobody": (orphan("content", "'{}'"), {"content-orphan"}, set()),
    "a content is cut": (
        lambda c: touched("UPDATE content SET body = left(body, 20)", c["pulse"]),
        {"content-damaged"},
        set(),
    ),
    "a content of another": (
        lambda c: touched("UPDATE content SET body = %s", c["pulse"], '{"resourceType": "Observation", "id": "x"}'),
        {"content-of-another"},
        set(),
    ),
    "a date of nobody": (orphan("range_index", "1, 1, NULL, 0, 1"), {"range-index-orphan"}, {"range-index-orphan"}),
    "a text of nobody": (orphan("string_index", "1, 1, 'a', 'A'"), {"string-index-orphan"}, {"string-index-orphan"}),
    "a code of nobody": (
        orphan("code_value_index", "1, 1, NULL, 0, 1"),
        {"code-value-index-orphan"},
        {"code-value-index-orphan"},
    ),
    "a version of nobody": (orphan("history", "1, now(), 1, NULL, NULL"), {"history-orphan"}, set()),
    "a version is gone": (
        lambda c: touched("DELETE FROM history", c["changed"]),
        {"history-gap"},
        set(),
    ),
    "an id leads nowhere": (lambda c: locator(c, "DELETE FROM locator"), {"locator-missing"}, {"locator-missing"}),
    "an id leads elsewhere": (
        lambda c: locator(c, "UPDATE locator SET target = 7"),
        {"locator-wrong", "locator-stale"},
        {"locator-wrong"},  # the first repair makes the second needless
    ),
    "a locator of nobody": (stale_locator, {"locator-stale"}, {"locator-stale"}),
    "a record lies in another bucket": (
        lambda c: move(c["pulse"]),
        {"place", "locator-missing"},
        {"locator-missing"},
    ),
    "a record is there twice": (
        lambda c: copy(c["pulse"]),
        {"duplicate", "place", "index"},
        set(),
    ),
    "a record is another patient's": (
        lambda c: touched("UPDATE resource SET pat = 7", c["pulse"]),
        {"patient"},
        set(),
    ),
    "terms are gone": (lambda c: touched("UPDATE resource SET terms = '{}'", c["pulse"]), {"index"}, set()),
    "dates are gone": (lambda c: touched("DELETE FROM range_index", c["pulse"]), {"index"}, set()),
    "a patient does not know": (lambda c: execute("DELETE FROM compartment_link"), {"link"}, {"link"}),
    "a patient is led elsewhere": (lambda c: execute("UPDATE compartment_link SET target = 7"), {"link"}, {"link"}),
    "identifiers do not find": (lambda c: execute("DELETE FROM identifier_locator"), {"identifier"}, {"identifier"}),
    "an audit row lies elsewhere": (audit_elsewhere, {"audit-place"}, set()),
}


def test_a_sound_store_has_no_findings_and_its_look_is_audited(chart: Chart) -> None:
    status, found = shards("verify")
    assert (status, found["findings"], found["problems"]) == (0, {}, [])
    types = {row["type"]: row for row in found["types"]}
    assert types["Patient"]["resource"] == types["Patient"]["content"] == 2
    assert (types["Observation"]["resource"], types["Observation"]["deleted"], types["Observation"]["history"]) == (
        3,
        1,
        3,
    )
    row = AuditRecord.objects.get(query="shards verify")
    assert (row.username, row.status) == ("manage.py shards", 200)
    assert "Nothing was found." in said_by("verify", "--quick", "--lang", "en")[1]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found_and_what_is_harmless_is_mended(chart: Chart, damage: str) -> None:
    harm, expected, harmless = DAMAGE[damage]
    harm(chart)
    status, found = shards("verify")
    assert (status, set(found["findings"])) == (1, expected), found
    assert {example["check"] for example in found["examples"]} == expected
    assert len(found["problems"]) == len(expected)

    _status, mended = shards("verify", "--repair")
    assert set(mended["repaired"]) == harmless, mended
    rows = AuditRecord.objects.filter(query__startswith="shards verify --repair ")
    assert {row.query.rpartition(" ")[2] for row in rows} == harmless

    status, left = shards("verify")
    beside = {"locator-stale"} if damage == "an id leads elsewhere" else set()
    assert set(left["findings"]) == expected - harmless - beside, left
    assert status == (1 if left["findings"] else 0)


@pytest.mark.parametrize(
    "damage", ["a record lies in another bucket", "an audit row lies elsewhere", "a content is gone"]
)
def test_the_quick_look_finds_what_lies_wrong_too(chart: Chart, damage: str) -> None:
    harm, expected, _harmless = DAMAGE[damage]
    harm(chart)
    status, found = shards("verify", "--quick")
    assert (status, set(found["findings"])) == (1, expected)


def test_findings_are_counted_all_and_shown_up_to_a_limit(chart: Chart) -> None:
    for n in range(5):
        execute("INSERT INTO content (bucket, type, id, body) VALUES (%s, %s, %s, '{}')", n * 9999, PATIENT, f"x{n}")
    status, found = shards("verify", "--limit", "2")
    assert (status, found["findings"], len(found["examples"])) == (1, {"content-orphan": 5}, 2)
    said = said_by("verify", "--quick", "--lang", "es")[1]
    assert "!! content-orphan: 5 contenidos sin recurso" in said
    assert "Patient/x3" in said


def test_many_ranges_say_the_same_as_one(chart: Chart, monkeypatch: pytest.MonkeyPatch) -> None:
    execute("DELETE FROM identifier_locator")
    _status, one = shards("verify")
    monkeypatch.setattr(verify, "ROWS_AT_ONCE", 1)
    _status, many = shards("verify")
    assert many["findings"] == one["findings"]
    assert many["types"] == one["types"]


@pytest.mark.citus
def test_a_row_in_a_shard_that_its_bucket_does_not_belong_to_is_found(chart: Chart) -> None:
    if not citus.has_citus(connection):
        pytest.skip("the database has no Citus extension (set DATABASE_URL to that of a coordinator)")
    bucket, number, name = at(chart["ana"])
    wrong = execute(
        """SELECT shard_name(s.logicalrelid, s.shardid), n.nodename, n.nodeport FROM pg_dist_shard s
        JOIN pg_dist_placement p USING (shardid) JOIN pg_dist_node n USING (groupid)
        WHERE s.logicalrelid = 'content'::regclass
        AND s.shardid <> get_shard_id_for_distribution_column('content', %s) LIMIT 1""",
        bucket,
    )[0]
    insert = f"INSERT INTO {wrong[0]} (bucket, type, id, body) VALUES ({bucket}, {number}, '{name}', 'x') RETURNING id"
    run = "SELECT success, result FROM master_run_on_worker(ARRAY[%s::text], ARRAY[%s::int], ARRAY[%s::text], false)"
    assert execute(run, wrong[1], wrong[2], insert)[0][0]
    try:
        status, found = shards("verify", "--quick")
        assert status == 1
        assert found["findings"]["shard"] == 1
    finally:
        delete = f"DELETE FROM {wrong[0]} WHERE id = '{name}' RETURNING id"
        assert execute(run, wrong[1], wrong[2], delete)[0][0]
