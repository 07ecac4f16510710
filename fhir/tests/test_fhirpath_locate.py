"""Where selected nodes are (for https://hl7.org/fhir/R4/fhirpatch.html)."""

from __future__ import annotations

import pytest

from fhir.fhirpath import FhirPathSyntaxError, FhirPathTypeError, evaluate, locate
from fhir.tests.test_fhirpath_types import OBSERVATION, PATIENT


def at(resource, steps):
    node = resource
    for step in steps:
        node = node[step]
    return node


@pytest.mark.parametrize(
    ("expression", "steps"),
    [
        ("Patient", [()]),
        ("Patient.birthDate", [("birthDate",)]),
        ("Patient.name", [("name", 0), ("name", 1)]),
        ("name[1].given", [("name", 1, "given", 0)]),
        ("name.given[2]", [("name", 0, "given", 2)]),
        ("name.where(use = 'official')", [("name", 0)]),
        ("name.where($index = 1)", [("name", 1)]),
        ("name.first().family", [("name", 0, "family")]),
        ("name.last()", [("name", 1)]),
        ("name.skip(1) | name.take(1)", [("name", 1), ("name", 0)]),
        ("name.tail().single()", [("name", 1)]),
        ("name.given.where($this = 'Luz')", [("name", 0, "given", 2)]),
        ("name.given.where(id = 'g2')", [("name", 0, "given", 1)]),
        ("birthDate.extension", [("_birthDate", "extension", 0)]),
        (
            "birthDate.extension('http://hl7.org/fhir/StructureDefinition/patient-birthTime').value",
            [("_birthDate", "extension", 0, "valueDateTime")],
        ),
        ("name.given.id", [("name", 0, "_given", 1, "id")]),
        ("gender", [("gender",)]),
        ("deceased", [("deceasedBoolean",)]),
        ("deceased as dateTime", []),
        ("contained.ofType(Organization).name", [("contained", 0, "name")]),
        ("name.select(family)", [("name", 0, "family")]),
        ("photo", []),
        ("%resource.birthDate", [("birthDate",)]),
        ("name.where(given.exists() and family.empty())", [("name", 1)]),
        ("descendants().where($this is Extension and url.contains('absent'))", [("_gender", "extension", 0)]),
    ],
)
def test_steps(expression, steps):
    assert [place.steps for place in locate(expression, PATIENT)] == steps


@pytest.mark.parametrize(
    "expression",
    [
        "Patient.name",
        "name.given",
        "name.where(family.exists()).given",
        "contained",
        "birthDate.extension.value",
        "deceased",
        "generalPractitioner[1].reference",
        "descendants()",
        "children()",
    ],
)
def test_places_hold_what_evaluation_gives(expression):
    found = [place for place in locate(expression, PATIENT) if place.value is not None]
    assert [at(PATIENT, place.steps) for place in found] == [place.value for place in found]
    assert sorted(map(str, evaluate(expression, PATIENT))) == sorted(str(place.value) for place in found)


def test_types_of_places():
    assert [place.type for place in locate("value | component.value", OBSERVATION)] == [
        "Quantity",
        "string",
        "Quantity",
        "string",
        "string",
    ]


def test_other_contexts():
    component = {"valueString": "a"}
    assert [p.steps for p in locate("value", component, "Observation.component")] == [("valueString",)]


@pytest.mark.parametrize(
    "expression",
    [
        "name.count()",
        "1",
        "name.family & 'a'",
        "name.nothing",
        "name.foo()",
        "name.where()",
        "now()",
        "name.where(family.matches('(a+)+b'))",
        "name.where(family.matches('(a|aa)*b'))",
        "name.where(family.matches(given))",
    ],
)
def test_what_selects_nothing_that_has_a_place(expression):
    with pytest.raises(FhirPathTypeError):
        locate(expression, PATIENT)


def test_harmless_patterns_are_fine():
    assert len(locate("name.where(family.matches('^[A-Z][a-z(+]+$'))", PATIENT)) == 1


def test_syntax_errors():
    with pytest.raises(FhirPathSyntaxError):
        locate("name.where(", PATIENT)
