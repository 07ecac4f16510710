"""Reference targets and contained resources (https://hl7.org/fhir/R4/references.html)."""

from __future__ import annotations

from typing import Any

import pytest

from fhir.validation import validate

PATIENT = "Patient/1"


def found(resource: dict[str, Any]) -> set[tuple[str, str]]:
    return {(issue.code, issue.expression[0]) for issue in validate(resource)}


def condition(subject: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {"resourceType": "Condition", "subject": subject, **others}


@pytest.mark.parametrize(
    "reference",
    [
        "Patient/1",
        "Group/1/_history/2",
        "http://example.org/fhir/Patient/1",
        "https://example.org/Patient/1/_history/3",
        "urn:uuid:c757873d-ec9a-4326-a141-556f43239520",
        "urn:oid:1.2.3",
        "Patient?identifier=http://example.org|1",
        "http://example.org/somewhere/else",
        "http://example.org/Medication",
    ],
)
def test_allowed_targets(reference: str) -> None:
    assert found(condition({"reference": reference})) == set()


@pytest.mark.parametrize(
    "reference",
    [
        "Medication/1",
        "Medication/1/_history/2",
        "http://example.org/fhir/Medication/1",
        "https://example.org/a/b/Medication/1/_history/3",
        "Medication?code=x",
    ],
)
def test_other_targets(reference: str) -> None:
    assert found(condition({"reference": reference})) == {("value", "Condition.subject.reference")}


def test_the_declared_type() -> None:
    assert found(condition({"type": "Patient", "display": "Ana"})) == set()
    assert found(condition({"type": "http://hl7.org/fhir/StructureDefinition/Patient", "display": "Ana"})) == set()
    assert found(condition({"type": "Medication", "display": "x"})) == {("value", "Condition.subject.type")}
    assert found(condition({"type": "Group", "reference": "Patient/1"})) == {("value", "Condition.subject.type")}
    assert found(condition({"type": "http://example.org/Own", "reference": "Patient/1"})) == set()


def test_an_address_of_this_server_must_be_that_of_a_resource() -> None:
    base = "https://here.example.org/fhir/R4"
    for reference in ("Foo/1", base + "/Foo/1"):
        (issue,) = validate(condition({"reference": reference}), base_url=base)
        assert issue.expression == ("Condition.subject.reference",)
    assert validate(condition({"reference": "https://elsewhere.example.org/Foo/1"}), base_url=base) == []


def test_the_type_of_a_contained_target() -> None:
    contained = [{"resourceType": "Medication", "id": "m"}]
    assert found(condition({"reference": "#m"}, contained=contained)) == {("value", "Condition.subject.reference")}


def test_a_fragment_without_a_contained_resource() -> None:
    assert found(condition({"reference": "#p"})) == {("invariant", "Condition.subject.reference")}
    assert found(condition({"reference": "#"})) == {("invariant", "Condition.subject.reference")}


def test_a_reference_to_anything() -> None:
    focus = {"focus": [{"reference": "Medication/1"}]}
    assert found({"resourceType": "Observation", "status": "final", "code": {"text": "x"}} | focus) == set()


class TestContained:
    """https://hl7.org/fhir/R4/references.html#contained"""

    def test_a_contained_resource_that_is_referred_to(self) -> None:
        resource = condition({"reference": "#p"}, contained=[{"resourceType": "Patient", "id": "p"}])
        assert found(resource) == set()

    def test_one_that_refers_to_its_container(self) -> None:
        provenance = {
            "resourceType": "Provenance",
            "id": "p",
            "target": [{"reference": "#"}],
            "recorded": "2020-01-01T00:00:00Z",
            "agent": [{"who": {"display": "x"}}],
        }
        assert found(condition({"reference": PATIENT}, contained=[provenance])) == set()

    def test_one_that_is_referred_to_by_another(self) -> None:
        contained = [
            {"resourceType": "Practitioner", "id": "a"},
            {"resourceType": "PractitionerRole", "id": "b", "practitioner": {"reference": "#a"}},
        ]
        assert found(condition({"reference": PATIENT}, contained=contained, asserter={"reference": "#b"})) == set()

    @pytest.mark.parametrize(
        ("inner", "where"),
        [
            ({"id": "q"}, "Condition.contained[0]"),
            ({}, "Condition.contained[0]"),
            ({"id": "p", "meta": {"versionId": "1"}}, "Condition.contained[0].meta.versionId"),
            ({"id": "p", "meta": {"lastUpdated": "2020-01-01T00:00:00Z"}}, "Condition.contained[0].meta.lastUpdated"),
            ({"id": "p", "meta": {"security": [{"code": "R"}]}}, "Condition.contained[0].meta.security"),
            (
                {
                    "id": "p",
                    "contained": [{"resourceType": "Patient", "id": "i", "generalPractitioner": [{"reference": "#"}]}],
                },
                "Condition.contained[0].contained",
            ),
            ({"id": "p", "gender": "M"}, "Condition.contained[0].gender"),
        ],
    )
    def test_what_may_not_be(self, inner: dict[str, Any], where: str) -> None:
        subject = {"reference": "#p"} if inner.get("id") == "p" else {"reference": PATIENT}
        resource = condition(subject, contained=[{"resourceType": "Patient", **inner}])
        assert where in {expression for _, expression in found(resource)}

    def test_two_with_one_id(self) -> None:
        twice = [{"resourceType": "Patient", "id": "p"}, {"resourceType": "Patient", "id": "p"}]
        assert found(condition({"reference": "#p"}, contained=twice)) == {("invariant", "Condition.contained[1].id")}

    def test_it_is_not_an_entry(self) -> None:
        versioned = {"resourceType": "Patient", "id": "p", "meta": {"versionId": "1"}}
        assert found({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": versioned}]}) == set()
        inside = condition({"reference": "#p"}, contained=[{"resourceType": "Patient", "id": "p"}])
        assert found({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": inside}]}) == set()
