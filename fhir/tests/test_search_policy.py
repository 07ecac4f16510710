"""A patient finds what is about them and nothing else: in matches, totals, sorting, chains, includes and refusals."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest


@pytest.fixture
def cast(api: Any) -> Any:
    """Ana, who asks, and Carlos, whose marker must never show; an appointment that both take part in."""
    client = api(role="administrator")
    marker = f"zz{uuid4().hex[:10]}"

    def make(kind: str, **elements: Any) -> str:
        answer = client.post(kind, {"resourceType": kind, **elements})
        assert answer.status_code == 201, answer.content
        return str(answer.json()["id"])

    ana, carlos = make("Patient", gender="female"), make("Patient", gender="male", name=[{"family": marker}])
    code = {"coding": [{"system": "http://loinc.org", "code": "8310-5"}]}
    observations = {
        name: make("Observation", status="final", code=code, valueString=text, subject={"reference": f"Patient/{who}"})
        for name, who, text in (("ana", ana, "own"), ("carlos", carlos, marker))
    }
    participants = [{"actor": {"reference": f"Patient/{who}"}, "status": "accepted"} for who in (carlos, ana)]
    shared = make(
        "Appointment",
        status="booked",
        participant=participants,
        start="2030-01-01T10:00:00Z",
        end="2030-01-01T11:00:00Z",
    )
    make("Appointment", status="booked", participant=participants[:1], description=marker,
         start="2030-01-01T10:00:00Z", end="2030-01-01T11:00:00Z")  # fmt: skip
    patient = api(role="patient", fhir_user=f"Patient/{ana}")
    return patient, ana, carlos, observations, shared, marker


def ids(answer: Any) -> set[str]:
    assert answer.status_code == 200, answer.content
    return {entry["resource"]["id"] for entry in answer.json().get("entry", ())}


def test_only_the_own_resources_are_found(cast: Any) -> None:
    patient, ana, _carlos, observations, shared, _marker = cast
    assert ids(patient.get("Patient")) == {ana}
    assert ids(patient.get("Observation")) == {observations["ana"]}
    assert ids(patient.get("Observation?code=8310-5")) == {observations["ana"]}
    assert ids(patient.get("Appointment")) == {shared}
    assert ids(patient.get("")) == {ana, observations["ana"], shared}


@pytest.mark.parametrize(
    "query",
    [
        "Patient?_id={carlos}",
        "Patient?family={marker}",
        "Patient?name:contains={marker}",
        "Patient?gender=male",
        "Patient?gender:not=female",
        "Patient?_sort=family&gender=male",
        "Observation?patient={carlos}",
        "Observation?subject=Patient/{carlos}",
        "Observation?_id={o_carlos}",
        "Observation?value-string={marker}",
        "Observation?patient.family={marker}",
        "Observation?subject:Patient.name={marker}",
        "Patient?_has:Observation:patient:value-string={marker}",
        "Appointment?actor:Patient.family={marker}",
        "Patient/{carlos}/Observation",
        "Patient/{carlos}/*",
        "Appointment?patient={carlos}&description:missing=false",
    ],
)
def test_nothing_of_another_patient_shows(cast: Any, query: str) -> None:
    patient, _ana, carlos, observations, shared, marker = cast
    path = query.format(carlos=carlos, marker=marker, o_carlos=observations["carlos"])
    for suffix in ("", "_total=accurate&_count=1", "_summary=count"):
        answer = patient.get(path + ("&" if "?" in path else "?") + suffix if suffix else path)
        if answer.status_code != 200:
            assert answer.status_code in (400, 403, 404)
            continue
        bundle = answer.json()
        # The appointment of both is Ana's too; of Carlos alone there is nothing.
        allowed = {shared} if path.startswith(("Appointment", f"Patient/{carlos}/*")) else set()
        assert {entry["resource"]["id"] for entry in bundle.get("entry", ())} <= allowed
        assert bundle.get("total", 0) <= len(allowed)
        del bundle["link"]
        assert marker not in json.dumps(bundle)


def test_includes_keep_to_the_own_resources(cast: Any) -> None:
    patient, ana, _carlos, observations, shared, marker = cast
    answer = patient.get("Appointment?_include=Appointment:patient")
    assert ids(answer) == {shared, ana}
    answer = patient.get("Patient?_revinclude=Observation:patient&_revinclude=Appointment:actor&_include:iterate=*")
    assert ids(answer) == {ana, observations["ana"], shared}
    assert marker not in answer.content.decode()


def test_types_outside_the_role_are_refused_in_every_place(cast: Any) -> None:
    patient = cast[0]
    for path in ("Practitioner", "AuditEvent", "Patient?_has:AuditEvent:patient:type=x", "?_type=Practitioner"):
        assert patient.get(path).status_code == 403, path
    assert patient.get("Observation?performer:Practitioner.name=x").status_code == 403


def test_an_auditor_searches_audit_events_only(api: Any) -> None:
    auditor = api(role="auditor")
    assert auditor.get("Patient").status_code == 403
    assert auditor.get("Provenance?target:Patient.name=x").status_code == 403
    assert auditor.get("AuditEvent").status_code == 200
