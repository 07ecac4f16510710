"""PATCH [base]/[type]/[id] (https://hl7.org/fhir/R4/http.html#patch), through HTTP."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from clinical_records.testing import ApiClient

JSON_PATCH = {"Content-Type": "application/json-patch+json"}


@pytest.fixture
def client(api: Callable[..., ApiClient]) -> ApiClient:
    return api()


@pytest.fixture
def patient(client: ApiClient) -> dict[str, Any]:
    answer = client.post("Patient", {"resourceType": "Patient", "active": True, "name": [{"family": "Ruiz"}]})
    assert answer.status_code == 201
    created: dict[str, Any] = answer.resource()
    return created


def parameters(kind: str, path: str, **value: Any) -> dict[str, Any]:
    part = [{"name": "type", "valueCode": kind}, {"name": "path", "valueString": path}]
    part += [{"name": "value", **value}] if value else []
    return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": part}]}


def json_patch(client: ApiClient, path: str, *operations: dict[str, Any], **headers: str) -> Any:
    return client.send("PATCH", path, list(operations), headers={**JSON_PATCH, **headers})


def unchanged(client: ApiClient, resource: dict[str, Any]) -> bool:
    return bool(client.get(f"{resource['resourceType']}/{resource['id']}").resource() == resource)


def test_json_patch_makes_the_next_version(client: ApiClient, patient: dict[str, Any]) -> None:
    answer = json_patch(client, f"Patient/{patient['id']}", {"op": "replace", "path": "/active", "value": False})
    assert (answer.status_code, answer.headers["ETag"]) == (200, 'W/"2"')
    assert answer.resource()["active"] is False
    assert client.get(f"Patient/{patient['id']}").resource() == answer.resource()
    assert client.get(f"Patient/{patient['id']}/_history/1").resource() == patient


def test_fhirpath_patch_makes_the_next_version(client: ApiClient, patient: dict[str, Any]) -> None:
    answer = client.patch(
        f"Patient/{patient['id']}", parameters("replace", "Patient.name[0].family", valueString="Sanz")
    )
    assert (answer.status_code, answer.headers["ETag"]) == (200, 'W/"2"')
    assert answer.resource()["name"] == [{"family": "Sanz"}]


def test_a_patch_elsewhere_leaves_decimals_alone(client: ApiClient) -> None:
    body = b'{"resourceType":"Observation","status":"preliminary","code":{"text":"x"},"valueQuantity":{"value":1.00}}'
    location = f"Observation/{client.post('Observation', body).resource()['id']}"
    json_patch(client, location, {"op": "replace", "path": "/status", "value": "final"})
    client.patch(location, parameters("replace", "Observation.code.text", valueString="y"))
    assert b'"value":1.00' in client.get(location).content


@pytest.mark.parametrize(
    ("operation", "status"),
    [
        ({"op": "explode", "path": "/active"}, 400),
        ({"op": "replace", "path": "/gender", "value": "male"}, 422),
        ({"op": "test", "path": "/active", "value": False}, 422),
        ({"op": "replace", "path": "/active", "value": "perhaps"}, 422),
        ({"op": "add", "path": "/nonsense", "value": 1}, 422),
        ({"op": "replace", "path": "/resourceType", "value": "Person"}, 422),
    ],
)
def test_a_json_patch_that_cannot_be_done_changes_nothing(
    client: ApiClient, patient: dict[str, Any], operation: dict[str, Any], status: int
) -> None:
    first = {"op": "add", "path": "/birthDate", "value": "1990-01-01"}
    answer = json_patch(client, f"Patient/{patient['id']}", first, operation)
    assert answer.status_code == status
    assert answer.resource()["resourceType"] == "OperationOutcome"
    assert unchanged(client, patient)


@pytest.mark.parametrize(
    ("patch", "status", "place"),
    [
        (parameters("explode", "Patient.active"), 400, "Parameters.parameter[0]"),
        (parameters("delete", "Patient.name.where("), 400, "Parameters.parameter[0]"),
        (parameters("replace", "Patient.gender", valueCode="male"), 422, "Parameters.parameter[0]"),
        (parameters("replace", "Patient.active", valueString="perhaps"), 422, "Parameters.parameter[0]"),
        (parameters("delete", "Patient.id"), 422, "Patient.id"),
    ],
)
def test_a_fhirpath_patch_that_cannot_be_done_changes_nothing(
    client: ApiClient, patient: dict[str, Any], patch: dict[str, Any], status: int, place: str
) -> None:
    answer = client.patch(f"Patient/{patient['id']}", patch)
    assert answer.status_code == status
    assert answer.resource()["issue"][0]["expression"] == [place]
    assert unchanged(client, patient)


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("text/plain", b'[{"op":"remove","path":"/active"}]', 415),
        ("application/json-patch+json", b"", 400),
        ("application/json-patch+json", b"{", 400),
        ("application/fhir+json", b'{"resourceType":"Patient"}', 400),
    ],
)
def test_bodies_that_are_no_patch(
    client: ApiClient, patient: dict[str, Any], kind: str, body: bytes, status: int
) -> None:
    answer = client.send("PATCH", f"Patient/{patient['id']}", body, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert unchanged(client, patient)


def test_the_words_are_in_the_language_of_the_caller(client: ApiClient, patient: dict[str, Any]) -> None:
    operation = {"op": "test", "path": "/active", "value": False}
    texts = {}
    for language in ("es", "en"):
        headers = {"Accept-Language": language}
        answer = json_patch(client, f"Patient/{patient['id']}", operation, **headers)
        texts[language] = answer.resource()["issue"][0]["details"]["text"]
    assert "Operation 1" in texts["en"]
    assert texts["es"] != texts["en"]


def test_if_match_is_kept_to(client: ApiClient, patient: dict[str, Any]) -> None:
    location, operation = f"Patient/{patient['id']}", {"op": "replace", "path": "/active", "value": False}
    assert json_patch(client, location, operation, **{"If-Match": 'W/"1"'}).status_code == 200
    assert json_patch(client, location, operation, **{"If-Match": 'W/"1"'}).status_code == 412


def test_what_is_not_there_or_deleted(client: ApiClient, patient: dict[str, Any]) -> None:
    operation = {"op": "replace", "path": "/active", "value": False}
    assert json_patch(client, f"Patient/{uuid4()}", operation).status_code == 404
    client.delete(f"Patient/{patient['id']}")
    assert json_patch(client, f"Patient/{patient['id']}", operation).status_code == 410


def test_a_patch_in_a_transaction(client: ApiClient, patient: dict[str, Any]) -> None:
    data = base64.b64encode(b'[{"op":"replace","path":"/active","value":false}]').decode()
    resource = {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": data}
    request = {"method": "PATCH", "url": f"Patient/{patient['id']}"}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [{"resource": resource, "request": request}]}
    answer = client.post("", bundle)
    assert answer.status_code == 200
    assert client.get(f"Patient/{patient['id']}").resource()["active"] is False
