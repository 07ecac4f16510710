"""What search parameters share, and that no two have the same number."""

from __future__ import annotations

import pytest

from fhir.definitions.structure import RESOURCE_TYPES
from fhir.search import hashing
from fhir.search.catalogue import parameters, patient_decides


@pytest.mark.parametrize(
    ("resource_type", "code", "stored_as"),
    [
        ("Observation", "combo-code", ("code", "component-code")),
        ("Observation", "patient", ("subject",)),
        ("Observation", "gene-amino-acid-change", ("amino-acid-change",)),
        ("Observation", "combo-code-value-quantity", ("code-value-quantity", "component-code-value-quantity")),
        ("Patient", "name", ("name", "family", "given")),
        ("Patient", "phonetic", ("name", "family", "given")),
        ("Encounter", "practitioner", ("participant",)),
        ("AllergyIntolerance", "patient", ("patient",)),
    ],
)
def test_shared_values_are_stored_once(resource_type: str, code: str, stored_as: tuple[str, ...]) -> None:
    assert parameters(resource_type)[code].stored_as == stored_as


def test_what_a_parameter_is_stored_as_is_stored_as_itself() -> None:
    for resource_type in RESOURCE_TYPES:
        known = parameters(resource_type)
        for parameter in known.values():
            for code in parameter.stored_as:
                assert code in known[code].stored_as, (resource_type, parameter.code)


def test_bits_fit_into_the_column() -> None:
    assert max(p.bit for name in RESOURCE_TYPES for p in parameters(name).values()) < 63


def test_parameters_have_numbers_and_hashes_of_their_own() -> None:
    pairs = [(name, code + suffix) for name in RESOURCE_TYPES for code in parameters(name) for suffix in ("", ":text")]
    assert len({hashing.parameter_number(*pair) for pair in pairs}) == len(pairs)
    assert len({hashing.parameter_hash(*pair) for pair in pairs}) == len(pairs)


@pytest.mark.parametrize(
    ("resource_type", "code", "decides"),
    [
        ("Observation", "patient", True),
        ("Observation", "subject", True),
        ("Observation", "performer", False),
        ("Appointment", "patient", False),  # several may take part
        ("Condition", "patient", True),
        ("Condition", "asserter", False),
        ("Patient", "link", False),
        ("Organization", "partof", False),
    ],
)
def test_whether_a_reference_decides_the_place(resource_type: str, code: str, decides: bool) -> None:
    assert patient_decides(resource_type, code) is decides
