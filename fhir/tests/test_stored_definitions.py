"""The coordinator's copies of SearchParameters, ValueSets and CodeSystems are what is stored, whoever wrote it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from clinical_records.testing import ApiClient
from fhir import citus, database, json, stored_definitions
from fhir.definitions.structure import TYPE_NUMBER
from fhir.models import Content, Resource, StoredDefinition
from fhir.search import custom
from fhir.terminology import Terminology

from . import custom_parameters
from .test_citus_tasks import sent

MIGRATION = importlib.import_module("fhir.migrations.0006_stored_definition")


@pytest.fixture
def client(api: Callable[..., ApiClient]) -> Iterator[ApiClient]:
    made = api()
    yield made
    custom_parameters.forget(made)


def value_set(**elements: Any) -> dict[str, Any]:
    return {"resourceType": "ValueSet", "status": "active", "url": f"urn:sets:{uuid4()}", **elements}


def assert_copied(name: str, resource_id: str) -> StoredDefinition:
    """The copy of a definition, which says what the shards say."""
    copy = StoredDefinition.objects.get(type=TYPE_NUMBER[name], id=resource_id)
    original = Resource.objects.get(type=TYPE_NUMBER[name], id=resource_id)
    body = Content.objects.filter(type=TYPE_NUMBER[name], id=resource_id).values_list("body", flat=True).first()
    assert (copy.version, copy.updated, copy.body) == (original.version, original.updated, body)
    assert copy.url == stored_definitions.url_of(body)
    return copy


def test_every_kind_of_write(client: ApiClient) -> None:
    first = client.post("ValueSet", value_set()).resource()
    where = f"ValueSet/{first['id']}"
    assert assert_copied("ValueSet", first["id"]).version == 1
    assert client.put(where, {**first, "name": "Second"}).status_code == 200
    change = [{"op": "replace", "path": "/status", "value": "draft"}]
    kind = {"Content-Type": "application/json-patch+json"}
    assert client.patch(where, change, headers=kind).status_code == 200
    labels = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"tag": [{"code": "x"}]}}]}
    assert client.post(f"{where}/$meta-add", labels).status_code == 200
    assert assert_copied("ValueSet", first["id"]).version == 4
    assert client.delete(where).status_code == 204
    assert assert_copied("ValueSet", first["id"]).body is None
    assert client.put(where, first).status_code in (200, 201)
    assert assert_copied("ValueSet", first["id"]).version == 6
    condition = {"If-None-Exist": f"url={first['url']}-other"}
    found = client.post("ValueSet", value_set(url=f"{first['url']}-other"), headers=condition).resource()
    assert_copied("ValueSet", found["id"])


def test_bundles_and_loads(client: ApiClient, tmp_path: Path) -> None:
    named, loaded = f"set-{uuid4()}", f"set-{uuid4()}"
    entries = [
        {"resource": value_set(id=named), "request": {"method": "PUT", "url": f"ValueSet/{named}"}},
        {"resource": {"resourceType": "Patient"}, "request": {"method": "POST", "url": "Patient"}},
    ]
    answer = client.post("", {"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert answer.status_code == 200, answer.content
    assert_copied("ValueSet", named)
    file = tmp_path / "sets.ndjson"
    file.write_bytes(json.dumps(value_set(id=loaded)) + b"\n" + json.dumps(value_set(id=named, name="Again")))
    call_command("load", str(file), verbosity=0)
    assert_copied("ValueSet", loaded)
    assert assert_copied("ValueSet", named).version == 2


def test_a_write_that_is_undone_leaves_no_copy(client: ApiClient) -> None:
    named = f"set-{uuid4()}"
    broken = {"resource": {"resourceType": "Patient", "gender": 1}, "request": {"method": "POST", "url": "Patient"}}
    entry = {"resource": value_set(id=named), "request": {"method": "PUT", "url": f"ValueSet/{named}"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry, broken]}
    assert client.post("", bundle).status_code == 422
    assert not StoredDefinition.objects.filter(id=named).exists()


def test_the_sum_of_versions_grows_with_every_write(client: ApiClient) -> None:
    """Also when one is deleted and another one made: no process may take the new state for the one that it knows."""

    def total() -> int:
        return int(database.fetch(stored_definitions.VERSION_SQL, (TYPE_NUMBER["SearchParameter"],))[0][0])

    before = total()
    first = custom_parameters.made(client, custom_parameters.definition())
    assert total() == before + 1
    client.delete(f"SearchParameter/{first}")
    custom_parameters.made(client, custom_parameters.definition())
    assert total() == before + 3


def test_the_migration_copies_what_is_stored(client: ApiClient) -> None:
    kept = client.post("ValueSet", value_set()).resource()["id"]
    gone = client.post("ValueSet", value_set()).resource()["id"]
    client.delete(f"ValueSet/{gone}")
    with transaction.atomic():
        StoredDefinition.objects.all().delete()
        MIGRATION.copy(None, SimpleNamespace(connection=connection))
    assert_copied("ValueSet", kept)
    assert assert_copied("ValueSet", gone).body is None


@pytest.mark.citus
def test_on_citus_a_definition_and_its_copy_are_committed_in_two_phases(client: ApiClient) -> None:
    """One COMMIT on the shard and then one on the coordinator could be one without the other."""
    if not citus.has_citus(connection):
        pytest.skip("the database has no Citus extension (set DATABASE_URL to that of a coordinator)")
    if not database.fetch("SELECT 1 FROM pg_dist_node WHERE groupid > 0 AND shouldhaveshards"):
        pytest.skip("the coordinator has all the shards: it is one transaction")
    with sent() as creating:
        stored = client.post("ValueSet", value_set()).resource()
    with sent() as updating:
        client.put(f"ValueSet/{stored['id']}", {**stored, "name": "Second"})
    assert all("PREPARE TRANSACTION" in "".join(tasks.commands) for tasks in (creating, updating))


@pytest.mark.citus
def test_no_process_asks_the_shards_for_definitions(client: ApiClient) -> None:
    if not citus.has_citus(connection):
        pytest.skip("the database has no Citus extension (set DATABASE_URL to that of a coordinator)")
    codes = value_set(compose={"include": [{"system": "urn:s", "concept": [{"code": "a"}]}]})
    assert client.post("ValueSet", codes).status_code == 201
    custom_parameters.made(client, custom_parameters.definition())
    with sent() as tasks:
        assert custom.refresh(now=True)
        assert len(Terminology("http://localhost/fhir/R4").members(codes["url"])) == 1
    assert tasks.commands == []
