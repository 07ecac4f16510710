"""What the compiler knows of types: choices, primitives with extensions, resources inside resources."""

from __future__ import annotations

from decimal import Decimal

import pytest

from fhir.fhirpath import (
    Environment,
    FhirPathTypeError,
    compile_boolean,
    compile_booleans,
    compile_expression,
    compile_many,
    compile_typed,
    evaluate,
)

BIRTH_TIME = "http://hl7.org/fhir/StructureDefinition/patient-birthTime"
PATIENT = {
    "resourceType": "Patient",
    "id": "p1",
    "active": True,
    "name": [
        {"use": "official", "family": "Ruiz", "given": ["Ana", None, "Luz"], "_given": [None, {"id": "g2"}, None]},
        {"given": ["Anita"]},
    ],
    "birthDate": "1974-12-25",
    "_birthDate": {"extension": [{"url": BIRTH_TIME, "valueDateTime": "1974-12-25T14:35:45-05:00"}]},
    "_gender": {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason"}]},
    "deceasedBoolean": False,
    "contained": [{"resourceType": "Organization", "id": "o1", "name": "Clínica"}, {"resourceType": "Device"}],
    "managingOrganization": {"reference": "#o1"},
    "generalPractitioner": [{"reference": "Practitioner/1"}, {"reference": "urn:uuid:x", "type": "Organization"}],
}
OBSERVATION = {
    "resourceType": "Observation",
    "status": "final",
    "valueQuantity": {"value": Decimal("7.20"), "unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"},
    "component": [
        {"valueString": "a"},
        {"valueQuantity": {"value": 1}},
        {"valueString": "b"},
        {"_valueString": {"id": "c"}},
    ],
}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("Patient.name.given", ["Ana", "Luz", "Anita"]),
        ("name.given.count()", [4]),
        ("name.given.select(hasValue())", [True, False, True, True]),
        ("name.given.id", ["g2"]),
        ("name[0].given[2]", ["Luz"]),
        ("name.first().given.where($this.startsWith('L'))", ["Luz"]),
        ("birthDate.extension.value", ["1974-12-25T14:35:45-05:00"]),
        (f"birthDate.extension('{BIRTH_TIME}').exists()", [True]),
        (f"birthDate.hasExtension('{BIRTH_TIME}')", [True]),
        ("gender", []),
        ("gender.exists()", [True]),
        ("gender.hasValue()", [False]),
        ("gender.extension.url.contains('absent')", [True]),
        ("gender = 'male'", []),
        ("deceased", [False]),
        ("deceased.exists() and deceased = false", [True]),
        ("deceased is boolean", [True]),
        ("deceased.ofType(dateTime)", []),
        ("active is System.Boolean", [False]),
        ("active.getValue() is System.Boolean", [True]),
        ("active.type().name", ["boolean"]),
        ("contained.name", ["Clínica"]),
        ("contained.ofType(Organization).name", ["Clínica"]),
        ("contained.where($this is Device).count()", [1]),
        ("(contained[0] as Organization).name", ["Clínica"]),
        ("managingOrganization.resolve().name", ["Clínica"]),
        ("managingOrganization.where(resolve() is Organization).exists()", [True]),
        ("managingOrganization.where(resolve() is Patient).exists()", [False]),
        ("generalPractitioner.where(resolve() is Practitioner).reference", ["Practitioner/1"]),
        ("generalPractitioner.where(resolve() is Organization).reference", ["urn:uuid:x"]),
        ("Resource.id", ["p1"]),
        ("DomainResource.contained.count()", [2]),
        ("Encounter.status", []),
        ("%resource.id & %rootResource.id & %context.id", ["p1p1p1"]),
        ("children().count()", [12]),
        ("descendants().where($this is Extension).count()", [2]),
        ("name.select(given | family).count()", [5]),
        ("{}.name", []),
        ("name.where(use = 'official' and family.exists()).family", ["Ruiz"]),
        ("name.all(given.exists())", [True]),
        ("name.exists(family = 'Nadie')", [False]),
        ("conformsTo('http://hl7.org/fhir/StructureDefinition/Patient')", [True]),
        ("birthDate.value is System.Date", [True]),
    ],
)
def test_patient(expression, expected):
    assert evaluate(expression, PATIENT) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("Observation.value.unit", ["mg"]),
        ("value.value", [Decimal("7.20")]),
        ("(value as Quantity).code", ["mg"]),
        ("value is Quantity", [True]),
        ("value is string", [False]),
        ("value.ofType(string)", []),
        ("value > 7 'mg'", [True]),
        ("value = 0.0072 'g'", [True]),
        ("component.value", ["a", {"value": 1}, "b"]),
        ("component.value.count()", [4]),
        ("component.value.ofType(string)", ["a", "b"]),
        ("component.value.ofType(Quantity).value", [1]),
        ("component.where(value is Quantity).count()", [1]),
        ("component.value.where($this is string).count()", [3]),
    ],
)
def test_choices(expression, expected):
    assert evaluate(expression, OBSERVATION) == expected


