"""$meta, $meta-add, $meta-delete: https://hl7.org/fhir/R4/resource-operation-meta.html and the two beside it.

Proved here: labels are sets known by system and code, a change is a version that searches find, no change is none, two
changes at once are both kept, and each role sees its own labels only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from clinical_records.testing import ApiClient

Api = Callable[..., ApiClient]
PROFILE = "http://hl7.org/fhir/StructureDefinition/vitalsigns"


def parameters(meta: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": meta}]}


def meta_of(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert (body["resourceType"], body["parameter"][0]["name"]) == ("Parameters", "return")
    found: dict[str, Any] = body["parameter"][0]["valueMeta"]
    return found


@pytest.fixture
def client(api: Api) -> ApiClient:
    return api()


@pytest.fixture
def system() -> str:
    return f"urn:test:{uuid4()}"


@pytest.fixture
def patient(client: ApiClient, system: str) -> str:
    answer = client.post("Patient", {"resourceType": "Patient", "meta": {"tag": [{"system": system, "code": "a"}]}})
    return f"Patient/{answer.json()['id']}"


def test_the_meta_of_a_resource_and_of_its_versions(client: ApiClient, patient: str) -> None:
    stored = client.get(patient).json()["meta"]
    answer = client.get(f"{patient}/$meta")
    assert meta_of(answer) == stored
    assert answer.headers["ETag"] == 'W/"1"'
    changed = {"resourceType": "Patient", "id": patient.removeprefix("Patient/"), "gender": "female"}
    assert client.put(patient, changed).status_code == 200
    assert meta_of(client.get(f"{patient}/_history/1/$meta")) == stored
    assert "tag" not in meta_of(client.get(f"{patient}/$meta"))
    assert client.get(f"{patient}/_history/9/$meta").status_code == 404
    assert client.get(f"Patient/{uuid4()}/$meta").status_code == 404


def test_what_is_added_is_found(client: ApiClient, patient: str, system: str) -> None:
    given = {
        "profile": [PROFILE],
        "security": [{"system": system, "code": "R", "display": "restricted"}],
        "tag": [
            {"system": system, "code": "a", "display": "another name", "version": "2"},
            {"system": system, "code": "b"},
        ],
    }
    meta = meta_of(client.post(f"{patient}/$meta-add", parameters(given)))
    assert meta["tag"] == [{"system": system, "code": "a"}, {"system": system, "code": "b"}]
    assert (meta["security"], meta["profile"]) == (given["security"], given["profile"])
    assert client.get(patient).json()["meta"] == meta
    for query in (
        f"_tag={system}|b",
        f"_security={system}|R",
        f"_profile={PROFILE}&_tag={system}|a",
        f"_tag={system}|a",
    ):
        found = client.get(f"Patient?{query}").json()["entry"]
        assert [entry["resource"]["id"] for entry in found] == [patient.removeprefix("Patient/")], query


def test_what_is_deleted_is_not_found(client: ApiClient, patient: str, system: str) -> None:
    added = {"tag": [{"system": system, "code": "b"}], "security": [{"system": system, "code": "R"}]}
    client.post(f"{patient}/$meta-add", parameters(added))
    given = {
        "profile": [PROFILE],
        "security": [{"system": system, "code": "R", "display": "whatever"}],
        "tag": [{"system": system, "code": "a"}, {"system": "urn:other", "code": "b"}, {"code": "b"}],
    }
    meta = meta_of(client.post(f"{patient}/$meta-delete", parameters(given)))
    assert meta["tag"] == [{"system": system, "code": "b"}]
    assert "security" not in meta
    assert "entry" not in client.get(f"Patient?_tag={system}|a").json()
    assert "entry" not in client.get(f"Patient?_security={system}|R").json()
    assert len(client.get(f"Patient?_tag={system}|b").json()["entry"]) == 1
    meta = meta_of(client.post(f"{patient}/$meta-delete", parameters({"tag": [{"system": system, "code": "b"}]})))
    assert set(meta) == {"versionId", "lastUpdated"}


def test_a_change_is_a_version_and_no_change_is_none(client: ApiClient, patient: str, system: str) -> None:
    tag = parameters({"tag": [{"system": system, "code": "b"}]})
    answer = client.post(f"{patient}/$meta-add", tag)
    assert (answer.headers["ETag"], meta_of(answer)["versionId"]) == ('W/"2"', "2")
    for path, body in (("$meta-add", tag), ("$meta-delete", parameters({"tag": [{"system": system, "code": "zz"}]}))):
        answer = client.post(f"{patient}/{path}", body)
        assert (answer.headers["ETag"], meta_of(answer)["versionId"]) == ('W/"2"', "2")
    history = client.get(f"{patient}/_history").json()["entry"]
    assert [len(entry["resource"]["meta"]["tag"]) for entry in history] == [2, 1]


def test_nothing_else_changes(client: ApiClient, system: str) -> None:
    body = (
        b'{"resourceType":"Observation","status":"final","code":{"text":"t"},"meta":{"source":"urn:s",'
        b'"extension":[{"url":"urn:e","valueString":"x"}]},"valueQuantity":{"value":1.50}}'
    )
    made = client.post("Observation", body).json()["id"]
    client.post(f"Observation/{made}/$meta-add", parameters({"tag": [{"system": system, "code": "b"}]}))
    answer = client.get(f"Observation/{made}")
    assert b'"value":1.50' in answer.content
    meta = answer.json()["meta"]
    assert (meta["source"], meta["extension"]) == ("urn:s", [{"url": "urn:e", "valueString": "x"}])


def test_if_match(client: ApiClient, patient: str, system: str) -> None:
    tag = parameters({"tag": [{"system": system, "code": "b"}]})
    stale, right = ({"If-Match": f'W/"{version}"'} for version in (7, 1))
    assert client.post(f"{patient}/$meta-add", tag, headers=stale).status_code == 412
    assert client.post(f"{patient}/$meta-delete", tag, headers=stale).status_code == 412
    assert client.post(f"{patient}/$meta-add", tag, headers=right).status_code == 200
    assert client.post(f"{patient}/$meta-add", tag, headers=right).status_code == 412


def test_versions_that_are_past_stay_as_they_were(client: ApiClient, patient: str, system: str) -> None:
    tag = parameters({"tag": [{"system": system, "code": "b"}]})
    assert meta_of(client.post(f"{patient}/_history/1/$meta-add", tag))["versionId"] == "2"
    before = client.get(f"{patient}/_history/1").content
    assert client.post(f"{patient}/_history/1/$meta-add", tag).status_code == 409
    assert client.post(f"{patient}/_history/9/$meta-add", tag).status_code == 404
    assert client.post(f"{patient}/_history/x/$meta-add", tag).status_code == 404
    assert client.get(f"{patient}/_history/1").content == before


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (None, 400),
        ({"resourceType": "Parameters"}, 400),
        ({"resourceType": "Patient"}, 400),
        ({"resourceType": "Parameters", "parameter": [{"name": "meta", "valueString": "x"}]}, 400),
        ({"resourceType": "Parameters", "parameter": [{"name": "other", "valueMeta": {"tag": [{"code": "x"}]}}]}, 400),
        ({"resourceType": "Parameters", "parameter": ["meta"]}, 422),
        (parameters({"tag": [{"code": 5}]}), 422),
        (parameters({"profile": ["no url at all"]}), 422),
        (parameters({"tag": []}), 422),
        (parameters({"tags": [{"code": "x"}]}), 422),
    ],
)
def test_what_is_no_meta(client: ApiClient, patient: str, body: Any, status: int) -> None:
    for name in ("$meta-add", "$meta-delete"):
        answer = client.post(f"{patient}/{name}", body)
        assert answer.status_code == status, answer.content
    assert client.get(patient).json()["meta"]["versionId"] == "1"


def test_unknown_and_deleted(client: ApiClient, patient: str, system: str) -> None:
    tag = parameters({"tag": [{"system": system, "code": "b"}]})
    assert client.post(f"Patient/{uuid4()}/$meta-add", tag).status_code == 404
    client.delete(patient)
    assert client.post(f"{patient}/$meta-add", tag).status_code == 410
    assert client.get(f"{patient}/$meta").status_code == 410
    assert client.post("Patient/$meta-add", tag).status_code == 404
    assert client.post("$meta-add", tag).status_code == 404


def test_changes_at_once_are_all_kept(client: ApiClient, patient: str, system: str) -> None:
    def add(number: int) -> int:
        try:
            own = ApiClient(client.access_token)
            status = own.post(f"{patient}/$meta-add", parameters({"tag": [{"system": system, "code": f"n{number}"}]}))
            return int(status.status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(add, range(12))) == {200}
    meta = client.get(patient).json()["meta"]
    assert {tag["code"] for tag in meta["tag"]} == {"a", *(f"n{number}" for number in range(12))}
    assert meta["versionId"] == "13"


def test_inside_bundles(client: ApiClient, patient: str, system: str) -> None:
    tag = parameters({"tag": [{"system": system, "code": "b"}]})
    listed = [
        {"resource": tag, "request": {"method": "POST", "url": f"{patient}/$meta-add", "ifMatch": version}}
        for version in ('W/"7"', 'W/"1"')
    ]
    answer = client.post("", {"resourceType": "Bundle", "type": "batch", "entry": listed}).json()
    assert [entry["response"]["status"][:3] for entry in answer["entry"]] == ["412", "200"]
    assert answer["entry"][1]["resource"]["parameter"][0]["valueMeta"]["versionId"] == "2"


# --- who may do what


def test_roles(api: Api, client: ApiClient, patient: str, system: str) -> None:
    tag = parameters({"tag": [{"system": system, "code": "b"}]})
    own = api(role="patient", fhir_user=patient)
    other = api(role="patient", fhir_user=f"Patient/{uuid4()}")
    assert meta_of(own.get(f"{patient}/$meta"))["tag"] == [{"system": system, "code": "a"}]
    assert other.get(f"{patient}/$meta").status_code == 404
    assert api(role="auditor").get(f"{patient}/$meta").status_code == 403
    for name in ("$meta-add", "$meta-delete"):
        assert own.post(f"{patient}/{name}", tag).status_code == 403
        assert api(role="auditor").post(f"{patient}/{name}", tag).status_code == 403
        assert ApiClient().post(f"{patient}/{name}", tag).status_code == 401
    assert api(role="practitioner").post(f"{patient}/$meta-add", tag).status_code == 200


def test_labels_in_use(api: Api, client: ApiClient, patient: str, system: str) -> None:
    other = {"system": system, "code": "other", "display": "of another patient"}
    client.post("Patient", {"resourceType": "Patient", "meta": {"security": [other], "profile": [PROFILE]}})
    practitioner = {"system": system, "code": "p"}
    client.post("Practitioner", {"resourceType": "Practitioner", "meta": {"tag": [practitioner]}})
    a = {"system": system, "code": "a"}

    def labels(who: ApiClient, path: str) -> list[dict[str, Any]]:
        meta = meta_of(who.get(path))
        assert not set(meta) & {"versionId", "lastUpdated", "source"}
        return [each for kind in ("security", "tag") for each in meta.get(kind, ()) if each.get("system") == system]

    assert labels(client, "Patient/$meta") == [other, a]
    assert labels(client, "$meta") == [other, a, practitioner]
    assert PROFILE in meta_of(client.get("Patient/$meta"))["profile"]
    own = api(role="patient", fhir_user=patient)
    assert meta_of(own.get("Patient/$meta")) == {"tag": [a]}
    assert meta_of(own.get("$meta")) == {"tag": [a]}
    assert own.get("Practitioner/$meta").status_code == 403
    nobody = api(role="patient", fhir_user=f"Patient/{uuid4()}").get("$meta")
    assert (nobody.status_code, nobody.json()) == (200, {"resourceType": "Parameters"})
    client.delete(patient)
    assert labels(client, "Patient/$meta") == [other]


def test_every_call_leaves_a_row(client: ApiClient, patient: str, system: str) -> None:
    from audit.models import AuditRecord

    tag = parameters({"tag": [{"system": system, "code": "b"}]})
    client.post(f"{patient}/$meta-add", tag)
    client.post(f"{patient}/$meta-add", tag)
    client.post(f"{patient}/$meta-delete", tag)
    client.get("Patient/$meta")
    rows = AuditRecord.objects.filter(username=client.user.username, interaction=15)
    # Several of them may be of one millisecond.
    assert Counter((row.query, row.version) for row in rows) == {
        (f"{patient}/$meta-add", 2): 2,
        (f"{patient}/$meta-delete", 3): 1,
        ("Patient/$meta", None): 1,
    }
