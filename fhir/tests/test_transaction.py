"""Transactions over HTTP: https://hl7.org/fhir/R4/http.html#transaction and #trules."""

from __future__ import annotations

import base64
from uuid import uuid4

import pytest

from fhir import database, ids

PATIENT = {"resourceType": "Patient", "name": [{"family": "Rojas"}]}


@pytest.fixture
def client(api):
    return api(role="administrator")


def urn():
    return f"urn:uuid:{uuid4()}"


def entry(method, url, resource=None, full_url=None, **request):
    made = {"request": {"method": method, "url": url, **request}}
    if resource is not None:
        made["resource"] = resource
    if full_url is not None:
        made["fullUrl"] = full_url
    return made


def transaction(client, *entries, **headers):
    return client.post("", {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}, headers=headers)


def observation(reference=None, **elements):
    made = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, **elements}
    return made if reference is None else {**made, "subject": {"reference": reference}}


def created_ids(answer):
    return [e["response"]["location"].split("/fhir/R4/")[1].split("/")[1] for e in answer.json()["entry"]]


def test_placeholders_become_references_and_all_lies_with_the_patient(client):
    patient, encounter = urn(), urn()
    answer = transaction(
        client,
        entry("POST", "Observation", observation(patient, encounter={"reference": encounter}), urn()),
        entry(
            "POST",
            "Encounter",
            {
                "resourceType": "Encounter",
                "status": "finished",
                "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
                "subject": {"reference": patient},
            },
            encounter,
        ),
        entry("POST", "Patient", PATIENT, patient),
    )
    assert answer.status_code == 200, answer.content
    assert [e["response"]["status"] for e in answer.json()["entry"]] == ["201 Created"] * 3
    observed, met, who = created_ids(answer)
    made = client.get(f"Observation/{observed}").json()
    assert made["subject"]["reference"] == f"Patient/{who}"
    assert made["encounter"]["reference"] == f"Encounter/{met}"
    assert ids.bucket_of(observed) == ids.bucket_of(met) == ids.bucket_of(who)


def test_one_bad_entry_and_nothing_is_stored(client):
    chosen = f"p-{uuid4().hex}"
    answer = transaction(
        client,
        entry("PUT", f"Patient/{chosen}", {**PATIENT, "id": chosen}, f"http://x.example/Patient/{chosen}"),
        entry("POST", "Observation", {"resourceType": "Observation", "status": "final"}, urn()),
    )
    assert answer.status_code == 422
    assert answer.json()["issue"][0]["expression"] == ["Bundle.entry[1].resource.code"]
    assert client.get(f"Patient/{chosen}").status_code == 404


def test_two_entries_on_one_resource_are_refused(client):
    made = client.post("Patient", PATIENT).json()
    url = f"http://x.example/Patient/{made['id']}"
    answer = transaction(
        client,
        entry("PUT", f"Patient/{made['id']}", {**made, "gender": "male"}, url),
        entry("DELETE", f"Patient/{made['id']}"),
    )
    assert answer.status_code == 400
    assert "gender" not in client.get(f"Patient/{made['id']}").json()


def test_updates_patches_deletes_and_reads_in_one(client):
    first, second, third = (client.post("Patient", PATIENT).json() for _ in range(3))
    patch = base64.b64encode(b'[{"op":"add","path":"/active","value":true}]').decode()
    answer = transaction(
        client,
        entry("GET", f"Patient/{second['id']}"),
        entry(
            "PUT", f"Patient/{first['id']}", {**first, "gender": "female"}, f"http://x.example/Patient/{first['id']}"
        ),
        entry(
            "PATCH",
            f"Patient/{second['id']}",
            {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": patch},
        ),
        entry("DELETE", f"Patient/{third['id']}"),
    )
    assert answer.status_code == 200, answer.content
    read, *_written = answer.json()["entry"]
    assert read["resource"]["active"] is True
    assert [e["response"]["status"][:3] for e in answer.json()["entry"]] == ["200", "200", "200", "204"]
    assert client.get(f"Patient/{first['id']}").json()["gender"] == "female"
    assert client.get(f"Patient/{first['id']}/_history/1").json() == first
    assert client.get(f"Patient/{third['id']}").status_code == 410


def test_a_hundred_entries_cost_few_round_trips(client):
    patient = urn()
    entries = [entry("POST", "Observation", observation(patient), urn()) for _ in range(99)]
    with database.trips() as count:
        answer = transaction(client, entry("POST", "Patient", PATIENT, patient), *entries)
    assert answer.status_code == 200
    assert len(answer.json()["entry"]) == 100
    assert count[0] <= 4


def test_an_empty_transaction_is_done_at_once(client):
    answer = client.post("", {"resourceType": "Bundle", "type": "transaction"})
    assert answer.status_code == 200
    assert answer.json()["type"] == "transaction-response"


def test_links_in_the_narrative_and_in_contained_resources_are_rewritten(client):
    patient = urn()
    answer = transaction(
        client,
        entry("POST", "Patient", PATIENT, patient),
        entry(
            "POST",
            "Observation",
            observation(
                contained=[{"resourceType": "RelatedPerson", "id": "r", "patient": {"reference": patient}}],
                performer=[{"reference": "#r"}],
                text={
                    "status": "generated",
                    "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><a href="{patient}">p</a></div>',
                },
            ),
            urn(),
        ),
    )
    assert answer.status_code == 200, answer.content
    who, observed = created_ids(answer)
    made = client.get(f"Observation/{observed}").json()
    assert made["contained"][0]["patient"]["reference"] == f"Patient/{who}"
    assert f'href="Patient/{who}"' in made["text"]["div"]


def test_a_moving_resource_takes_its_history_along(client):
    first, second = (client.post("Patient", PATIENT).json() for _ in range(2))
    made = client.post("Observation", observation(f"Patient/{first['id']}")).json()
    moved = {**made, "subject": {"reference": f"Patient/{second['id']}"}}
    url = f"Observation/{made['id']}"
    assert transaction(client, entry("PUT", url, moved, f"http://x.example/{url}")).status_code == 200
    assert client.get(f"{url}/_history/1").json() == made
    assert client.get(url).json()["subject"]["reference"] == f"Patient/{second['id']}"
