"""`manage.py shards status` and `where`: on plain PostgreSQL and on a cluster, in both languages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError
from django.db import connection

from audit.models import AuditRecord
from clinical_records.testing import ApiClient
from fhir import citus, ids
from fhir.definitions.structure import TYPE_NUMBER

from .shards_command import said_by, shards

ANA = {"resourceType": "Patient", "name": [{"family": "Rojas"}]}


@pytest.fixture
def client(api: Callable[..., ApiClient]) -> ApiClient:
    return api()


def made(client: ApiClient, resource: dict[str, Any], name: str | None = None) -> str:
    """`Type/id` of a new resource, under an id of the client's if `name` is given."""
    kind = resource["resourceType"]
    sent = {**resource, "id": name} if name else resource
    answer = client.put(f"{kind}/{name}", sent) if name else client.post(kind, sent)
    assert answer.status_code == 201, answer.content
    return f"{kind}/{answer.resource()['id']}"


def observation(subject: str) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
        "subject": {"reference": subject},
    }


def audited(record: str) -> list[tuple[int, int, str]]:
    """(bucket, status, user) of the audit rows that `shards where` has left of a record."""
    rows = AuditRecord.objects.filter(resource_id=record.partition("/")[2], query="shards where")
    return [(row.bucket, row.status, row.username) for row in rows]


# --- status


def test_status_names_every_node_and_finds_nothing_wrong(database: None) -> None:
    status, found = shards("status")
    assert (status, found["problems"]) == (0, [])
    assert found["distributed"] == citus.has_citus(connection)
    if not found["distributed"]:
        assert found["bytes"] > 0
        assert "resource" in {table["table"] for table in found["tables"]}
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT nodeid FROM pg_dist_node")
        assert {node["id"] for node in found["nodes"]} == {row[0] for row in cursor.fetchall()}
        cursor.execute("SELECT count(*) FROM pg_dist_shard WHERE logicalrelid = 'resource'::regclass")
        assert len(found["shards"]) == cursor.fetchone()[0]
    assert all(node["alive"] and node["postgres"] and node["citus"] for node in found["nodes"])
    assert all(shard["tables"] == len(found["tables"]) and shard["bytes"] > 0 for shard in found["shards"])
    tables = {table["table"]: table["bytes"] for table in found["tables"]}
    assert sum(tables.values()) == sum(shard["bytes"] for shard in found["shards"])


@pytest.mark.parametrize("code, words", [("en", ("Database", "size")), ("es", ("Base de datos", "tamaño"))])
def test_status_is_told_in_two_languages(database: None, code: str, words: tuple[str, ...]) -> None:
    status, said = said_by("status", "--lang", code)
    assert status == 0
    assert all(word in said for word in words)


def test_the_language_comes_from_the_environment(database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    for value, word in (("en_US.UTF-8", "Database"), ("es_CO.UTF-8", "Base de datos"), ("C", "Base de datos")):
        monkeypatch.setenv("LANG", value)
        assert word in said_by("status")[1]


# --- where


def test_where_by_the_id_by_its_hash_and_by_a_locator(client: ApiClient) -> None:
    ana = made(client, ANA)
    own = made(client, ANA, uuid4().hex)
    away = made(client, observation(ana), uuid4().hex)
    for record, way, bucket in (
        (ana, "id", ids.bucket_of(ana.partition("/")[2])),
        (own, "hash", ids.bucket_of(own.partition("/")[2])),
        (away, "locator", ids.bucket_of(ana.partition("/")[2])),
    ):
        status, found = shards("where", record)
        assert (status, found["record"], found["found_by"], found["bucket"]) == (0, record, way, bucket)
        assert audited(record) == [(bucket, 200, "manage.py shards")]
        # Which index of the table PostgreSQL prefers depends on how many rows of the type it knows of.
        assert any(name.startswith("resource_") for name in found["indexes"]), found["indexes"]
        if citus.has_citus(connection):
            with connection.cursor() as cursor:
                cursor.execute("SELECT get_shard_id_for_distribution_column('resource', %s)", [bucket])
                assert found["shard"] == cursor.fetchone()[0]
            assert (found["tasks"], found["asked"]) == (1, [found["node"]])


def test_where_follows_a_resource_that_moved_and_knows_deleted_ones(client: ApiClient) -> None:
    ana, eva = made(client, ANA), made(client, ANA)
    record = made(client, observation(ana))
    moved = {**observation(eva), "id": record.partition("/")[2]}
    assert client.put(record, moved).status_code == 200
    assert client.delete(record).status_code in (200, 204)
    status, found = shards("where", record)
    assert (status, found["found_by"], found["deleted"], found["version"]) == (0, "locator", True, 3)
    assert found["bucket"] == ids.bucket_of(eva.partition("/")[2])
    assert "eliminado" in said_by("where", record, "--lang", "es")[1]


def test_where_says_that_there_is_no_such_record_and_leaves_its_audit_row(database: None) -> None:
    name = uuid4().hex
    with pytest.raises(CommandError, match="There is no such record"):
        shards("where", f"Patient/{name}", "--lang", "en")
    assert audited(f"Patient/{name}") == [(ids.bucket_of(name), 404, "manage.py shards")]
    row = AuditRecord.objects.get(resource_id=name)
    assert (row.type, row.bucket) == (TYPE_NUMBER["Patient"], ids.bucket_of(name))


@pytest.mark.parametrize("record", ["Patient", "Person/", "Nobody/1", "Patient/a b", "Patient/1/2"])
def test_where_wants_a_type_and_an_id(database: None, record: str) -> None:
    with pytest.raises(CommandError, match="TYPE/ID"):
        shards("where", record, "--lang", "en")
