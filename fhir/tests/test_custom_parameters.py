"""SearchParameters that clients store: who may, what is refused, what is found (docs/reindex.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command

from clinical_records.testing import ApiClient
from fhir import reindex_server
from fhir.search import custom

EXTENSION = "urn:custom/extension"


@pytest.fixture
def admin(api: Callable[..., ApiClient]) -> Iterator[ApiClient]:
    """An administrator; what they define is gone after the test."""
    client = api()
    yield client
    for definition in custom.registry().definitions.values():
        client.delete(f"SearchParameter/{definition.resource_id}")
    custom.refresh(now=True)
    assert not custom.registry().definitions


def definition(code: str | None = None, **elements: Any) -> dict[str, Any]:
    code = code or f"x{uuid4().hex[:12]}"
    described = {
        "resourceType": "SearchParameter",
        "url": f"urn:custom:{uuid4()}",
        "name": "Custom",
        "status": "active",
        "description": "A parameter of a client",
        "code": code,
        "base": ["Patient"],
        "type": "string",
        "expression": f"Patient.extension.where(url = '{EXTENSION}').value",
    }
    return {key: value for key, value in (described | elements).items() if value is not None}


def patient(value: str | None = None, **elements: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"resourceType": "Patient", **elements}
    if value is not None:
        made["extension"] = [{"url": EXTENSION, "valueString": value}]
    return made


def made(client: ApiClient, resource: dict[str, Any]) -> str:
    response = client.post(resource["resourceType"], resource)
    assert response.status_code == 201, response.content
    return str(response.resource()["id"])


def found(client: ApiClient, query: str) -> tuple[list[str], list[str]]:
    """(ids of the matches, what the outcomes say)."""
    response = client.get(query, headers={"Accept-Language": "en"})
    assert response.status_code == 200, response.content
    ids, texts = [], []
    for entry in response.resource().get("entry", ()):
        if entry["search"]["mode"] == "outcome":
            texts += [issue["details"]["text"] for issue in entry["resource"]["issue"]]
        else:
            ids.append(entry["resource"]["id"])
    return ids, texts


def test_it_is_used_for_what_is_written_later_and_says_that_the_rest_is_missing(admin: ApiClient) -> None:
    before = made(admin, patient("Needle in the hay"))
    described = definition()
    made(admin, described)
    after = made(admin, patient("Needles"))
    made(admin, patient("Hay"))
    query = f"Patient?{described['code']}=needle"
    ids, texts = found(admin, query)
    assert ids == [after]
    assert len(texts) == 1 and described["code"] in texts[0] and "0 %" in texts[0]
    reindex_server.work_once()
    ids, texts = found(admin, query)
    assert set(ids) == {before, after} and texts == []
