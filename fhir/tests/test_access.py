"""Who gets what over HTTP, for the four roles: reads, searches, histories, bundles and writes alike."""

from __future__ import annotations

from uuid import uuid4

import pytest

MARKER = "XMARKERX"
PATIENT = {"resourceType": "Patient", "name": [{"family": "Rojas"}]}


def observation(patient_id, **elements):
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": MARKER},
        "subject": {"reference": f"Patient/{patient_id}"},
        **elements,
    }


@pytest.fixture
def cast(api):
    """Ana and Carlos with one observation each; who asks as whom."""
    admin = api(role="administrator")
    ana, carlos = (admin.post("Patient", {**PATIENT, "gender": g}).json() for g in ("female", "male"))
    hers = admin.post("Observation", observation(ana["id"], code={"text": "hers"})).json()
    his = admin.post("Observation", observation(carlos["id"])).json()
    return {
        "admin": admin,
        "doctor": api(role="practitioner"),
        "ana": api(role="patient", fhir_user=f"Patient/{ana['id']}"),
        "auditor": api(role="auditor"),
        "Ana": ana,
        "Carlos": carlos,
        "hers": hers,
        "his": his,
    }


def test_a_patient_reads_the_own_chart_and_no_other(cast):
    ana = cast["ana"]
    assert ana.get(f"Patient/{cast['Ana']['id']}").status_code == 200
    assert ana.get(f"Observation/{cast['hers']['id']}").status_code == 200
    for url in (
        f"Patient/{cast['Carlos']['id']}",
        f"Observation/{cast['his']['id']}",
        f"Observation/{cast['his']['id']}/_history",
        f"Observation/{cast['his']['id']}/_history/1",
        f"Patient/{uuid4()}",
    ):
        answer = ana.get(url)
        assert answer.status_code == 404, url
        assert answer.json()["issue"][0]["details"]["text"], "the same answer as for what does not exist"


@pytest.mark.parametrize(
    "url",
    [
        "Observation",
        "Observation?_total=accurate",
        "Observation?subject=Patient/{carlos}",
        "Observation?patient={carlos}&_sort=-date",
        "Observation?_id={his}",
        "Observation?code:text=" + MARKER,
        "Observation/_history",
        "_history",
        "Patient?gender=male",
        "Patient?_id={carlos}",
    ],
)
def test_nothing_of_another_patient_is_in_any_answer(cast, url):
    url = url.format(carlos=cast["Carlos"]["id"], his=cast["his"]["id"])
    answer = cast["ana"].get(url + ("&" if "?" in url else "?") + "_count=500")
    assert answer.status_code == 200, answer.content
    for bundle_entry in answer.json().get("entry", []):
        text = str(bundle_entry)
        assert MARKER not in text
        assert cast["Carlos"]["id"] not in text
    if "_total" in url:
        assert answer.json()["total"] == 1


def test_a_patient_who_shares_a_record_sees_it(cast):
    both = observation(cast["Carlos"]["id"], performer=[{"reference": f"Patient/{cast['Ana']['id']}"}])
    made = cast["admin"].post("Observation", both).json()
    assert cast["ana"].get(f"Observation/{made['id']}").status_code == 200
    ids = [e["resource"]["id"] for e in cast["ana"].get("Observation?_count=100").json()["entry"]]
    assert sorted(ids) == sorted([made["id"], cast["hers"]["id"]])


def test_a_patient_writes_nothing(cast):
    ana, hers = cast["ana"], cast["hers"]
    url = f"Observation/{hers['id']}"
    patch = b'[{"op":"add","path":"/language","value":"es"}]'
    assert ana.post("Observation", observation(cast["Ana"]["id"])).status_code == 403
    assert ana.put(url, hers).status_code == 403
    assert ana.patch(url, patch, headers={"Content-Type": "application/json-patch+json"}).status_code == 403
    assert ana.delete(url).status_code == 403
    assert ana.delete(f"Observation?_id={hers['id']}").status_code == 403
    for kind in ("batch", "transaction"):
        bundle = {"resourceType": "Bundle", "type": kind, "entry": [{"request": {"method": "DELETE", "url": url}}]}
        answer = ana.post("", bundle)
        status = answer.json()["entry"][0]["response"]["status"] if kind == "batch" else str(answer.status_code)
        assert status.startswith("403")
    assert cast["admin"].get(url).json() == hers


def test_bundles_open_no_door(cast):
    reads = [
        {"request": {"method": "GET", "url": url}}
        for url in (
            f"Observation/{cast['his']['id']}",
            "Observation?_count=100",
            f"Patient/{cast['Carlos']['id']}/_history",
        )
    ]
    answer = cast["ana"].post("", {"resourceType": "Bundle", "type": "batch", "entry": reads})
    assert [e["response"]["status"][:3] for e in answer.json()["entry"]] == ["404", "200", "404"]
    assert MARKER not in answer.content.decode()
    answer = cast["auditor"].post("", {"resourceType": "Bundle", "type": "batch", "entry": reads})
    assert [e["response"]["status"][:3] for e in answer.json()["entry"]] == ["403"] * 3


@pytest.mark.parametrize(
    "url", ["Patient", "Observation", "Patient/{ana}", "Observation/{hers}", "Observation/_history"]
)
def test_an_auditor_sees_no_chart(cast, url):
    assert cast["auditor"].get(url.format(ana=cast["Ana"]["id"], hers=cast["hers"]["id"])).status_code == 403


def test_an_auditor_reads_audit_events_and_the_system_history_of_these_only(cast):
    auditor = cast["auditor"]
    assert auditor.get("AuditEvent").status_code == 200
    assert auditor.get("Provenance").status_code == 200
    assert auditor.post("AuditEvent", {"resourceType": "AuditEvent"}).status_code == 403
    history = auditor.get("_history?_count=100")
    assert history.status_code == 200
    kinds = {e["fullUrl"].split("/fhir/R4/")[1].split("/")[0] for e in history.json().get("entry", [])}
    assert kinds <= {"AuditEvent", "Provenance"}


def test_a_practitioner_sees_all_charts_and_no_audit(cast):
    doctor = cast["doctor"]
    assert doctor.get(f"Observation/{cast['his']['id']}").status_code == 200
    assert doctor.get(f"Observation/{cast['hers']['id']}").status_code == 200
    assert doctor.get("AuditEvent").status_code == 403
    assert doctor.post("Observation", observation(cast["Ana"]["id"])).status_code == 201


def test_every_access_leaves_a_row(cast):
    from audit.models import AuditRecord

    admin, hers = cast["admin"], cast["hers"]
    url = f"Observation/{hers['id']}"
    admin.get(url)
    admin.put(url, hers)
    admin.get(f"{url}/_history")
    admin.get(f"{url}/_history/1")
    admin.get("Observation?code=marker-of-this-search")
    admin.get("Observation/never-there")
    admin.delete(url)
    rows = AuditRecord.objects.filter(username=admin.user.username)
    # Several of them may be of one millisecond.
    of_it = sorted(row.interaction for row in rows.filter(resource_id=hers["id"]))
    assert of_it == [1, 2, 3, 5, 6, 9]
    assert rows.filter(query__contains="marker-of-this-search").count() == 1
    assert rows.get(resource_id="never-there").status == 404
