"""Required bindings (https://hl7.org/fhir/R4/terminologies.html#required)."""

from __future__ import annotations

from typing import Any

import pytest

from fhir.validation import validate

CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"


def found(resource: dict[str, Any]) -> set[tuple[str, str]]:
    return {(issue.code, issue.expression[0]) for issue in validate(resource)}


def condition(status: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Condition", "subject": {"reference": "Patient/1"}, "clinicalStatus": status}


@pytest.mark.parametrize(
    "status",
    [
        {"coding": [{"system": CLINICAL, "code": "active"}]},
        {"coding": [{"system": "http://example.org", "code": "x"}, {"system": CLINICAL, "code": "active"}]},
        {"coding": [{"system": CLINICAL, "code": "active"}], "text": "Active"},
        {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]},
    ],
)
def test_one_coding_of_the_value_set_is_enough(status: dict[str, Any]) -> None:
    assert found(condition(status)) == set()


@pytest.mark.parametrize(
    "status",
    [
        {"text": "active"},
        {"coding": [{"code": "active"}]},
        {"coding": [{"system": "http://example.org", "code": "active"}]},
        {"coding": [{"system": CLINICAL, "code": "foo"}]},
        {"coding": [{"system": CLINICAL}]},
    ],
)
def test_none_of_the_value_set_is_refused(status: dict[str, Any]) -> None:
    assert found(condition(status)) == {("code-invalid", "Condition.clinicalStatus")}


@pytest.mark.parametrize("code", ["EUR", "USD", "MXN", "XXX", "ITL"])
def test_currencies(code: str) -> None:
    assert found(invoice(code)) == set()


@pytest.mark.parametrize("code", ["eur", "EURO", "ABC"])
def test_no_currencies(code: str) -> None:
    assert found(invoice(code)) == {("code-invalid", "Invoice.totalNet.currency")}


def invoice(currency: str) -> dict[str, Any]:
    return {"resourceType": "Invoice", "status": "draft", "totalNet": {"value": 1, "currency": currency}}


def photo(mime_type: str) -> dict[str, Any]:
    return {"resourceType": "Patient", "photo": [{"contentType": mime_type, "url": "http://example.org/x"}]}


@pytest.mark.parametrize(
    "mime_type",
    [
        "image/png",
        "text/plain; charset=utf-8",
        'application/fhir+json; fhirVersion="4.0"',
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "image/*",
        "application/x-www-form-urlencoded",
    ],
)
def test_mime_types(mime_type: str) -> None:
    assert found(photo(mime_type)) == set()


@pytest.mark.parametrize("mime_type", ["png", "image", "image/", "/png", "json", "image/png;", "a b/c"])
def test_no_mime_types(mime_type: str) -> None:
    assert found(photo(mime_type)) == {("code-invalid", "Patient.photo[0].contentType")}


def test_short_names_of_formats_where_formats_are_chosen() -> None:
    statement = {
        "resourceType": "CapabilityStatement",
        "status": "draft",
        "date": "2020",
        "kind": "requirements",
        "description": "x",
        "fhirVersion": "4.0.1",
        "rest": [{"mode": "server"}],
    }
    assert found(statement | {"format": ["json", "xml", "application/fhir+json"]}) == set()
    assert found(statement | {"format": ["foo"]}) == {("code-invalid", "CapabilityStatement.format[0]")}


def test_units_of_ucum_go_by_their_system() -> None:
    def synthesis(system: str) -> dict[str, Any]:
        reference = {"reference": "EvidenceVariable/1"}
        return {
            "resourceType": "RiskEvidenceSynthesis",
            "status": "draft",
            "population": reference,
            "outcome": reference,
            "riskEstimate": {"unitOfMeasure": {"coding": [{"system": system, "code": "mg"}]}},
        }

    assert found(synthesis("http://unitsofmeasure.org")) == set()
    assert found(synthesis("http://example.org")) == {
        ("code-invalid", "RiskEvidenceSynthesis.riskEstimate.unitOfMeasure")
    }


def test_a_long_value_set_is_not_listed_whole() -> None:
    compartment = {"url": "http://example.org/x", "name": "X", "status": "draft", "code": "Patient", "search": True}
    (issue,) = validate({"resourceType": "CompartmentDefinition", "resource": [{"code": "Foo"}], **compartment})
    assert "Account, ActivityDefinition" in str(issue.text)
    assert "Patient" not in str(issue.text)
    assert len(str(issue.text)) < 400
