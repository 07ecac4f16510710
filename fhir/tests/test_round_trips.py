"""How often each interaction waits for PostgreSQL, by our own count and by that of a proxy on the socket."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from accounts import tokens
from clinical_records.testing import ApiClient
from fhir import citus
from fhir.database import here, trips
from fhir.search import custom

from . import wire

WARM = 4  # a statement is prepared at its second use, in a round trip of its own


@pytest.fixture
def proxy(database: None) -> Iterator[wire.Wire]:
    """Django's connection goes through a Wire."""
    connection.ensure_connection()
    host, port = connection.connection.info.host, connection.connection.info.port
    before = {name: connection.settings_dict[name] for name in ("HOST", "PORT")}
    connection.close()
    with wire.Wire(host, port) as counted:
        connection.settings_dict.update(HOST=counted.folder, PORT=str(wire.PORT))
        yield counted
        connection.close()
        connection.settings_dict.update(before)


@pytest.fixture
def client(api: Callable[..., ApiClient], monkeypatch: pytest.MonkeyPatch) -> ApiClient:
    """Logged in, and not asked again during the test whether it still is, nor for new search parameters."""
    monkeypatch.setattr(tokens, "RECHECK_SECONDS", 3600.0)
    monkeypatch.setattr(custom, "CHECK_SECONDS", 3600.0)
    monkeypatch.setattr(custom, "_next_check", 0.0)
    monkeypatch.setattr(custom, "_watched_until", 0.0)  # another test may have stored a SearchParameter just now
    return api()


def patient() -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "identifier": [{"system": "urn:trips", "value": str(uuid4())}],
        "name": [{"family": "Muñoz", "given": ["Ana"]}],
        "birthDate": "1980-02-29",
    }


def observation(subject: str) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
        "subject": {"reference": subject},
        "effectiveDateTime": "2024-03-01T10:00:00Z",
        "valueQuantity": {"value": 72, "unit": "/min", "system": "http://unitsofmeasure.org", "code": "/min"},
    }


def post_entry(resource: dict[str, Any], full_url: str | None = None, **request: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"resource": resource, "request": {"method": "POST", "url": resource["resourceType"]}}
    entry["request"].update(request)
    return {"fullUrl": full_url, **entry} if full_url else entry


