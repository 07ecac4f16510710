from __future__ import annotations

import pytest
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as st

from accounts.scopes import (
    LETTERS,
    Permission,
    Scope,
    ScopeError,
    parse_scope,
    parse_scopes,
    patient_compartment_types,
    print_scopes,
    scope_for,
)
from fhir.definitions.structure import RESOURCE_TYPES

permissions = st.builds(
    Permission,
    st.sampled_from(["patient", "user", "system"]),
    st.sampled_from(["*", *RESOURCE_TYPES]),
    st.sets(st.sampled_from(LETTERS), min_size=1).map(lambda chosen: "".join(c for c in LETTERS if c in chosen)),
)


@given(st.lists(permissions, max_size=5))
def test_what_is_printed_is_read_back(granted: list[Permission]) -> None:
    assert parse_scopes(print_scopes(granted)) == tuple(granted)


@pytest.mark.parametrize(
    ("v1", "v2"),
    [
        ("patient/Observation.read", "patient/Observation.rs"),
        ("user/*.write", "user/*.cud"),
        ("system/Patient.*", "system/Patient.cruds"),
    ],
)
def test_version_1_scopes_are_mapped(v1: str, v2: str) -> None:
    assert str(parse_scope(v1)) == v2


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        ("openid", "not a SMART scope"),
        ("patient/Observation", "not a SMART scope"),
        ("patient/Observation.", "not a SMART scope"),
        ("doctor/Observation.rs", "not a SMART scope"),
        ("patient/observation.rs", "not a SMART scope"),
        ("patient/Observations.rs", "type that FHIR R4 does not have"),
        ("patient/Resource.rs", "type that FHIR R4 does not have"),
        ("patient/Observation.sr", "letters of"),
        ("patient/Observation.rr", "letters of"),
        ("patient/Observation.x", "letters of"),
        ("patient/Observation.r*", "letters of"),
        ("patient/Observation.rs?category=laboratory", "search parameters are not supported"),
    ],
)
def test_scopes_that_are_not_understood_are_refused(scope: str, words: str) -> None:
    with translation.override("en"), pytest.raises(ScopeError) as refused:
        parse_scope(scope)
    with translation.override("en"):
        assert words in str(refused.value.text)
        assert scope in str(refused.value.text)


def test_administrators_may_everything() -> None:
    scope = scope_for(user_id="1", username="a", role="administrator")
    assert all(scope.types(letter) == frozenset(RESOURCE_TYPES) for letter in LETTERS)
    assert scope.compartment is None


def test_practitioners_may_everything_but_audit_events_and_new_search_parameters() -> None:
    scope = scope_for(user_id="1", username="a", role="practitioner", fhir_user="Practitioner/1")
    assert all(scope.types(letter) == frozenset(RESOURCE_TYPES) - {"AuditEvent"} for letter in "rs")
    changeable = frozenset(RESOURCE_TYPES) - {"AuditEvent", "SearchParameter"}
    assert all(scope.types(letter) == changeable for letter in "cud")
    assert scope.compartment is None


def test_patients_may_read_their_compartment() -> None:
    scope = scope_for(user_id="1", username="a", role="patient", fhir_user="Patient/ana")
    assert scope.compartment == "Patient/ana"
    assert scope.types("r") == scope.types("s") == patient_compartment_types() - {"AuditEvent"}
    assert {"Patient", "Observation", "Encounter"} <= scope.types("r")
    assert not {"Organization", "Practitioner", "AuditEvent"} & scope.types("r")
    assert not scope.types("c") | scope.types("u") | scope.types("d")


def test_auditors_may_read_the_audit_only() -> None:
    scope = scope_for(user_id="1", username="a", role="auditor")
    assert scope.types("r") == scope.types("s") == {"AuditEvent", "Provenance"}
    assert not scope.types("c") | scope.types("u") | scope.types("d")


@pytest.mark.parametrize(
    ("role", "fhir_user"),
    [("patient", ""), ("patient", "Practitioner/1"), ("", ""), ("root", ""), ("Administrator", "")],
)
def test_what_is_not_known_gets_nothing(role: str, fhir_user: str) -> None:
    scope = scope_for(user_id="1", username="a", role=role, fhir_user=fhir_user)
    assert not any(scope.types(letter) for letter in LETTERS)
    assert not any(scope.allows(name, letter) for name in RESOURCE_TYPES for letter in LETTERS)


def test_unknown_types_and_letters_are_not_allowed() -> None:
    scope = scope_for(user_id="1", username="a", role="administrator")
    assert not scope.allows("Nonsense", "r")
    assert not scope.allows("Patient", "x")
    assert not scope.allows("*", "r")


def test_permissions_of_a_patient_need_a_compartment() -> None:
    with pytest.raises(ValueError, match="compartment"):
        Scope("1", "a", "patient", parse_scopes("patient/*.rs"))
