"""Conditional interactions over HTTP: https://hl7.org/fhir/R4/http.html#ccreate, #cond-update, #cdelete."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import uuid4

import pytest
from django.db import connections

SYSTEM = "https://clinical-records.example/tests"


@pytest.fixture
def client(api):
    return api(role="administrator")


@pytest.fixture
def value():
    return uuid4().hex


def patient(value, **elements):
    return {"resourceType": "Patient", "identifier": [{"system": SYSTEM, "value": value}], **elements}


def condition(value):
    return f"identifier={SYSTEM}|{value}"


def found(client, value):
    bundle = client.get(f"Patient?{condition(value)}&_total=accurate").json()
    assert bundle["total"] == len(bundle.get("entry", []))
    return [e["resource"]["id"] for e in bundle.get("entry", [])]


def test_a_conditional_create_creates_once(client, value):
    first = client.post("Patient", patient(value), headers={"If-None-Exist": condition(value)})
    second = client.post("Patient", patient(value), headers={"If-None-Exist": condition(value)})
    assert (first.status_code, second.status_code) == (201, 200)
    assert second["Location"] == first["Location"]
    assert second.json() == first.json()
    assert found(client, value) == [first.json()["id"]]


def test_a_condition_in_the_url_of_a_create_is_not_overlooked(client, value):
    assert client.post(f"Patient?{condition(value)}", patient(value)).status_code == 400
    assert found(client, value) == []


def test_several_matches_are_refused_and_nothing_is_written(client, value):
    made = [client.post("Patient", patient(value)).json()["id"] for _ in range(2)]
    headers = {"If-None-Exist": condition(value)}
    assert client.post("Patient", patient(value), headers=headers).status_code == 412
    assert client.put(f"Patient?{condition(value)}", patient(value)).status_code == 412
    assert client.delete(f"Patient?{condition(value)}").status_code == 412
    assert sorted(found(client, value)) == sorted(made)


def test_32_clients_at_once_create_exactly_one(client, value):
    barrier = Barrier(32)

    def create(_number):
        barrier.wait()
        try:
            return client.post("Patient", patient(value), headers={"If-None-Exist": condition(value)}).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(32) as pool:
        statuses = list(pool.map(create, range(32)))
    assert statuses.count(201) == 1
    assert statuses.count(200) == 31
    assert len(found(client, value)) == 1


def test_a_conditional_update_creates_then_updates(client, value):
    url = f"Patient?{condition(value)}"
    first = client.put(url, patient(value, active=True))
    second = client.put(url, patient(value, active=False))
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json()["id"] == first.json()["id"]
    assert second.json()["meta"]["versionId"] == "2"


def test_a_conditional_update_with_an_id(client, value):
    chosen = f"c-{value}"
    url = f"Patient?{condition(value)}"
    assert client.put(url, patient(value, id=chosen)).status_code == 201
    assert found(client, value) == [chosen]
    assert client.put(url, patient(value, id="another")).status_code == 400
    assert client.put(url, patient(value, id=chosen), headers={"If-Match": 'W/"9"'}).status_code == 412


def test_a_conditional_patch(client, value):
    url, patch = f"Patient?{condition(value)}", b'[{"op":"add","path":"/active","value":true}]'
    headers = {"Content-Type": "application/json-patch+json"}
    assert client.patch(url, patch, headers=headers).status_code == 404
    client.post("Patient", patient(value))
    answer = client.patch(url, patch, headers=headers)
    assert (answer.status_code, answer.json()["active"]) == (200, True)


def test_a_conditional_delete(client, value):
    url = f"Patient?{condition(value)}"
    assert client.delete(url).status_code == 204
    client.post("Patient", patient(value))
    assert client.delete(url).status_code == 204
    assert found(client, value) == []


@pytest.mark.parametrize("prefix", ["?", "Patient?"])
def test_a_condition_written_as_a_url_is_read(client, value, prefix):
    made = client.post("Patient", patient(value)).json()
    again = client.post("Patient", patient(value), headers={"If-None-Exist": prefix + condition(value)})
    assert (again.status_code, again.json()["id"]) == (200, made["id"])


@pytest.mark.parametrize("query", ["", "?", "?_count=1", "?identifier="])
def test_a_condition_that_says_nothing_is_refused(client, query):
    assert client.delete(f"Patient{query}").status_code == 400
    assert client.put(f"Patient{query}", {"resourceType": "Patient"}).status_code == 400


def test_an_unknown_parameter_in_a_condition_is_refused(client, value):
    headers = {"If-None-Exist": f"nonsense={value}", "Prefer": "handling=lenient"}
    assert client.post("Patient", patient(value), headers=headers).status_code == 400
    assert client.delete(f"Patient?{condition(value)}&nonsense=x").status_code == 400
