"""Read, vread, create, update and delete over HTTP: https://hl7.org/fhir/R4/http.html."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest

from fhir import ids

PATIENT = {"resourceType": "Patient", "name": [{"family": "Rojas", "given": ["Ana"]}], "birthDate": "1980-05-11"}


@pytest.fixture
def client(api):
    return api(role="administrator")


def observation(patient_id=None, **elements):
    made = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, **elements}
    return made if patient_id is None else {**made, "subject": {"reference": f"Patient/{patient_id}"}}


def test_it_creates_under_a_new_id(client):
    answer = client.post("Patient", {**PATIENT, "id": "chosen"})
    assert answer.status_code == 201
    made = answer.json()
    assert made["id"] != "chosen"
    assert made["meta"]["versionId"] == "1"
    assert answer["ETag"] == 'W/"1"'
    assert re.search(rf"/fhir/R4/Patient/{made['id']}/_history/1$", answer["Location"])
    assert client.get(f"Patient/{made['id']}").json() == made


def test_it_keeps_every_digit_and_the_order_of_keys(client):
    text = (
        b'{"resourceType":"Observation","code":{"text":"x"},"status":"final","valueQuantity":{"value":1.00,"unit":"g"}}'
    )
    made = client.post("Observation", text).json()
    body = client.get(f"Observation/{made['id']}").content.decode()
    assert '"value":1.00,' in body
    assert body.index('"code"') < body.index('"status"')


def test_a_resource_lies_in_the_bucket_of_its_patient(client):
    patient = client.post("Patient", PATIENT).json()
    made = client.post("Observation", observation(patient["id"])).json()
    assert ids.bucket_of(made["id"]) == ids.bucket_of(patient["id"])


def test_an_update_makes_the_next_version_and_keeps_the_last(client):
    made = client.post("Patient", PATIENT).json()
    answer = client.put(f"Patient/{made['id']}", {**made, "active": True})
    assert answer.status_code == 200
    assert answer["ETag"] == 'W/"2"'
    assert client.get(f"Patient/{made['id']}").json()["active"] is True
    first = client.get(f"Patient/{made['id']}/_history/1")
    assert first.json() == made
    assert client.get(f"Patient/{made['id']}/_history/3").status_code == 404


def test_an_unknown_id_of_the_client_is_created(client):
    chosen = f"chosen-{uuid4().hex[:20]}"
    answer = client.put(f"Patient/{chosen}", {**PATIENT, "id": chosen})
    assert answer.status_code == 201
    assert client.get(f"Patient/{chosen}").json()["id"] == chosen
    assert client.put(f"Patient/{chosen}", {**PATIENT, "id": chosen}).status_code == 200


def test_a_client_id_in_another_bucket_is_found(client):
    patient = client.post("Patient", PATIENT).json()
    chosen = f"o-{uuid4().hex}"
    assert client.put(f"Observation/{chosen}", observation(patient["id"], id=chosen)).status_code == 201
    assert ids.bucket_of(chosen) != ids.bucket_of(patient["id"])
    assert client.get(f"Observation/{chosen}").status_code == 200
    assert (
        client.put(f"Observation/{chosen}", observation(patient["id"], id=chosen, status="amended")).status_code == 200
    )
    assert client.get(f"Observation/{chosen}/_history/1").json()["status"] == "final"


@pytest.mark.parametrize("body_id", [None, "another"])
def test_the_body_must_carry_the_id_of_the_url(client, body_id):
    made = client.post("Patient", PATIENT).json()
    body = {**PATIENT, "id": body_id} if body_id else PATIENT
    assert client.put(f"Patient/{made['id']}", body).status_code == 400


def test_a_deleted_resource_is_gone_and_its_versions_stay(client):
    made = client.post("Patient", PATIENT).json()
    assert client.delete(f"Patient/{made['id']}").status_code == 204
    gone = client.get(f"Patient/{made['id']}")
    assert gone.status_code == 410
    assert gone.json()["resourceType"] == "OperationOutcome"
    assert client.get(f"Patient/{made['id']}/_history/1").json() == made
    assert client.get(f"Patient/{made['id']}/_history/2").status_code == 410
    assert client.delete(f"Patient/{made['id']}").status_code == 204


def test_an_update_brings_back_what_was_deleted(client):
    made = client.post("Patient", PATIENT).json()
    client.delete(f"Patient/{made['id']}")
    answer = client.put(f"Patient/{made['id']}", made)
    assert answer.status_code == 201
    assert answer.json()["meta"]["versionId"] == "3"


def test_what_was_never_there_is_not_found(client):
    for url in (f"Patient/{uuid4()}", "Patient/no-such", "Patient/%00", f"Patient/{'a' * 65}"):
        answer = client.get(url)
        assert answer.status_code == 404, url
        assert answer.json()["issue"][0]["code"] == "not-found"
    assert client.get("Nonsense/1").status_code == 404


def test_a_resource_moves_with_its_patient(client):
    first, second = client.post("Patient", PATIENT).json(), client.post("Patient", PATIENT).json()
    made = client.post("Observation", observation(first["id"])).json()
    moved = client.put(f"Observation/{made['id']}", observation(second["id"], id=made["id"]))
    assert moved.status_code == 200
    assert client.get(f"Observation/{made['id']}").json()["subject"]["reference"] == f"Patient/{second['id']}"
    assert client.get(f"Observation/{made['id']}/_history/1").json() == made
    again = client.put(f"Observation/{made['id']}", observation(first["id"], id=made["id"]))
    assert again["ETag"] == 'W/"3"'
    versions = [
        e["resource"]["meta"]["versionId"] for e in client.get(f"Observation/{made['id']}/_history").json()["entry"]
    ]
    assert versions == ["3", "2", "1"]


def test_a_subject_removed_or_added_keeps_the_resource(client):
    patient = client.post("Patient", PATIENT).json()
    made = client.post("Observation", observation(patient["id"])).json()
    assert client.put(f"Observation/{made['id']}", observation(id=made["id"])).status_code == 200
    assert "subject" not in client.get(f"Observation/{made['id']}").json()
    assert client.put(f"Observation/{made['id']}", observation(patient["id"], id=made["id"])).status_code == 200
    assert client.get(f"Observation/{made['id']}").json()["subject"]["reference"] == f"Patient/{patient['id']}"


def test_a_patient_of_another_server_decides_nothing(client):
    made = client.post("Observation", observation(subject={"reference": "http://elsewhere.example/fhir/Patient/1"}))
    assert made.status_code == 201
    assert client.get(f"Observation/{made.json()['id']}").status_code == 200


def test_if_match_protects_the_version(client):
    made = client.post("Patient", PATIENT).json()
    url = f"Patient/{made['id']}"
    assert client.put(url, made, headers={"If-Match": 'W/"7"'}).status_code == 412
    assert client.put(url, made, headers={"If-Match": 'W/"1"'}).status_code == 200
    assert client.delete(url, headers={"If-Match": 'W/"1"'}).status_code == 412
    assert client.put(url, made, headers={"If-None-Match": "*"}).status_code == 412


def test_a_reader_who_has_the_version_gets_304(client):
    made = client.post("Patient", PATIENT)
    url = f"Patient/{made.json()['id']}"
    answer = client.get(url, headers={"If-None-Match": made["ETag"]})
    assert (answer.status_code, answer.content) == (304, b"")
    assert client.get(url, headers={"If-Modified-Since": made["Last-Modified"]}).status_code == 304
    assert client.get(url, headers={"If-Modified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"}).status_code == 200
