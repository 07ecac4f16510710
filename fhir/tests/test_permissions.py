"""Who may do what: the declared matrix, tried in both directions, and the doors that must stay shut."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import translation
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from accounts.scopes import Scope, scope_for
from fhir.definitions.structure import RESOURCE_TYPES
from fhir.exceptions import Forbidden, Unauthenticated
from fhir.permissions import LETTER, InteractionPermission, is_allowed, require

ALL = frozenset(RESOURCE_TYPES)
READS = ("read", "vread", "history-instance", "search-type", "history-type", "operation")
WRITES = ("create", "update", "patch", "delete")
SYSTEM = ("search-system", "history-system")

# https://hl7.org/fhir/R4/compartmentdefinition-patient.html without AuditEvent.
CHART_NAMES = """Account AdverseEvent AllergyIntolerance Appointment AppointmentResponse Basic BodyStructure CarePlan
CareTeam ChargeItem Claim ClaimResponse ClinicalImpression Communication CommunicationRequest Composition Condition
Consent Coverage CoverageEligibilityRequest CoverageEligibilityResponse DetectedIssue DeviceRequest DeviceUseStatement
DiagnosticReport DocumentManifest DocumentReference Encounter EnrollmentRequest EpisodeOfCare ExplanationOfBenefit
FamilyMemberHistory Flag Goal Group ImagingStudy Immunization ImmunizationEvaluation ImmunizationRecommendation
Invoice List MeasureReport Media MedicationAdministration MedicationDispense MedicationRequest MedicationStatement
MolecularSequence NutritionOrder Observation Patient Person Procedure Provenance QuestionnaireResponse RelatedPerson
RequestGroup ResearchSubject RiskAssessment Schedule ServiceRequest Specimen SupplyDelivery SupplyRequest
VisionPrescription"""
CHART = frozenset(CHART_NAMES.split())
AUDIT = frozenset({"AuditEvent", "Provenance"})
NONE: frozenset[str] = frozenset()

# role -> (types that it may read and search, types that it may write)
DECLARED: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "administrator": (ALL, ALL),
    "practitioner": (ALL - {"AuditEvent"}, ALL - {"AuditEvent", "SearchParameter"}),
    "patient": (CHART, NONE),
    "auditor": (AUDIT, NONE),
}
# The same in single cases that a person can check: role, interaction, type, allowed.
CASES = [
    ("administrator", "delete", "Patient", True),
    ("administrator", "read", "AuditEvent", True),
    ("administrator", "create", "StructureDefinition", True),
    ("practitioner", "create", "Observation", True),
    ("practitioner", "patch", "Patient", True),
    ("practitioner", "search-type", "Organization", True),
    ("practitioner", "read", "SearchParameter", True),
    ("practitioner", "create", "SearchParameter", False),
    ("practitioner", "read", "AuditEvent", False),
    ("practitioner", "create", "AuditEvent", False),
    ("practitioner", "delete", "AuditEvent", False),
    ("patient", "read", "Patient", True),
    ("patient", "search-type", "Observation", True),
    ("patient", "history-instance", "Condition", True),
    ("patient", "vread", "Organization", False),
    ("patient", "read", "Practitioner", False),
    ("patient", "read", "AuditEvent", False),
    ("patient", "create", "Observation", False),
    ("patient", "update", "Patient", False),
    ("patient", "patch", "Patient", False),
    ("patient", "delete", "Patient", False),
    ("auditor", "read", "AuditEvent", True),
    ("auditor", "search-type", "AuditEvent", True),
    ("auditor", "history-type", "Provenance", True),
    ("auditor", "read", "Patient", False),
    ("auditor", "search-type", "Observation", False),
    ("auditor", "create", "AuditEvent", False),
    ("auditor", "update", "Provenance", False),
    ("auditor", "delete", "AuditEvent", False),
]


def scope_of_role(role: str) -> Scope:
    return scope_for(user_id="1", username=role, role=role, fhir_user="Patient/ana")


def passes(scope: Scope | None, interaction: str, resource_type: str | None) -> bool:
    try:
        require(scope, interaction, resource_type)
    except (Forbidden, Unauthenticated):
        return False
    return True


@pytest.mark.parametrize(("role", "interaction", "resource_type", "allowed"), CASES)
def test_single_cases(role: str, interaction: str, resource_type: str, allowed: bool) -> None:
    assert passes(scope_of_role(role), interaction, resource_type) is allowed
    readable, writable = DECLARED[role]
    assert (resource_type in (writable if interaction in WRITES else readable)) is allowed


@pytest.mark.parametrize("role", DECLARED)
def test_exactly_what_is_declared_is_allowed(role: str) -> None:
    readable, writable = DECLARED[role]
    scope = scope_of_role(role)
    for interaction in (*READS, *WRITES):
        allowed = {name for name in RESOURCE_TYPES if passes(scope, interaction, name)}
        assert allowed == (writable if interaction in WRITES else readable), interaction


def test_the_matrix_speaks_of_every_interaction() -> None:
    assert set(LETTER) == {*READS, *WRITES, *SYSTEM}


@pytest.mark.parametrize("role", DECLARED)
def test_system_interactions_keep_to_the_readable_types(role: str) -> None:
    scope = scope_of_role(role)
    for interaction in SYSTEM:
        require(scope, interaction)
    assert scope.types("s") == DECLARED[role][0]


@pytest.mark.parametrize("role", ["", "root", "patient-without-a-chart"])
def test_who_has_no_permission_may_nothing(role: str) -> None:
    scope = scope_for(user_id="1", username="x", role="patient" if role.startswith("patient") else role)
    for interaction in (*READS, *WRITES):
        assert not any(passes(scope, interaction, name) for name in RESOURCE_TYPES)
    for interaction in (*SYSTEM, "batch", "transaction"):
        assert not passes(scope, interaction, None)


@pytest.mark.parametrize("role", DECLARED)
def test_bundles_are_open_to_every_role_and_judged_by_their_entries(role: str) -> None:
    assert passes(scope_of_role(role), "batch", None)
    assert passes(scope_of_role(role), "transaction", None)


def test_without_a_scope_only_the_capabilities_answer() -> None:
    require(None, "capabilities")
    for interaction in (*READS, *WRITES, *SYSTEM, "batch", "transaction"):
        with pytest.raises(Unauthenticated) as refused:
            require(None, interaction, "Patient")
        assert refused.value.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("interaction", ["", "peek", "READ", "login"])
def test_unknown_interactions_and_types_are_refused(interaction: str) -> None:
    administrator = scope_of_role("administrator")
    assert not is_allowed(administrator, interaction, "Patient")
    assert not is_allowed(administrator, interaction)
    assert not is_allowed(administrator, "read", "Nonsense")


def test_the_refusal_says_what_is_not_allowed_and_nothing_of_the_instance() -> None:
    with pytest.raises(Forbidden) as refused:
        require(scope_of_role("auditor"), "read", "Patient")
    (issue,) = refused.value.issues
    with translation.override("en"):
        assert str(issue.text) == "Your role does not allow “read” on Patient."
    assert (refused.value.status, issue.code) == (403, "forbidden")


def asked(role: str | None) -> Request:
    request = Request(APIRequestFactory().get("/"))
    request.user, request.auth = None, scope_of_role(role) if role else None
    return request


def view(interaction: str | None, resource_type: str | None = None) -> Any:
    return SimpleNamespace(interaction=interaction, kwargs={"type": resource_type} if resource_type else {})


def test_a_view_that_says_no_interaction_is_refused_to_everyone() -> None:
    permission = InteractionPermission()
    assert not permission.has_permission(asked("administrator"), view(None))
    assert not permission.has_permission(asked("administrator"), SimpleNamespace(kwargs={}))
    assert not permission.has_object_permission(asked("administrator"), view("read", "Patient"), object())


def test_a_view_is_judged_by_its_interaction_and_the_type_of_its_address() -> None:
    permission = InteractionPermission()
    assert permission.has_permission(asked("auditor"), view("read", "AuditEvent"))
    assert permission.has_permission(asked(None), view("capabilities"))
    with pytest.raises(Forbidden):
        permission.has_permission(asked("auditor"), view("read", "Patient"))
    with pytest.raises(Unauthenticated):
        permission.has_permission(asked(None), view("read", "Patient"))
