"""Rules of the definitions (https://hl7.org/fhir/R4/conformance-rules.html#constraints)."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import translation

from fhir.definitions.structure import RESOURCE_TYPES
from fhir.definitions.table import table
from fhir.validation import validate
from fhir.validation.rule_texts import RULES
from fhir.validation.structure import check_type

PATIENT: dict[str, Any] = {"resourceType": "Patient"}
OBSERVATION: dict[str, Any] = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
SUBJECT = {"subject": {"reference": "Patient/1"}}
CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
ERROR = "entered-in-error"
CODED = {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]}
XHTML = '<div xmlns="http://www.w3.org/1999/xhtml">%s</div>'


def status(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def narrative(div: str) -> dict[str, Any]:
    return PATIENT | {"text": {"status": "generated", "div": div}}


def bundle(kind: str, *entries: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": kind, **({"entry": list(entries)} if entries else {}), **others}


def period(start: str, end: str) -> dict[str, Any]:
    return PATIENT | {"name": [{"family": "x", "period": {"start": start, "end": end}}]}


def questionnaire(**item: Any) -> dict[str, Any]:
    return {"resourceType": "Questionnaire", "status": "active", "item": [{"linkId": "1", **item}]}


BROKEN: list[tuple[str, dict[str, Any], str]] = [
    ("pat-1", PATIENT | {"contact": [{"gender": "male"}]}, "Patient.contact[0]"),
    ("per-1", period("2020-01-02", "2019-01-01"), "Patient.name[0].period"),
    ("per-1", period("2020-01-01T10:00:00Z", "2020-01-01T10:30:00+01:00"), "Patient.name[0].period"),
    ("cpt-2", PATIENT | {"telecom": [{"value": "1"}]}, "Patient.telecom[0]"),
    ("att-1", PATIENT | {"photo": [{"data": "AAAA"}]}, "Patient.photo[0]"),
    ("obs-6", OBSERVATION | {"valueString": "x", "dataAbsentReason": {"text": "x"}}, "Observation"),
    ("obs-7", OBSERVATION | {"code": CODED, "valueString": "x", "component": [{"code": CODED}]}, "Observation"),
    ("obs-3", OBSERVATION | {"referenceRange": [{"type": {"text": "x"}}]}, "Observation.referenceRange[0]"),
    ("qty-3", OBSERVATION | {"valueQuantity": {"value": 1, "code": "mg"}}, "Observation.value"),
    ("rng-2", OBSERVATION | {"valueRange": {"low": {"value": 2}, "high": {"value": 1}}}, "Observation.value"),
    ("sqty-1", OBSERVATION | {"valueRange": {"low": {"value": 2, "comparator": "<"}}}, "Observation.value.low"),
    ("rat-1", OBSERVATION | {"valueRatio": {"numerator": {"value": 1}}}, "Observation.value"),
    ("tim-1", OBSERVATION | {"effectiveTiming": {"repeat": {"duration": 1}}}, "Observation.effective.repeat"),
    (
        "con-5",
        {"resourceType": "Condition", **SUBJECT}
        | {"clinicalStatus": status(CLINICAL, "active"), "verificationStatus": status(VERIFICATION, ERROR)},
        "Condition",
    ),
    (
        "con-4",
        {"resourceType": "Condition", **SUBJECT}
        | {"clinicalStatus": status(CLINICAL, "active"), "abatementDateTime": "2020"},
        "Condition",
    ),
    ("org-1", {"resourceType": "Organization", "active": True}, "Organization"),
    ("org-2", {"resourceType": "Organization", "name": "x", "address": [{"use": "home"}]}, "Organization.address[0]"),
    ("org-3", {"resourceType": "Organization", "name": "x", "telecom": [{"use": "home"}]}, "Organization.telecom[0]"),
    ("bdl-1", bundle("collection", total=1), "Bundle"),
    ("bdl-3", bundle("transaction", {"resource": PATIENT}), "Bundle"),
    ("bdl-7", bundle("collection", *[{"fullUrl": "urn:oid:1.2", "resource": PATIENT}] * 2), "Bundle"),
    ("bdl-8", bundle("collection", {"fullUrl": "http://x/Patient/1/_history/1", "resource": PATIENT}),
     "Bundle.entry[0]"),
    ("bdl-11", bundle("document", {"resource": PATIENT}, timestamp="2020-01-01T00:00:00Z")
     | {"identifier": {"system": "urn:x", "value": "1"}}, "Bundle"),
    ("que-13", questionnaire(type="string", initial=[{"valueString": "a"}, {"valueString": "b"}]),
     "Questionnaire.item[0]"),
    ("inv-1", {"resourceType": "Parameters", "parameter": [{"name": "x"}]}, "Parameters.parameter[0]"),
    ("inv-1", {"resourceType": "Task", "status": "draft", "intent": "order"}
     | {"authoredOn": "2020-01-02", "lastModified": "2020-01-01"}, "Task"),
    ("vsd-1", {"resourceType": "ValueSet", "status": "draft", "compose": {"include": [{"version": "1"}]}},
     "ValueSet.compose.include[0]"),
    ("age-1", {"resourceType": "FamilyMemberHistory", "status": "partial", "relationship": {"text": "x"},
               "patient": {"reference": "Patient/1"}, "ageAge": {"value": 5}}, "FamilyMemberHistory.age"),
    ("cnt-3", {"resourceType": "Basic", "code": {"text": "x"}, "extension": [{"url": "urn:x", "valueCount": {
        "value": 5, "code": "mg", "system": "http://unitsofmeasure.org"}}]}, "Basic.extension[0].value"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "resource", "where"), [pytest.param(*row, id=f"{row[0]}-{row[2]}") for row in BROKEN])
def test_broken(key: str, resource: dict[str, Any], where: str) -> None:
    with translation.override("en"):
        found = [(issue.code, issue.expression[0], str(issue.text)) for issue in validate(resource)]
    assert [(code, place) for code, place, _ in found] == [("invariant", where)]
    assert f"(rule {key})" in found[0][2]


KEPT: list[dict[str, Any]] = [
    period("2020", "2020-05"),
    period("2020-01-01", "2020-01-01"),
    period("2020-01-01T10:00:00+02:00", "2020-01-01T09:00:00Z"),
    PATIENT | {"name": [{"family": "x", "period": {"start": "2020-01-01"}}]},
    PATIENT | {"generalPractitioner": [{"display": "only words"}]},
    OBSERVATION | {"valueRange": {"low": {"value": 2, "unit": "tablets"}, "high": {"value": 1, "unit": "boxes"}}},
    OBSERVATION | {"code": CODED, "component": [{"code": CODED, "valueString": "x"}]},
    bundle("collection", {"resource": PATIENT}),
    bundle("searchset", total=0),
    {"resourceType": "RiskAssessment", "status": "final", **SUBJECT, "prediction": [{"outcome": {"text": "x"}}]},
    {"resourceType": "Organization", "_name": {"extension": [{"url": "urn:x", "valueCode": "unknown"}]}},
    narrative(XHTML % "<p>Ana <b>García</b></p>"),
]


@pytest.mark.parametrize("resource", KEPT)
def test_kept(resource: dict[str, Any]) -> None:
    assert [str(issue.text) for issue in validate(resource)] == []


@pytest.mark.parametrize(
    "div",
    [
        "plain text",
        "<div>no namespace</div>",
        XHTML % " ",
        XHTML % "<p>open",
        XHTML % "<script>alert(1)</script>",
        XHTML % '<p onclick="x()">x</p>',
        XHTML % '<a href="javascript:x()">x</a>',
        XHTML % "<form><input/></form>",
        '<!DOCTYPE x [<!ENTITY a "b">]>' + XHTML % "&a;",
    ],
)
def test_narratives_that_are_refused(div: str) -> None:
    """txt-1 and txt-2 (https://hl7.org/fhir/R4/narrative.html#security)."""
    assert [(i.code, i.expression[0]) for i in validate(narrative(div))] == [("invariant", "Patient.text.div")]


def test_a_refused_narrative_says_what_is_wrong() -> None:
    with translation.override("en"):
        (issue,) = validate(narrative(XHTML % '<script>x</script><p onclick="x()">x</p>'))
        assert "the element script is not allowed; the attribute p.onclick is not allowed" in str(issue.text)


def extension(**content: Any) -> dict[str, Any]:
    return PATIENT | {"extension": [{"url": "http://example.org/x", **content}]}


def test_an_extension_has_one_content() -> None:
    inner = [{"url": "y", "valueString": "w"}]
    assert validate(extension(valueString="v")) == []
    assert validate(extension(extension=inner)) == []
    assert validate(extension(_valueString={"extension": inner})) == []
    for content in ({}, {"valueString": "v", "extension": inner}):
        assert [i.expression[0] for i in validate(extension(**content))] == ["Patient.extension[0]"]


def test_rules_hold_at_every_depth() -> None:
    deep = bundle("collection", {"resource": bundle("collection", {"resource": period("2020", "2019")})})
    (issue,) = validate(deep)
    assert issue.expression == ("Bundle.entry[0].resource.entry[0].resource.name[0].period",)


def test_a_node_of_the_wrong_shape_is_not_asked_for_its_rules() -> None:
    (issue,) = validate(PATIENT | {"contact": [{"gender": "male", "name": "x"}]})
    assert issue.expression == ("Patient.contact[0].name",)


def test_other_problems_do_not_hide_rules() -> None:
    broken = OBSERVATION | {"status": "x", "valueString": "x", "dataAbsentReason": {"text": "x"}}
    assert {issue.expression[0] for issue in validate(broken)} == {"Observation.status", "Observation"}


def test_warnings_come_when_asked_for_and_last() -> None:
    resource = PATIENT | {"gender": "M"}
    assert [issue.severity for issue in validate(resource)] == ["error"]
    assert [issue.severity for issue in validate(resource, warnings=True)] == ["error", "warning"]


def test_every_type_compiles() -> None:
    for name in RESOURCE_TYPES:
        assert callable(check_type(name))
        assert {issue.code for issue in validate({"resourceType": name}, warnings=True)} <= {"required", "invariant"}


def test_own_words_belong_to_rules_that_exist() -> None:
    rules = [rule for definition in table()["types"].values() for rule in definition.get("c", ())]
    known = {key for _, key, _, _ in rules} | {f"{path}:{key}" for path, key, _, _ in rules}
    assert set(RULES) <= known
