"""GET [base]/metadata, and whether the server does what the statement says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from clinical_records.testing import ApiClient
from fhir.definitions.structure import RESOURCE_TYPES

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
    for resource_type in ("Patient", "Observation"):
        for operation in described[resource_type]["operation"]:
            body = {"resourceType": resource_type}
            assert client.post(f"{resource_type}/${operation['name']}", body).status_code not in (404, 405, 500)


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
COMPOSITES = {"quantity": "x$1", "date": "x$2020"}


@pytest.mark.parametrize("resource_type", RESOURCE_TYPES)
def test_every_stated_parameter_is_answered(api: Api, described: dict[str, dict[str, Any]], resource_type: str) -> None:
    client = api()
    refused = []
    for parameter in described[resource_type]["searchParam"]:
        name = parameter["name"]
        value = VALUES.get(parameter["type"]) or COMPOSITES.get(name.rsplit("-", 1)[-1], "x$x")
        answer = client.get(f"{resource_type}?_id=none&{name}={value}")
        if answer.status_code != 200:
            refused.append((name, value, answer.status_code))
    assert refused == []
