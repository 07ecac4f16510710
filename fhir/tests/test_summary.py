"""`_summary` and `_elements` (https://hl7.org/fhir/R4/search.html#summary, #elements)."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from fhir import json as exact
from fhir import summary
from fhir.definitions.structure import RESOURCE_TYPES, type_definition
from fhir.exceptions import InvalidRequest

TAG = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
DIV = '<div xmlns="http://www.w3.org/1999/xhtml">Ana</div>'
PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "a",
    "meta": {"versionId": "3", "tag": [{"code": "mine"}]},
    "text": {"status": "generated", "div": DIV},
    "extension": [{"url": "urn:x", "valueBoolean": True}],
    "name": [{"id": "n1", "family": "Ruiz", "extension": [{"url": "urn:y", "valueCode": "c"}]}],
    "birthDate": "1990-01-01",
    "_birthDate": {"extension": [{"url": "urn:time", "valueString": "t"}]},
    "multipleBirthInteger": 2,
    "contact": [{"name": {"text": "Luis"}}],
}


def keys(resource: dict[str, Any], mode: str | None = None, *elements: str) -> list[str]:
    before = exact.dumps(resource)
    projected = summary.project(resource, summary=mode, elements=elements)
    assert exact.dumps(resource) == before, "the input changed"
    return list(projected)


def test_true_keeps_marked_elements_in_order_with_their_siblings() -> None:
    assert keys(PATIENT, "true") == ["resourceType", "id", "meta", "name", "birthDate", "_birthDate"]


def test_true_leaves_out_the_unmarked_parts_of_marked_elements() -> None:
    assert summary.project(PATIENT, summary="true")["name"] == [{"family": "Ruiz"}]
    attachment = {"contentType": "text/plain", "data": "YQ==", "title": "t"}
    document = {"resourceType": "DocumentReference", "status": "current", "content": [{"attachment": attachment}]}
    content = summary.project(document, summary="true")["content"]
    assert content == [{"attachment": {"contentType": "text/plain", "title": "t"}}]


def test_true_leaves_no_empty_object() -> None:
    only_extension = {"resourceType": "Patient", "name": [{"extension": [{"url": "urn:y", "valueCode": "c"}]}]}
    assert "name" not in summary.project(only_extension, summary="true")


def test_true_reaches_into_the_resources_of_a_bundle_and_keeps_their_kind() -> None:
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"fullUrl": "urn:uuid:1", "resource": PATIENT}]}
    inner = summary.project(bundle, summary="true")["entry"][0]["resource"]
    assert inner["resourceType"] == "Patient"
    assert "contact" not in inner
    assert inner["name"] == [{"family": "Ruiz"}]


def test_text_keeps_the_narrative_and_what_is_mandatory() -> None:
    observation = {
        "resourceType": "Observation",
        "id": "o",
        "text": {"status": "generated", "div": DIV},
        "status": "final",
        "_status": {"id": "s"},
        "code": {"text": "x"},
        "valueString": "v",
    }
    assert keys(observation, "text") == ["resourceType", "id", "meta", "text", "status", "_status", "code"]
    assert keys(PATIENT, "text") == ["resourceType", "id", "meta", "text"]


def test_text_keeps_a_mandatory_choice() -> None:
    request = {"resourceType": "MedicationRequest", "status": "active", "intent": "order", "note": [{"text": "n"}]}
    request |= {"medicationCodeableConcept": {"text": "m"}, "subject": {"reference": "Patient/a"}}
    assert "medicationCodeableConcept" in keys(request, "text")
    assert "note" not in keys(request, "text")


def test_data_leaves_out_the_narrative_only() -> None:
    assert keys(PATIENT, "data") == [key for key in PATIENT if key != "text"]


@pytest.mark.parametrize("mode", [None, "false"])
def test_nothing_asked_gives_the_resource_itself(mode: str | None) -> None:
    assert summary.project(PATIENT, summary=mode) is PATIENT


def test_elements_keeps_mandatory_ones_and_modifier_extensions() -> None:
    assert keys(PATIENT, None, "birthDate") == ["resourceType", "id", "meta", "birthDate", "_birthDate"]
    patient = {**PATIENT, "active": True, "deceasedBoolean": False, "modifierExtension": [{"url": "u"}]}
    kept = keys(patient, None, "name")
    assert kept == ["resourceType", "id", "meta", "name", "modifierExtension"]
    assert summary.project(PATIENT, summary=None, elements=("name",))["name"] == PATIENT["name"]


def test_elements_names_choices_by_element_or_by_key() -> None:
    assert "multipleBirthInteger" in keys(PATIENT, None, "multipleBirth")
    assert "multipleBirthInteger" in keys(PATIENT, None, "multipleBirthInteger")
    assert "multipleBirthInteger" not in keys(PATIENT, None, "multipleBirthBoolean")


def test_both_together_give_what_both_allow() -> None:
    assert keys(PATIENT, "true", "name", "contact") == ["resourceType", "id", "meta", "name"]


def test_the_tag_is_added_once_beside_the_others() -> None:
    once = summary.project(PATIENT, summary="data")
    assert once["meta"]["versionId"] == "3"
    assert [tag["code"] for tag in once["meta"]["tag"]] == ["mine", "SUBSETTED"]
    assert TAG.items() <= once["meta"]["tag"][1].items()
    twice = summary.project(once, summary="true")
    assert twice["meta"] == once["meta"]


def test_a_resource_without_meta_gets_one_after_its_id() -> None:
    projected = summary.project({"resourceType": "Patient", "id": "a", "gender": "male"}, summary="true")
    assert list(projected) == ["resourceType", "id", "meta", "gender"]


def test_digits_are_kept() -> None:
    text = b'{"resourceType":"Observation","status":"final","valueQuantity":{"value":1.00}}'
    assert b'"value":1.00' in exact.dumps(summary.project(exact.loads(text), summary="true"))


@pytest.mark.parametrize("mode", ["xyz", "", "TRUE", "count"])
def test_what_is_no_summary_of_a_resource_is_refused(mode: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        summary.project(PATIENT, summary=mode)
    assert caught.value.issues[0].expression == ("_summary",)


def test_check_names_the_unknown_element() -> None:
    summary.check("count", ("name", "multipleBirth"), "Patient")
    summary.check(None, ("valueQuantity",))
    with pytest.raises(InvalidRequest) as caught:
        summary.check(None, ("valueQuantity",), "Patient")
    assert "valueQuantity" in str(caught.value.issues[0].text)
    with pytest.raises(InvalidRequest):
        summary.check(None, ("nonsense",))


@pytest.mark.parametrize("resource_type", RESOURCE_TYPES)
def test_every_type_can_be_projected(resource_type: str) -> None:
    forms = {element: element.keys() for element in type_definition(resource_type).elements.values()}
    marked = {key for element, pairs in forms.items() if element.summary for key, _type in pairs}
    filled: dict[str, Any] = {"resourceType": resource_type}
    filled |= {key: [{}] for pairs in forms.values() for key, _type in pairs if key != "meta"}
    assert set(keys(filled, "data")) == (set(filled) | {"meta"}) - {"text"}
    assert set(keys(filled, "true")) <= marked | {"resourceType", "id", "meta"}


def _examples() -> list[dict[str, Any]]:
    shared = Path(os.environ.get("FHIR_SHARED") or Path(settings.BASE_DIR).parent / "shared")
    file = shared / "data/examples/r4-examples-dev.ndjson.gz"
    if not file.exists():
        pytest.skip(f"the official examples are not beside the repository ({file.name})")
    with gzip.open(file, "rt") as lines:
        return [json.loads(line) for line in lines]


def test_the_summary_of_a_summary_is_itself_for_the_official_examples() -> None:
    for resource in _examples():
        once = summary.project(resource, summary="true")
        assert summary.project(once, summary="true") == once
        assert b"{}" not in exact.dumps(once)
        assert b"[]" not in exact.dumps(once)
