"""Demo charts make clinical sense: what is written in one place fits what is written in the others."""

from __future__ import annotations

import base64
from datetime import datetime
from decimal import Decimal
from statistics import mean

import pytest

from fhir.charts import chart

SEED = 3
CHARTS = 150


@pytest.fixture(scope="module")
def charts():
    return [chart(SEED, index) for index in range(CHARTS)]


def of(resources, name):
    return [resource for resource in resources if resource["resourceType"] == name]


def codes(resource, element="code"):
    return {coding["code"] for coding in resource[element].get("coding", [])}


def problems(resources):
    return {code for condition in of(resources, "Condition") if real(condition) for code in codes(condition)}


def real(condition):
    return condition["verificationStatus"]["coding"][0]["code"] in ("confirmed", "provisional")


def measures(resources, loinc):
    return [o for o in of(resources, "Observation") if loinc in codes(o) and o["status"] != "entered-in-error"]


def drugs(resources):
    return {
        code
        for request in of(resources, "MedicationRequest")
        if "medicationCodeableConcept" in request
        for code in codes(request, "medicationCodeableConcept")
    }


def pressures(resources):
    return [o["component"][0]["valueQuantity"]["value"] for o in measures(resources, "85354-9")]


def test_the_body_mass_index_is_computed_from_weight_and_height(charts):
    checked = 0
    for resources in charts:
        by_visit = {}
        for name, loinc in (("weight", "29463-7"), ("height", "8302-2"), ("bmi", "39156-5")):
            for found in measures(resources, loinc):
                by_visit.setdefault(found["encounter"]["reference"], {})[name] = found["valueQuantity"]["value"]
        for values in by_visit.values():
            if "bmi" in values:
                metres = values["height"] / 100
                assert abs(values["weight"] / (metres * metres) - values["bmi"]) <= Decimal("0.06")
                checked += 1
    assert checked > 100


def test_ldl_cholesterol_is_computed_from_the_rest_of_the_panel(charts):
    for resources in charts:
        panels = {}
        for loinc in ("2093-3", "2085-9", "2571-8", "13457-7"):
            for found in measures(resources, loinc):
                key = found["specimen"]["reference"]
                panels.setdefault(key, {})[loinc] = found["valueQuantity"]["value"]
        for values in panels.values():
            expected = values["2093-3"] - values["2085-9"] - values["2571-8"] / 5
            assert abs(expected - values["13457-7"]) <= 1


def test_hypertension_raises_pressure_and_is_treated(charts):
    ill = [r for r in charts if "59621000" in problems(r)]
    well = [r for r in charts if "59621000" not in problems(r) and int(r[0]["birthDate"][:4]) < 1990]
    assert len(ill) > 10
    assert mean(p for r in ill for p in pressures(r)) > mean(p for r in well for p in pressures(r)) + 5
    assert all(drugs(r) & {"C09CA01", "C09AA02", "C08CA01"} for r in ill)


def test_diabetes_raises_hba1c_and_is_treated(charts):
    ill = [r for r in charts if "44054006" in problems(r)]
    values = [o["valueQuantity"]["value"] for r in ill for o in measures(r, "4548-4")]
    others = [o["valueQuantity"]["value"] for r in charts if r not in ill for o in measures(r, "4548-4")]
    assert len(values) > 10
    assert mean(values) > mean(others) + 1
    assert all("A10BA02" in drugs(r) for r in ill)


def test_interpretations_follow_the_reference_ranges(charts):
    for resources in charts:
        for found in of(resources, "Observation"):
            if "referenceRange" not in found:
                continue
            value, limits = found["valueQuantity"]["value"], found["referenceRange"][0]
            code = found["interpretation"][0]["coding"][0]["code"]
            low, high = (limits.get(side, {}).get("value") for side in ("low", "high"))
            below, above = low is not None and value < low, high is not None and value > high
            assert (code in ("L", "LL"), code in ("H", "HH")) == (below, above), found


