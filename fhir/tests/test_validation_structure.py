"""Elements, cardinality, JSON forms and choice types (https://hl7.org/fhir/R4/json.html, conformance-rules.html)."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from django.utils import translation

from fhir import json
from fhir.exceptions import Unprocessable
from fhir.validation import check, validate

OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"text": "Weight"},
    "subject": {"reference": "Patient/1"},
    "valueQuantity": {"value": 72, "unit": "kg"},
}
PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "active": True,
    "name": [{"family": "García", "given": ["Ana", "Luz"]}],
    "gender": "female",
    "birthDate": "1980-02-29",
}


def found(resource: Any) -> set[tuple[str, str]]:
    return {(issue.code, issue.expression[0]) for issue in validate(resource)}


def test_sound_resources_have_no_issues() -> None:
    assert validate(OBSERVATION) == []
    assert validate(PATIENT) == []


@pytest.mark.parametrize(
    ("change", "code", "where"),
    [
        ({"status": None}, "structure", "Observation.status"),
        ({"status": "foo"}, "code-invalid", "Observation.status"),
        ({"status": 5}, "value", "Observation.status"),
        ({"status": ["final"]}, "structure", "Observation.status"),
        ({"unknown": 1}, "structure", "Observation.unknown"),
        ({"code": {"text": "x", "unknown": 1}}, "structure", "Observation.code.unknown"),
        ({"code": {}}, "structure", "Observation.code"),
        ({"code": "text"}, "structure", "Observation.code"),
        ({"code": [{"text": "x"}]}, "structure", "Observation.code"),
        ({"subject": [{"reference": "Patient/1"}]}, "structure", "Observation.subject"),
        ({"category": {"text": "x"}}, "structure", "Observation.category"),
        ({"category": []}, "structure", "Observation.category"),
        ({"category": [None]}, "structure", "Observation.category[0]"),
        ({"category": [{"text": "a"}, {}]}, "structure", "Observation.category[1]"),
        ({"valueString": "x"}, "structure", "Observation.value"),
        ({"valueAddress": {"city": "x"}}, "structure", "Observation.valueAddress"),
        ({"valueQuantity": {"value": "72"}}, "value", "Observation.value.value"),
        ({"valueQuantity": {"id": "a"}}, "invariant", "Observation.value"),
        ({"component": [{"valueString": "x"}]}, "required", "Observation.component[0].code"),
    ],
)
def test_a_broken_observation_says_what_and_where(change: dict[str, Any], code: str, where: str) -> None:
    assert found(OBSERVATION | change) == {(code, where)}


@pytest.mark.parametrize("key", ["status", "code"])
def test_required_elements(key: str) -> None:
    assert found({k: v for k, v in OBSERVATION.items() if k != key}) == {("required", f"Observation.{key}")}


def test_a_required_choice() -> None:
    statement = {"resourceType": "MedicationStatement", "status": "active", "subject": {"reference": "Patient/1"}}
    assert found(statement) == {("required", "MedicationStatement.medication")}
    assert found(statement | {"medicationCodeableConcept": {"text": "x"}}) == set()


def test_every_problem_is_told_at_once() -> None:
    broken = PATIENT | {"gender": "M", "birthDate": "1980-02-31", "active": "true", "name": {"family": "x"}, "x": 1}
    assert [issue.expression[0] for issue in validate(broken)] == [
        "Patient.active",
        "Patient.name",
        "Patient.gender",
        "Patient.birthDate",
        "Patient.x",
    ]


class TestPrimitiveSiblings:
    """https://hl7.org/fhir/R4/json.html#primitive"""

    REASON = {
        "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]
    }

    def test_an_extension_stands_for_a_required_primitive(self) -> None:
        without = {k: v for k, v in OBSERVATION.items() if k != "status"}
        assert found(without | {"_status": self.REASON}) == set()

    def test_an_id_alone_does_not(self) -> None:
        without = {k: v for k, v in OBSERVATION.items() if k != "status"}
        assert found(without | {"_status": {"id": "a"}}) == {("invariant", "Observation.status")}

    def test_beside_a_value(self) -> None:
        assert found(PATIENT | {"_birthDate": {"id": "a", **self.REASON}}) == set()
        assert found(PATIENT | {"_birthDate": {"value": "x"}}) == {("structure", "Patient.birthDate.value")}
        assert found(PATIENT | {"_birthDate": None}) == {("structure", "Patient.birthDate")}
        assert found(PATIENT | {"_birthDate": [self.REASON]}) == {("structure", "Patient.birthDate")}

    def test_null_stands_where_the_other_list_has_something(self) -> None:
        def name(**parts: Any) -> dict[str, Any]:
            return {"resourceType": "Patient", "name": [parts]}

        assert found(name(given=["Ana", None], _given=[None, self.REASON])) == set()
        assert found(name(_given=[self.REASON])) == set()
        assert found(name(given=["Ana", None])) == {("structure", "Patient.name[0].given[1]")}
        assert found(name(given=[None], _given=[None])) == {
            ("structure", "Patient.name[0].given[0]"),
        }
        assert found(name(given=["Ana"], _given=[{"id": "a"}])) == set()
        assert found(name(given=["Ana", None], _given=[None, {"id": "a"}])) == {
            ("structure", "Patient.name[0].given[1]"),
            ("invariant", "Patient.name[0].given[1]"),
        }

    def test_a_complex_element_has_no_sibling(self) -> None:
        assert found(OBSERVATION | {"_code": self.REASON}) == {("structure", "Observation._code")}

    def test_a_choice_with_its_sibling_is_one_choice(self) -> None:
        without = {k: v for k, v in OBSERVATION.items() if k != "valueQuantity"}
        assert found(without | {"valueString": "x", "_valueString": self.REASON}) == set()
        assert found(without | {"valueString": "x", "_valueInteger": self.REASON}) == {
            ("structure", "Observation.value")
        }


