"""Demo charts: the same seed gives the same bytes, and what is written keeps the rules of R4."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from datetime import datetime

import pytest
from django.conf import settings

from fhir import compartment, ids, json
from fhir.charts import chart, facility
from fhir.validation import validate

SEED = 7
CHARTS = 40


@pytest.fixture(scope="module")
def charts():
    return [chart(SEED, index) for index in range(CHARTS)]


@pytest.fixture(scope="module")
def everything(charts):
    return [*facility(SEED), *(resource for resources in charts for resource in resources)]


def references(node):
    if isinstance(node, dict):
        if isinstance(node.get("reference"), str):
            yield node["reference"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_every_resource_is_valid(everything):
    # As a reader of the file gets it: decimals with their digits, nothing that JSON cannot say.
    issues = [(r["resourceType"], issue) for r in everything for issue in validate(json.loads(json.dumps(r)))]
    assert issues == []


def test_every_reference_resolves_inside_the_set(everything):
    known = {f"{resource['resourceType']}/{resource['id']}" for resource in everything}
    assert len(known) == len(everything)
    dangling = {name for resource in everything for name in references(resource) if not name.startswith("#")} - known
    assert dangling == set()


def test_a_chart_lies_in_the_bucket_of_its_patient(charts):
    for resources in charts:
        patient = resources[0]
        assert patient["resourceType"] == "Patient"
        bucket = ids.bucket_of(patient["id"])
        assert {ids.bucket_of(resource["id"]) for resource in resources} == {bucket}
        named = {tuple(compartment.patients(resource, "")) for resource in resources[1:]}
        assert named == {(patient["id"],)}


def test_charts_lie_in_many_buckets(charts):
    assert len({ids.bucket_of(resources[0]["id"]) for resources in charts}) == CHARTS


def test_a_chart_depends_on_its_seed_and_index_only():
    alone = [json.dumps(resource) for resource in chart(SEED, 11)]
    chart(SEED, 3)
    assert [json.dumps(resource) for resource in chart(SEED, 11)] == alone
    assert [json.dumps(resource) for resource in chart(SEED + 1, 11)] != alone
    assert [json.dumps(resource) for resource in chart(SEED, 12)] != alone


def test_another_process_writes_the_same_bytes():
    code = (
        "import hashlib; from fhir import json; from fhir.charts import chart, facility;"
        f"r = facility({SEED}) + chart({SEED}, 0) + chart({SEED}, 1);"
        "print(hashlib.sha256(b''.join(map(json.dumps, r))).hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, check=True
    )
    here = b"".join(map(json.dumps, facility(SEED) + chart(SEED, 0) + chart(SEED, 1)))
    assert found.stdout.strip() == hashlib.sha256(here).hexdigest()


def test_a_chart_has_the_size_of_a_real_one(charts):
    sizes = sorted(map(len, charts))
    assert 60 <= sizes[len(sizes) // 2] <= 150
    assert sizes[-1] < 350


def test_all_kinds_of_resources_come_up(everything):
    counts = Counter(resource["resourceType"] for resource in everything)
    names = (
        "Organization Location Practitioner PractitionerRole Patient RelatedPerson Coverage Encounter Observation "
        "Condition MedicationRequest AllergyIntolerance Immunization Procedure DiagnosticReport DocumentReference "
        "ServiceRequest Specimen CarePlan CareTeam Goal Appointment FamilyMemberHistory"
    )
    assert [name for name in names.split() if not counts[name]] == []


def test_decimals_keep_the_digits_of_the_laboratory(everything):
    hba1c = [
        json.dumps(resource["valueQuantity"]["value"]).decode()
        for resource in everything
        if resource["resourceType"] == "Observation" and "4548-4" in codes(resource) and "valueQuantity" in resource
    ]
    assert hba1c
    assert all(len(text.partition(".")[2]) == 2 for text in hba1c)
    assert any(text.endswith("0") for text in hba1c)


def codes(resource):
    return {coding["code"] for coding in resource["code"]["coding"]}


def test_dates_have_several_precisions(everything):
    onsets = {len(resource["onsetDateTime"]) for resource in everything if "onsetDateTime" in resource}
    assert {4, 7, 10} <= onsets


def test_ids_carry_the_time_of_the_event(charts):
    encounter = next(resource for resource in charts[0] if resource["resourceType"] == "Encounter")
    milliseconds = int(encounter["id"][:8] + encounter["id"][9:13], 16)
    assert datetime.fromisoformat(encounter["period"]["start"]).timestamp() * 1000 == milliseconds
