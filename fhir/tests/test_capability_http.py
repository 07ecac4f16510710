"""GET [base]/metadata, and whether the server does what the statement says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from accounts.scopes import scope_for
from clinical_records.testing import ApiClient
from fhir.definitions.structure import RESOURCE_TYPES
from fhir.search import catalogue
from fhir.search.parse import parse

Api = Callable[..., ApiClient]

# Interaction of a type → (method, path below the type) that must be routed.
ROUTES = {
    "read": ("GET", "/none"),
    "vread": ("GET", "/none/_history/1"),
    "update": ("PUT", "/none"),
    "patch": ("PATCH", "/none"),
    "delete": ("DELETE", "/none"),
    "history-instance": ("GET", "/none/_history"),
    "history-type": ("GET", "/_history?_count=1"),
    "create": ("POST", ""),
    "search-type": ("GET", "?_id=none"),
}


@pytest.fixture(scope="module")
def statement() -> dict[str, Any]:
    answer = ApiClient().get("metadata")
    assert answer.status_code == 200
    stated: dict[str, Any] = answer.resource()
    return stated


@pytest.fixture(scope="module")
def described(statement: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {resource["type"]: resource for resource in statement["rest"][0]["resource"]}


def test_anyone_may_ask(statement: dict[str, Any]) -> None:
    assert statement["resourceType"] == "CapabilityStatement"
    assert statement["implementation"]["url"].endswith("/fhir/R4")


def test_an_unchanged_statement_is_304(statement: dict[str, Any]) -> None:
    first = ApiClient().get("metadata")
    again = ApiClient().get("metadata", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_modes() -> None:
    assert "security" not in ApiClient().get("metadata?mode=normative").resource()["rest"][0]
    for mode in ("terminology", "nonsense"):
        answer = ApiClient().get(f"metadata?mode={mode}")
        assert (answer.status_code, answer.resource()["resourceType"]) == (400, "OperationOutcome")


def test_every_stated_format_is_served(statement: dict[str, Any]) -> None:
    for name in statement["format"]:
        assert ApiClient().get("metadata", headers={"Accept": name}).status_code == 200


def test_every_stated_interaction_is_routed(api: Api, described: dict[str, dict[str, Any]]) -> None:
    client = api()
    for resource_type in ("Patient", "Observation", "Binary", "ValueSet"):
        for interaction in described[resource_type]["interaction"]:
            method, path = ROUTES[interaction["code"]]
            status = client.send(method, resource_type + path).status_code
            assert status not in (403, 405, 500, 501), (interaction, status)


def test_every_stated_interaction_of_the_system_is_routed(api: Api, statement: dict[str, Any]) -> None:
    client = api()
    codes = {each["code"] for each in statement["rest"][0]["interaction"]}
    assert codes == {"transaction", "batch", "search-system", "history-system"}
    for kind in ("transaction", "batch"):
        assert client.post("", {"resourceType": "Bundle", "type": kind}).status_code == 200
    assert client.get("?_type=Patient&_id=none").status_code == 200
    assert client.get("_history?_count=1").status_code == 200


def test_every_stated_operation_is_routed(api: Api, described: dict[str, dict[str, Any]]) -> None:
    client = api()
    for resource_type in ("Patient", "Observation", "Encounter"):
        for operation in described[resource_type]["operation"]:
            body = {"resourceType": resource_type}
            paths = [f"{resource_type}/${operation['name']}", f"{resource_type}/never-there/${operation['name']}"]
            answers = [client.post(path, body) for path in paths]
            codes = {answer.json()["issue"][0]["code"] for answer in answers if answer.status_code == 404}
            assert not {answer.status_code for answer in answers} & {405, 500}
            assert len(codes) < 2 and (codes != {"not-supported"} or answers[0].status_code != answers[1].status_code)


VALUES = {
    "token": "x",
    "string": "x",
    "date": "2020-01-01",
    "quantity": "1",
    "number": "1",
    "reference": "x",
    "uri": "urn:x",
    "special": "1|1",
}


def value_for(resource_type: str, parameter: dict[str, Any]) -> str:
    parts = catalogue.parameters(resource_type)[parameter["name"]].parts
    return "$".join(VALUES[kind] for _code, kind, _expression in parts) or VALUES[parameter["type"]]


def asked_of(resource_type: str, described: dict[str, dict[str, Any]]) -> list[tuple[str, str]]:
    return [(each["name"], value_for(resource_type, each)) for each in described[resource_type]["searchParam"]]


@pytest.mark.parametrize("resource_type", ["Patient", "Observation", "MolecularSequence", "Location"])
def test_every_stated_parameter_is_answered(api: Api, described: dict[str, dict[str, Any]], resource_type: str) -> None:
    asked = asked_of(resource_type, described)
    answer = api().get(f"{resource_type}?_count=1&{urlencode(asked)}")
    assert answer.status_code == 200, answer.content
    understood = parse_qs(urlsplit(answer.resource()["link"][0]["url"]).query)
    assert {name for name, _value in asked} <= set(understood)


def test_every_stated_parameter_of_every_type_is_understood(described: dict[str, dict[str, Any]]) -> None:
    administrator = scope_for(user_id="1", username="a", role="administrator")
    for resource_type in RESOURCE_TYPES:
        asked = asked_of(resource_type, described)
        request = parse(resource_type, asked, administrator, "http://testserver/fhir/R4")
        assert request.kept == tuple(asked), resource_type


@pytest.mark.parametrize("resource_type", ["Patient", "Observation", "Provenance"])
def test_every_stated_include_is_answered(api: Api, described: dict[str, dict[str, Any]], resource_type: str) -> None:
    client, stated = api(), described[resource_type]
    asked = [("_include", each) for each in stated["searchInclude"]]
    asked += [("_revinclude", each) for each in stated["searchRevInclude"]]
    assert len(asked) > 10
    answer = client.get(f"{resource_type}?_id=none&{urlencode(asked)}")
    assert answer.status_code == 200, answer.content