def transaction(entries: list[dict[str, Any]]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def created(client: ApiClient, resource: dict[str, Any]) -> dict[str, Any]:
    response = client.post(resource["resourceType"], resource)
    assert response.status_code == 201, response.content
    answer: dict[str, Any] = response.resource()
    return answer


def cost(proxy: wire.Wire, send: Callable[[], Any], *statuses: int) -> int:
    """Round trips of one request once its statements are prepared; both counts must agree.

    What a process looks at every few seconds or minutes may fall into one try, and not into three in a row.
    """
    for _number in range(WARM):
        response = send()
        assert response.status_code in statuses, response.content
    tries = []
    for _number in range(3):
        before = proxy.trips
        with trips() as counted:
            response = send()
        assert response.status_code in statuses, response.content
        tries.append((proxy.trips - before, counted[0]))
        if tries[-1][0] == tries[-1][1]:
            return counted[0]
    raise AssertionError(f"fhir.database.trips() and the socket disagree: {tries}")


def superseding() -> int:
    """Read what is there, store what follows; on Citus the guarded update comes before all the rest."""
    return 3 if citus.distributed() and not one_node() else 2


def one_node() -> bool:
    """Whether statements about one bucket go past Citus."""
    return here(0) is not None


def test_create(proxy: wire.Wire, client: ApiClient) -> None:
    assert cost(proxy, lambda: client.post("Patient", patient()), 201) == 1


def test_create_in_a_chart(proxy: wire.Wire, client: ApiClient) -> None:
    subject = f"Patient/{created(client, patient())['id']}"
    assert cost(proxy, lambda: client.post("Observation", observation(subject)), 201) == 1


def test_read_and_vread(proxy: wire.Wire, client: ApiClient) -> None:
    where = f"Patient/{created(client, patient())['id']}"
    expected = 2 if citus.distributed() and not one_node() else 1  # on several nodes the audit row follows the answer
    assert cost(proxy, lambda: client.get(where), 200) == expected
    assert cost(proxy, lambda: client.get(f"{where}/_history/1"), 200) == expected
    assert cost(proxy, lambda: client.get(where, headers={"If-None-Match": 'W/"1"'}), 304) == expected


def test_read_of_nothing(proxy: wire.Wire, client: ApiClient) -> None:
    assert cost(proxy, lambda: client.get("Patient/00000000-0000-8000-8000-000000000000"), 404) <= 3


def test_update_and_patch(proxy: wire.Wire, client: ApiClient) -> None:
    known = created(client, patient())
    where = f"Patient/{known['id']}"
    assert cost(proxy, lambda: client.put(where, known), 200) == superseding()
    change = [{"op": "replace", "path": "/birthDate", "value": "1981-01-01"}]
    kind = {"Content-Type": "application/json-patch+json"}
    assert cost(proxy, lambda: client.patch(where, change, headers=kind), 200) == superseding()


def test_update_as_create(proxy: wire.Wire, client: ApiClient) -> None:
    def put() -> Any:
        new_id = f"trips-{uuid4()}"
        return client.put(f"Patient/{new_id}", {**patient(), "id": new_id})

    assert cost(proxy, put, 201) == 2


def test_delete(proxy: wire.Wire, client: ApiClient) -> None:
    doomed = iter([created(client, patient())["id"] for _number in range(WARM + 1)])
    assert cost(proxy, lambda: client.delete(f"Patient/{next(doomed)}"), 200, 204) == superseding()


def test_conditional_create(proxy: wire.Wire, client: ApiClient) -> None:
    def post(resource: dict[str, Any]) -> Any:
        value = resource["identifier"][0]["value"]
        return client.post("Patient", resource, headers={"If-None-Exist": f"identifier=urn:trips|{value}"})

    assert cost(proxy, lambda: post(patient()), 201) <= 3
    known = created(client, patient())
    # On Citus the place of the match is asked for first, and the audit row of the read follows its answer.
    assert cost(proxy, lambda: post(known), 200) <= 3 + 2 * citus.distributed()


def test_search(proxy: wire.Wire, client: ApiClient) -> None:
    subject = f"Patient/{created(client, patient())['id']}"
    for _number in range(3):
        created(client, observation(subject))
    question = f"Observation?patient={subject}&code=http://loinc.org|8867-4&_sort=-date"
    assert client.get(question).resource()["entry"]
    assert cost(proxy, lambda: client.get(question), 200) <= 2


def test_history(proxy: wire.Wire, client: ApiClient) -> None:
    where = f"Patient/{created(client, patient())['id']}"
    assert cost(proxy, lambda: client.get(f"{where}/_history"), 200) <= 2


def test_transaction_of_creates(proxy: wire.Wire, client: ApiClient) -> None:
    """A chart of 100 new resources is one round trip."""

    def send() -> Any:
        urn = f"urn:uuid:{uuid4()}"
        entries = [post_entry(patient(), urn), *(post_entry(observation(urn)) for _number in range(99))]
        return client.post("", transaction(entries))

    assert cost(proxy, send, 200) == 1


def test_transaction_of_everything(proxy: wire.Wire, client: ApiClient) -> None:
    """100 entries of all kinds: creates, conditional ones, updates, patches, deletions."""
    prepared = [[created(client, patient()) for _kind in range(3)] for _number in range(WARM + 1)]

    def send() -> Any:
        known, patched, doomed = prepared.pop()
        return client.post("", transaction(entries_of_all_kinds(known, patched, doomed)))

    assert cost(proxy, send, 200) <= 6


def entries_of_all_kinds(
    known: dict[str, Any], patched: dict[str, Any], doomed: dict[str, Any]
) -> list[dict[str, Any]]:
    urn, conditional = f"urn:uuid:{uuid4()}", patient()
    where = f"identifier=urn:trips|{conditional['identifier'][0]['value']}"
    patch = {
        "resourceType": "Binary",
        "contentType": "application/json-patch+json",
        "data": b64encode(b'[{"op": "add", "path": "/active", "value": true}]').decode(),
    }
    return [
        post_entry(patient(), urn),
        post_entry(conditional, ifNoneExist=where),
        {"resource": known, "request": {"method": "PUT", "url": f"Patient/{known['id']}"}},
        {"resource": patch, "request": {"method": "PATCH", "url": f"Patient/{patched['id']}"}},
        {"request": {"method": "DELETE", "url": f"Patient/{doomed['id']}"}},
        *(post_entry(observation(urn)) for _number in range(95)),
    ]
