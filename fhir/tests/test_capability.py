"""The CapabilityStatement says what is there (https://hl7.org/fhir/R4/http.html#capabilities)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest

from fhir import capability, json
from fhir.definitions.structure import RESOURCE_TYPES
from fhir.exceptions import InvalidRequest
from fhir.interactions import Context
from fhir.interactions.capabilities import capabilities
from fhir.operations import OPERATIONS
from fhir.search import catalogue
from fhir.validation import validate

BASE = "https://records.example/fhir/R4"


def context(base_url: str = BASE, language: str = "en") -> Context:
    nobody = cast(Any, SimpleNamespace())
    return Context(scope=nobody, base_url=base_url, request_id=UUID(int=0), language=language)


def stated(mode: str = "full", **kwargs: Any) -> dict[str, Any]:
    statement: dict[str, Any] = json.loads(capabilities(context(**kwargs), mode).body)
    return statement


def resources(mode: str = "full") -> dict[str, dict[str, Any]]:
    return {resource["type"]: resource for resource in stated(mode)["rest"][0]["resource"]}


@pytest.mark.parametrize("mode", ["full", "normative"])
@pytest.mark.parametrize("language", ["es", "en"])
def test_it_is_valid(mode: str, language: str) -> None:
    assert [issue for issue in validate(stated(mode, language=language)) if issue.severity == "error"] == []


def test_it_describes_this_instance() -> None:
    statement = stated()
    assert (statement["kind"], statement["fhirVersion"]) == ("instance", "4.0.1")
    assert statement["implementation"]["url"] == BASE
    assert statement["format"] == ["json", "application/fhir+json"]
    assert statement["patchFormat"] == ["application/json-patch+json", "application/fhir+json"]
    assert [each["code"] for each in statement["rest"][0]["interaction"]] == list(capability.SYSTEM_INTERACTIONS)


def test_every_type_has_every_interaction_of_a_type() -> None:
    described = resources()
    assert tuple(described) == RESOURCE_TYPES
    for resource in described.values():
        assert [each["code"] for each in resource["interaction"]] == list(capability.TYPE_INTERACTIONS)
        assert resource["conditionalDelete"] == "single"
        assert resource["updateCreate"] is True


def test_search_parameters_have_their_official_definitions() -> None:
    patient = {each["name"]: each for each in resources()["Patient"]["searchParam"]}
    assert patient["birthdate"] == {
        "name": "birthdate",
        "type": "date",
        "definition": "http://hl7.org/fhir/SearchParameter/individual-birthdate",
    }
    assert patient["_id"]["definition"] == "http://hl7.org/fhir/SearchParameter/Resource-id"
    for resource_type, resource in resources().items():
        names = [each["name"] for each in resource["searchParam"]]
        assert names == sorted(set(names)) == sorted(catalogue.parameters(resource_type))


def test_parameters_of_all_types_are_stated_for_the_system() -> None:
    names = {each["name"] for each in stated()["rest"][0]["searchParam"]}
    assert names == {"_id", "_lastUpdated", "_profile", "_security", "_source", "_tag"}


def test_includes_are_those_of_the_reference_parameters() -> None:
    described = resources()
    assert "Observation:subject" in described["Observation"]["searchInclude"]
    assert "Observation:subject" in described["Patient"]["searchRevInclude"]
    assert "Observation:subject" not in described["Organization"]["searchRevInclude"]
    assert "Observation:code" not in described["Observation"]["searchInclude"]


def test_operations_are_those_that_are_routed() -> None:
    for resource_type, resource in resources().items():
        expected = {
            name: operation.definition_of(resource_type)
            for name, operation in OPERATIONS.items()
            if operation.levels != "s" and (operation.types is None or resource_type in operation.types)
        }
        assert {each["name"]: each["definition"] for each in resource.get("operation", [])} == expected
        assert "validate" in expected
    system = {each["name"] for each in stated()["rest"][0].get("operation", [])}
    assert system == {name for name, operation in OPERATIONS.items() if "s" in operation.levels}


def test_operations_of_the_system_and_of_some_types_are_placed() -> None:
    offered = {
        "everywhere": SimpleNamespace(levels="s", definition_of=lambda _type: "urn:s", types=None),
        "some": SimpleNamespace(levels="sti", definition_of=lambda _type: "urn:some", types=("Patient",)),
    }
    rest = capability.statement(BASE, "en", offered)["rest"][0]
    assert [each["name"] for each in rest["operation"]] == ["everywhere", "some"]
    named = {resource["type"]: resource.get("operation") for resource in rest["resource"]}
    assert named["Patient"] == [{"name": "some", "definition": "urn:some"}]
    assert named["Observation"] is None


def test_security_says_how_to_get_a_token_in_the_language_of_the_caller() -> None:
    texts = {lang: stated(language=lang)["rest"][0]["security"]["description"] for lang in ("es", "en")}
    assert all("https://records.example/auth/login" in text for text in texts.values())
    assert "Bearer" in texts["en"]


def test_normative_leaves_out_what_is_for_trial_use() -> None:
    rest = stated("normative")["rest"][0]
    assert "security" not in rest
    patient = resources("normative")["Patient"]
    assert {"type", "profile", "interaction", "searchParam", "operation"} == set(patient)


@pytest.mark.parametrize("mode", ["terminology", "", "everything"])
def test_other_modes_are_refused(mode: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        capabilities(context(), mode)
    assert caught.value.issues[0].expression == ("mode",)


def test_an_unchanged_statement_is_not_sent_again() -> None:
    first = capabilities(context())
    again = capabilities(context(), versions=("7", str(first.version)))
    assert (first.status, again.status, again.body) == (200, 304, b"")
    assert first.version == again.version
    for other in (context(language="es"), context(base_url="https://other.example/fhir/R4")):
        answer = capabilities(other, versions=(str(first.version),))
        assert (answer.status, answer.version == first.version) == (200, False)


def test_the_text_is_made_once_for_each_base_url() -> None:
    assert capabilities(context()).body is capabilities(context()).body