def test_nobody_gets_a_penicillin_who_is_allergic_to_it(charts):
    allergic = [
        resources
        for resources in charts
        for allergy in of(resources, "AllergyIntolerance")
        if "764146007" in codes(allergy) and "clinicalStatus" in allergy
    ]
    assert allergic
    assert not any(drugs(resources) & {"J01CA04", "J01CR01"} for resources in allergic)


def test_sex_and_age_fit(charts):
    for resources in charts:
        patient, found = resources[0], problems(resources)
        if patient["gender"] == "male":
            assert "72892002" not in found
        else:
            assert "266569009" not in found
        if int(patient["birthDate"][:4]) > 2010:
            assert not found & {"59621000", "44054006", "13645005", "239873007"}


def test_nothing_happens_after_death_or_before_birth(charts):
    dead = 0
    for resources in charts:
        patient = resources[0]
        died = patient.get("deceasedDateTime")
        dead += died is not None
        for found in resources[1:]:
            moment = found.get("effectiveDateTime") or found.get("authoredOn") or found.get("recordedDate")
            if moment:
                assert moment[:10] >= patient["birthDate"]
                assert not died or moment[:10] <= died[:10]
        assert not died or not any(m["status"] == "active" for m in of(resources, "MedicationRequest"))
    assert dead


def test_children_have_a_mother_and_their_vaccines(charts):
    children = [r for r in charts if int(r[0]["birthDate"][:4]) >= 2023]
    assert children
    for resources in children:
        roles = {code for person in of(resources, "RelatedPerson") for code in codes(person | {"code": role(person)})}
        assert "MTH" in roles
        assert any("19" in codes(vaccine, "vaccineCode") for vaccine in of(resources, "Immunization"))


def role(person):
    return person["relationship"][0]


def test_a_note_tells_what_was_measured(charts):
    told = 0
    for resources in charts:
        by_visit = {o["encounter"]["reference"]: o for o in measures(resources, "85354-9")}
        for note in of(resources, "DocumentReference"):
            attachment = note["content"][0]["attachment"]
            text = base64.b64decode(attachment["data"])
            assert len(text) == attachment["size"]
            pressure = by_visit.get(note["context"]["encounter"][0]["reference"])
            if pressure is not None:
                values = "/".join(str(part["valueQuantity"]["value"]) for part in pressure["component"])
                assert f"presión arterial {values} mmHg" in text.decode()
                told += 1
    assert told > 100


def test_reports_hold_their_results(charts):
    for resources in charts:
        known = {f"Observation/{o['id']}": o for o in of(resources, "Observation")}
        for report in of(resources, "DiagnosticReport"):
            for result in report.get("result", []):
                assert known[result["reference"]]["encounter"] == report["encounter"]


def test_onset_comes_before_abatement(charts):
    for resources in charts:
        for condition in of(resources, "Condition"):
            onset, abatement = condition.get("onsetDateTime"), condition.get("abatementDateTime")
            if onset and abatement:
                shared = min(len(onset), len(abatement), 10)
                assert onset[:shared] <= abatement[:shared]
            assert not abatement or condition["clinicalStatus"]["coding"][0]["code"] in ("resolved", "remission")


def test_statuses_are_not_all_alike(charts):
    everything = [resource for resources in charts for resource in resources]
    statuses = {(r["resourceType"], r["status"]) for r in everything if isinstance(r.get("status"), str)}
    assert {
        ("Observation", "entered-in-error"), ("Observation", "corrected"), ("MedicationRequest", "stopped"),
        ("MedicationRequest", "completed"), ("MedicationRequest", "active"), ("Immunization", "not-done"),
        ("Encounter", "cancelled"), ("Encounter", "finished"),
    } <= statuses  # fmt: skip
    verified = {c["verificationStatus"]["coding"][0]["code"] for c in everything if c["resourceType"] == "Condition"}
    assert {"confirmed", "provisional", "entered-in-error"} <= verified


def test_visits_take_time(charts):
    for resources in charts:
        for visit in of(resources, "Encounter"):
            if "end" in visit["period"]:
                start, end = (datetime.fromisoformat(visit["period"][name]) for name in ("start", "end"))
                assert start < end
