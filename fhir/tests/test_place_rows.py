"""compartment_link and identifier_locator say all that a search has to know, after every kind of write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from clinical_records.testing import ApiClient
from fhir import database, ids, json, place_fill, reindex
from fhir.definitions.structure import TYPE_NAME, TYPE_NUMBER
from fhir.interactions.bulk import store_resources
from fhir.management.actor import command_context
from fhir.search import extract

Resource = dict[str, Any]
BASE_URL = "http://testserver/fhir/R4"
_STORED = """SELECT r.bucket, r.type, r.id, c.body FROM resource r
 JOIN content c ON c.bucket = r.bucket AND c.type = r.type AND c.id = r.id WHERE NOT r.deleted AND r.id = ANY(%s)"""
_LINKS = "SELECT bucket, pat, type, id, target FROM compartment_link WHERE id = ANY(%s)"
_IDENTIFIERS = "SELECT bucket, value, term, type, id, target FROM identifier_locator WHERE id = ANY(%s)"


@pytest.fixture
def client(api: Callable[..., ApiClient]) -> ApiClient:
    return api()


def wanted(names: list[str]) -> tuple[set[tuple[Any, ...]], set[tuple[Any, ...]]]:
    """The rows that have to be there, by the resources as they are stored."""
    links, identifiers = set(), set()
    for bucket, number, name, body in database.fetch(_STORED, (names,)):
        rows = extract.index(json.loads(body), BASE_URL)
        for patient in rows.patients:
            if ids.bucket_of(patient) != bucket:
                links.add((ids.bucket_of(patient), ids.patient_hash(patient), number, name, bucket))
        if TYPE_NAME[number] in ids.LOCATED_TYPES:
            for value, term in rows.identifiers:
                identifiers.add((ids.bucket_of_term(value), value, term, number, name, bucket))
    return links, identifiers


def there(names: list[str]) -> tuple[set[tuple[Any, ...]], set[tuple[Any, ...]]]:
    return set(database.fetch(_LINKS, (names,))), set(database.fetch(_IDENTIFIERS, (names,)))


def complete(*names: str, links: int = 0, identifiers: int = 0) -> None:
    """All rows that have to be there are, and they are so many."""
    for stored, asked, count in zip(there(list(names)), wanted(list(names)), (links, identifiers), strict=True):
        assert asked <= stored
        assert len(asked) == count


def posted(client: ApiClient, resource: Resource) -> Resource:
    answer = client.post(resource["resourceType"], resource)
    assert answer.status_code == 201, answer.content
    found: Resource = answer.resource()
    return found


def put(client: ApiClient, resource: Resource) -> Resource:
    answer = client.put(f"{resource['resourceType']}/{resource['id']}", resource)
    assert answer.status_code in (200, 201), answer.content
    found: Resource = answer.resource()
    return found


def identifier(value: str | None = None, system: str | None = "urn:places") -> Resource:
    found = {"value": value or str(uuid4())}
    return {"system": system, **found} if system else found


def patient(*identifiers: Resource, **more: Any) -> Resource:
    return {"resourceType": "Patient", "identifier": list(identifiers) or [identifier()], **more}


def observation(subject: str, *performers: str) -> Resource:
    others = {"performer": [{"reference": f"Patient/{name}"} for name in performers]} if performers else {}
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": f"Patient/{subject}"},
        **others,
    }


def appointment(*patients: str) -> Resource:
    actors = [{"actor": {"reference": f"Patient/{name}"}, "status": "accepted"} for name in patients]
    return {"resourceType": "Appointment", "status": "proposed", "participant": actors}


def three(client: ApiClient) -> list[str]:
    return [posted(client, patient())["id"] for _number in range(3)]


def test_a_create_and_its_updates(client: ApiClient) -> None:
    first, second = identifier(), identifier(system=None)
    made = posted(client, patient(first, {"system": "urn:without-a-value"}))
    complete(made["id"], identifiers=1)
    made = put(client, {**made, "identifier": [first, second]})
    complete(made["id"], identifiers=2)
    made = put(client, {**made, "identifier": [second, identifier()]})
    complete(made["id"], identifiers=2)
    change = [{"op": "add", "path": "/identifier/-", "value": identifier()}]
    kind = {"Content-Type": "application/json-patch+json"}
    assert client.patch(f"Patient/{made['id']}", change, headers=kind).status_code == 200
    complete(made["id"], identifiers=3)


def test_an_update_that_adds_nothing_writes_no_row(client: ApiClient) -> None:
    made = posted(client, patient())
    database.fetch("DELETE FROM identifier_locator WHERE id = %s", (made["id"],))
    put(client, {**made, "active": True})
    assert there([made["id"]]) == (set(), set())


def test_a_deletion_leaves_the_rows_and_a_revival_writes_them(client: ApiClient) -> None:
    ana, carlos, _third = three(client)
    made = posted(client, appointment(ana, carlos))
    rows = there([made["id"]])
    assert client.delete(f"Appointment/{made['id']}").status_code in (200, 204)
    assert there([made["id"]]) == rows
    database.fetch("DELETE FROM compartment_link WHERE id = %s", (made["id"],))
    put(client, made)
    complete(made["id"], links=1)


def test_several_patients_and_one_who_comes_later(client: ApiClient) -> None:
    ana, carlos, eva = three(client)
    made = posted(client, appointment(ana, carlos))
    complete(made["id"], links=1)
    put(client, {**appointment(ana, carlos, eva), "id": made["id"]})
    complete(made["id"], links=2)


def test_a_resource_that_moves_is_found_in_its_new_place(client: ApiClient) -> None:
    ana, carlos, eva = three(client)
    made = posted(client, observation(ana, eva))
    complete(made["id"], links=1)
    put(client, {**observation(carlos, eva, ana), "id": made["id"]})
    complete(made["id"], links=2)
    put(client, {**observation(eva, carlos), "id": made["id"]})
    complete(made["id"], links=1)


def test_a_bundle(client: ApiClient) -> None:
    ana, carlos, eva = three(client)
    known = posted(client, observation(ana, eva))
    urn = f"urn:uuid:{uuid4()}"
    entries: list[Resource] = [
        {
            "fullUrl": urn,
            "resource": patient(identifier(), identifier()),
            "request": {"method": "POST", "url": "Patient"},
        },
        {"resource": appointment(ana, carlos), "request": {"method": "POST", "url": "Appointment"}},
        {
            "resource": {**observation(carlos, eva), "id": known["id"]},
            "request": {"method": "PUT", "url": f"Observation/{known['id']}"},
        },
    ]
    entries[1]["resource"]["participant"].append({"actor": {"reference": urn}, "status": "accepted"})
    answer = client.post("", {"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert answer.status_code == 200, answer.content
    names = [entry["response"]["location"].split("/")[-3] for entry in answer.resource()["entry"][:2]]
    complete(names[0], identifiers=2)
    complete(names[1], links=2)
    complete(known["id"], links=1)


def test_many_at_once(client: ApiClient) -> None:
    ana, carlos, _eva = three(client)
    made = [{**patient(), "id": f"places-{uuid4()}"} for _number in range(20)]
    made += [{**appointment(ana, carlos), "id": f"places-{uuid4()}"} for _number in range(20)]
    assert store_resources(made, command_context("test")).stored == 40
    complete(*(resource["id"] for resource in made), links=20, identifiers=20)


def test_what_is_stored_already_is_filled_in_and_what_is_there_stays(client: ApiClient) -> None:
    ana, carlos, _eva = three(client)
    names = [posted(client, patient())["id"], posted(client, appointment(ana, carlos))["id"]]
    kept = posted(client, patient())["id"]
    for table in ("compartment_link", "identifier_locator"):
        database.fetch(f"DELETE FROM {table} WHERE id = ANY(%s)", (names,))
    ((bucket,),) = database.fetch("SELECT bucket FROM identifier_locator WHERE id = %s", (kept,))
    newer = "UPDATE identifier_locator SET target = 77 WHERE bucket = %s AND id = %s"
    database.fetch(newer, (bucket, kept))
    assert place_fill.fill() >= 3
    complete(*names, links=1, identifiers=1)
    assert database.fetch("SELECT target FROM identifier_locator WHERE id = %s", (kept,)) == [(77,)]
    database.fetch("DELETE FROM identifier_locator WHERE id = %s", (kept,))
    assert place_fill.fill() >= 3
    complete(kept, identifiers=1)


def test_reindexing_fills_in_too(client: ApiClient) -> None:
    ana, carlos, _eva = three(client)
    name = posted(client, appointment(ana, carlos))["id"]
    database.fetch("DELETE FROM compartment_link WHERE id = %s", (name,))
    context = command_context("test")
    row = context.audit("operation", bucket=None, status=200, at=database_now())
    key = (ids.bucket_of(name), TYPE_NUMBER["Appointment"], name)
    assert reindex.resource(key, BASE_URL, row) is False
    complete(name, links=1)


def database_now() -> Any:
    ((now,),) = database.fetch("SELECT now()")
    return now
