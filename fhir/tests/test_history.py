"""Histories over HTTP: https://hl7.org/fhir/R4/http.html#history."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from urllib.parse import quote

import pytest

from fhir import content

PATIENT = {"resourceType": "Patient", "name": [{"family": "Rojas"}]}


@pytest.fixture
def client(api):
    return api(role="administrator")


def moment():
    return quote(content.instant(datetime.now(UTC)))


def pages(client, url):
    while url is not None:
        bundle = client.get(url).json()
        yield bundle
        url = next((link["url"] for link in bundle.get("link", []) if link["relation"] == "next"), None)
        url = url and "/fhir/R4" + url.split("/fhir/R4", 1)[1]


def versions(client, url):
    return [e["response"]["etag"] for bundle in pages(client, url) for e in bundle.get("entry", [])]


@pytest.fixture
def patient(client):
    """A patient of three versions, the last one its deletion."""
    made = client.post("Patient", PATIENT).json()
    client.put(f"Patient/{made['id']}", {**made, "active": True})
    client.delete(f"Patient/{made['id']}")
    return made


def test_an_instance_shows_all_versions_newest_first(client, patient):
    bundle = client.get(f"Patient/{patient['id']}/_history").json()
    assert bundle["type"] == "history"
    assert bundle["total"] == 3
    assert [e["request"]["method"] for e in bundle["entry"]] == ["DELETE", "PUT", "POST"]
    assert [e["response"]["status"] for e in bundle["entry"]] == ["204 No Content", "200 OK", "201 Created"]
    assert "resource" not in bundle["entry"][0]
    assert bundle["entry"][2]["resource"] == patient
    assert bundle["entry"][0]["fullUrl"].endswith(f"/fhir/R4/Patient/{patient['id']}")


@pytest.mark.parametrize("count", [1, 2, 5])
def test_pages_lose_and_repeat_nothing(client, patient, count):
    assert versions(client, f"Patient/{patient['id']}/_history?_count={count}") == ['W/"3"', 'W/"2"', 'W/"1"']


def test_since_leaves_out_what_was_before(client):
    made = client.post("Patient", PATIENT).json()
    second = client.put(f"Patient/{made['id']}", {**made, "active": True}).json()
    since = quote(second["meta"]["lastUpdated"])
    assert versions(client, f"Patient/{made['id']}/_history?_since={since}") == ['W/"2"']


def test_at_shows_the_version_that_was_current_then(client):
    made = client.post("Patient", PATIENT).json()
    between = moment()
    time.sleep(0.002)  # versions are timed in milliseconds: the next one is not of this moment
    client.put(f"Patient/{made['id']}", {**made, "active": True})
    assert versions(client, f"Patient/{made['id']}/_history?_at={between}") == ['W/"1"']
    assert versions(client, f"Patient/{made['id']}/_history?_at={moment()}") == ['W/"2"']


def test_a_type_and_the_system_have_a_history(client):
    since = moment()
    made = client.post("Patient", PATIENT).json()
    group = client.post("Group", {"resourceType": "Group", "type": "person", "actual": True}).json()
    client.delete(f"Group/{group['id']}")

    def seen(url):
        return {
            e["fullUrl"].rsplit("/", 1)[1] for b in pages(client, f"{url}?_count=2&_since={since}") for e in b["entry"]
        }

    assert seen("Patient/_history") == {made["id"]}
    assert seen("Group/_history") == {group["id"]}
    assert seen("_history") == {made["id"], group["id"]}


@pytest.mark.parametrize("query", ["_count=x", "_since=yesterday", "_at=2020-13-01", "_cursor=forged", "name=x"])
def test_bad_parameters_are_refused(client, patient, query):
    answer = client.get(f"Patient/{patient['id']}/_history?{query}")
    assert answer.status_code == 400
    assert answer.json()["resourceType"] == "OperationOutcome"


def test_what_never_was_has_no_history(client):
    assert client.get("Patient/never-there/_history").status_code == 404


def test_a_past_version_is_judged_by_whom_it_was_about(api, client):
    ana, carlos = client.post("Patient", PATIENT).json(), client.post("Patient", PATIENT).json()
    wrong = {"resourceType": "Observation", "status": "final", "code": {"text": "marker"}}
    made = client.post("Observation", {**wrong, "subject": {"reference": f"Patient/{carlos['id']}"}}).json()
    client.put(f"Observation/{made['id']}", {**made, "subject": {"reference": f"Patient/{ana['id']}"}})
    mine = api(role="patient", fhir_user=f"Patient/{ana['id']}")
    assert versions(mine, f"Observation/{made['id']}/_history") == ['W/"2"']
    assert mine.get(f"Observation/{made['id']}/_history/1").status_code == 404
    theirs = api(role="patient", fhir_user=f"Patient/{carlos['id']}")
    assert theirs.get(f"Observation/{made['id']}").status_code == 404
    assert all(made["id"] not in str(b) or "_history" in str(b) for b in pages(theirs, "Observation/_history"))
