"""Index rows of resources: what is stored for tokens, references, texts, dates, quantities and composites."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from fhir import ids
from fhir.search import hashing
from fhir.search.catalogue import parameters
from fhir.search.extract import index
from fhir.search.parameters import date

BASE = "https://records.example/fhir/R4"
LOINC = "http://loinc.org"

OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "id": "o1",
    "status": "final",
    "code": {"coding": [{"system": LOINC, "code": "8310-5", "display": "Body temperature"}], "text": "Temp"},
    "subject": {"reference": "Patient/p1"},
    "performer": [{"reference": f"{BASE}/Patient/p2"}, {"reference": "https://other.example/Patient/p3"}],
    "effectiveDateTime": "2024-05-11T10:00:00Z",
    "valueQuantity": {"value": Decimal("37.20"), "unit": "°C", "system": "http://unitsofmeasure.org", "code": "Cel"},
}


def term(code: str, value: int, resource_type: str = "Observation") -> int:
    return hashing.parameter_hash(resource_type, code) ^ value


def present(rows: Any, resource_type: str = "Observation") -> set[str]:
    return {code for code, p in parameters(resource_type).items() if rows.present & p.mask}


def test_the_first_term_is_the_resources_own_and_the_others_are_ordered() -> None:
    rows = index(OBSERVATION, BASE)
    assert rows.terms[0] == ids.hash64("Observation/o1")
    assert rows.terms[1:] == sorted(set(rows.terms[1:]))


@pytest.mark.parametrize(
    "value",
    [hashing.any_system("8310-5"), hashing.in_system(LOINC, "8310-5"), hashing.system_only(LOINC)],
)
def test_a_coding_is_found_by_code_by_both_and_by_system(value: int) -> None:
    assert term("code", value) in index(OBSERVATION, BASE).terms


def test_a_code_without_system_is_not_one_of_a_system() -> None:
    assert term("code", hashing.in_system("", "8310-5")) not in index(OBSERVATION, BASE).terms


def test_references_are_typed_and_local_whatever_their_form() -> None:
    terms = index(OBSERVATION, BASE).terms
    assert term("subject", hashing.reference("Patient/p1")) in terms
    assert term("performer", hashing.reference("Patient/p2")) in terms
    assert term("performer", hashing.reference("https://other.example/Patient/p3")) in terms
    assert term("performer", hashing.reference("Patient/p3")) not in terms


def test_a_reference_to_a_version_is_found_with_and_without_it() -> None:
    resource = {**OBSERVATION, "subject": {"reference": "Patient/p1/_history/2"}}
    terms = index(resource, BASE).terms
    assert term("subject", hashing.reference("Patient/p1/_history/2")) in terms
    assert term("subject", hashing.reference("Patient/p1")) in terms


def test_the_patient_who_decides_comes_first_and_others_are_marked() -> None:
    rows = index(OBSERVATION, BASE)
    assert rows.patients == ("p1", "p2")
    assert ids.compartment_term("p2") in rows.terms
    assert ids.compartment_term("p1") not in rows.terms


def test_a_patient_is_in_its_own_compartment() -> None:
    assert index({"resourceType": "Patient", "id": "p1"}, BASE).patients == ("p1",)


def test_the_clinical_date_orders() -> None:
    assert index(OBSERVATION, BASE).sdate == date.interval("2024-05-11T10:00:00Z")[0]
    assert index({"resourceType": "Patient", "id": "p", "birthDate": "1980"}, BASE).sdate == float("-inf")


def test_a_quantity_is_a_point_with_its_unit() -> None:
    rows = index(OBSERVATION, BASE)
    unit = hashing.unit_number("http://unitsofmeasure.org", "Cel", "°C")
    assert (hashing.parameter_number("Observation", "value-quantity"), unit, 37.2, 37.2) in rows.ranges


def test_code_and_value_of_one_repetition_share_a_row() -> None:
    rows = index(OBSERVATION, BASE)
    code = hashing.code_number("Observation", "code-value-quantity", LOINC, "8310-5")
    assert [row[0] for row in rows.code_values] == [code]
    first, last = hashing.code_range("Observation", "code-value-quantity", "8310-5")
    assert first <= code <= last


def test_present_says_which_parameters_have_a_value() -> None:
    found = present(index(OBSERVATION, BASE))
    assert {"_id", "_lastUpdated", "code", "combo-code", "subject", "patient", "performer", "date", "status"} <= found
    assert {"value-quantity", "combo-value-quantity", "code-value-quantity", "combo-code-value-quantity"} <= found
    assert not {"component-code", "encounter", "value-concept", "identifier", "_tag"} & found


def test_patient_is_absent_where_the_subject_is_somebody_else() -> None:
    found = present(index({**OBSERVATION, "subject": {"reference": "Group/g"}}, BASE))
    assert "subject" in found
    assert "patient" not in found


def test_a_logical_reference_is_found_by_its_identifier() -> None:
    subject = {"identifier": {"system": "urn:nat", "value": "N-1"}}
    rows = index({**OBSERVATION, "subject": subject}, BASE)
    assert term("subject:identifier", hashing.in_system("urn:nat", "N-1")) in rows.terms


def test_names_are_stored_by_part() -> None:
    name = {"family": "Rojas", "given": ["Ana", "María"], "text": "Ana María Rojas"}
    rows = index({"resourceType": "Patient", "id": "p", "name": [name]}, BASE)
    stored = {(number, folded) for number, folded, _exact in rows.strings}
    numbers = {code: hashing.parameter_number("Patient", code) for code in ("name", "family", "given")}
    assert stored == {
        (numbers["family"], "rojas"),
        (numbers["given"], "ana"),
        (numbers["given"], "maria"),
        (numbers["name"], "ana maria rojas"),
    }
    assert {"name", "family", "given", "phonetic"} <= present(rows, "Patient")


def test_what_a_code_says_can_be_searched() -> None:
    rows = index(OBSERVATION, BASE)
    number = hashing.parameter_number("Observation", "code:text")
    assert {text for n, text, _exact in rows.strings if n == number} == {"body temperature", "temp"}


def test_an_address_lies_below_those_above_it() -> None:
    rows = index({"resourceType": "ValueSet", "id": "v", "status": "draft", "url": "http://a.example/b/c"}, BASE)
    for above in ("http://a.example/b/c", "http://a.example/b", "http://a.example"):
        assert term("url:below", hashing.uri(above), "ValueSet") in rows.terms


def test_a_position_is_one_row() -> None:
    position = {"latitude": Decimal("4.711"), "longitude": Decimal("-74.0721")}
    rows = index({"resourceType": "Location", "id": "l", "position": position}, BASE)
    assert rows.ranges == [(hashing.parameter_number("Location", "near"), None, 4.711, -74.0721)]