def test_a_cast_is_one_look_up():
    source = compile_typed("value as Quantity", "Observation").source
    assert "valueQuantity" in source
    assert "valueString" not in source


def test_types_come_with_values():
    run = compile_typed("birthDate | active | name | deceased", "Patient")
    kinds = [kind for kind, _, _ in run(PATIENT, Environment(PATIENT))]
    assert kinds == ["date", "boolean", "HumanName", "HumanName", "boolean"]


@pytest.mark.parametrize(
    ("expression", "context", "node", "expected"),
    [
        ("code", "Quantity", {"code": "mg"}, ["mg"]),
        ("value.ofType(string)", "Observation.component", {"valueString": "a"}, ["a"]),
        ("$this.startsWith('a')", "code", "abc", [True]),
        ("length()", "string", "abc", [3]),
        ("item.linkId", "Questionnaire.item", {"item": [{"linkId": "1"}]}, ["1"]),
        ("id", "", PATIENT, ["p1"]),
    ],
)
def test_context_types(expression, context, node, expected):
    assert compile_expression(expression, context)(node, Environment()) == expected


def test_strict_refuses_another_root():
    assert compile_expression("Encounter.status", "Patient")(PATIENT, Environment(PATIENT)) == []
    with pytest.raises(FhirPathTypeError, match="Encounter"):
        compile_expression("Encounter.status", "Patient", strict=True)


def test_resolving_goes_through_the_environment():
    practitioner = {"resourceType": "Practitioner", "id": "1"}
    environment = Environment(PATIENT, resolve={"Practitioner/1": practitioner}.get)
    run = compile_expression("generalPractitioner.resolve().id", "Patient")
    assert run(PATIENT, environment) == ["1"]
    assert run(PATIENT, Environment(PATIENT)) == []


def test_terminology_goes_through_the_environment():
    asked = []
    environment = Environment(OBSERVATION, member_of=lambda *question: asked.append(question) or True)
    assert compile_expression("status.memberOf('http://v')", "Observation")(OBSERVATION, environment) == [True]
    assert asked == [("final", "code", "http://v")]


def test_many_at_once():
    run = compile_many(
        {"given": "Patient.name.given", "death": "Patient.deceased.ofType(dateTime)", "d": "Patient.deceased"},
        "Patient",
    )
    assert run(PATIENT, Environment(PATIENT)) == {
        "given": [("string", "Ana"), ("string", "Luz"), ("string", "Anita")],
        "d": [("boolean", False)],
    }


@pytest.mark.parametrize(
    ("expression", "holds", "holds_if_empty"),
    [
        ("name.exists()", True, True),
        ("photo.exists()", False, False),
        ("photo.title.startsWith('a').not()", False, True),
        ("gender = 'male'", False, True),
        ("active implies birthDate.exists()", True, True),
        ("deceased or photo.empty().not()", False, False),
    ],
)
def test_booleans(expression, holds, holds_if_empty):
    environment = Environment(PATIENT)
    assert compile_boolean(expression, "Patient")(PATIENT, environment) is holds
    assert compile_boolean(expression, "Patient", empty=True)(PATIENT, environment) is holds_if_empty
    failed = compile_booleans({"x": expression}, "Patient")(PATIENT, environment)
    assert failed == ([] if holds else ["x"])