class TestResourcesInResources:
    def test_by_their_type(self) -> None:
        bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": PATIENT | {"gender": "M"}}]}
        assert found(bundle) == {("code-invalid", "Bundle.entry[0].resource.gender")}
        parameters = {"resourceType": "Parameters", "parameter": [{"name": "x", "resource": {"resourceType": "Foo"}}]}
        assert found(parameters) == {("structure", "Parameters.parameter[0].resource.resourceType")}

    @pytest.mark.parametrize("resource", [{}, {"resourceType": 1}, [], "text", None, {"id": "x"}])
    def test_what_is_no_resource(self, resource: Any) -> None:
        assert len(validate(resource)) == 1

    def test_an_abstract_type_is_no_resource(self) -> None:
        assert found({"resourceType": "DomainResource"}) == {("structure", "DomainResource.resourceType")}

    def test_depth_is_an_issue_and_no_crash(self) -> None:
        deep: dict[str, Any] = {"url": "http://example.org/x", "valueString": "x"}
        for _ in range(3000):
            deep = {"url": "http://example.org/x", "extension": [deep]}
        assert {issue.code for issue in validate({"resourceType": "Patient", "extension": [deep]})} == {"too-long"}


class TestModes:
    """https://hl7.org/fhir/R4/resource-operation-validate.html"""

    def test_another_type_than_expected(self) -> None:
        assert [issue.code for issue in validate(PATIENT, "Observation")] == ["invalid"]

    def test_an_update_needs_its_id(self) -> None:
        assert [i.expression[0] for i in validate(PATIENT, "Patient", mode="update")] == ["Patient.id"]
        assert validate(PATIENT | {"id": "a"}, "Patient", mode="update", resource_id="a") == []
        assert [i.code for i in validate(PATIENT | {"id": "a"}, mode="update", resource_id="b")] == ["value"]

    def test_a_delete_asks_nothing_of_the_content(self) -> None:
        assert validate(None, "Patient", mode="delete") == []

    def test_check_refuses_with_every_issue(self) -> None:
        with pytest.raises(Unprocessable) as refused:
            check(PATIENT | {"gender": "M", "active": 1})
        assert refused.value.status == 422
        assert len(refused.value.issues) == 2

    def test_a_draft_questionnaire_may_wait_with_some_rules(self) -> None:
        def questionnaire(status: str, **item: Any) -> dict[str, Any]:
            return {
                "resourceType": "Questionnaire",
                "status": status,
                "item": [item, {"linkId": "b", "type": "string"}],
            }

        for item in (
            {"type": "display", "text": "x"},
            {"linkId": "b", "type": "string"},
            {"linkId": "a", "type": "group"},
        ):
            assert validate(questionnaire("draft", **item)) == []
            assert {issue.severity for issue in validate(questionnaire("draft", **item), warnings=True)} == {"warning"}
            assert len(validate(questionnaire("active", **item))) == 1
        assert len(validate(questionnaire("draft", type="string"))) == 1


def test_validation_does_not_change_the_resource() -> None:
    text = b'{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":1.00}}'
    resource = json.loads(text)
    before = copy.deepcopy(resource)
    assert validate(resource) == []
    assert resource == before
    assert json.dumps(resource) == text


def test_words_name_the_place_the_value_and_what_is_allowed() -> None:
    with translation.override("en"):
        (issue,) = validate(PATIENT | {"gender": "M"})
        assert str(issue.text) == "Patient.gender: «M» is not one of: female, male, other, unknown"


def test_words_are_translated_when_they_are_read() -> None:
    with translation.override("en"):
        (issue,) = validate(PATIENT | {"gender": "M"})
    with translation.override("es"):
        assert str(issue.text) == "Patient.gender: «M» no es uno de: female, male, other, unknown"
