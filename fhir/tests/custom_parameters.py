"""What the tests of custom parameters and of reindexing share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from clinical_records.testing import ApiClient
from fhir import citus, database, reindex_server
from fhir.models import ReindexJob
from fhir.search import custom

EXTENSION = "urn:custom/extension"


def definition(code: str | None = None, **elements: Any) -> dict[str, Any]:
    """A SearchParameter for strings in an extension of Patient, unless `elements` say otherwise (None: without)."""
    described = {
        "resourceType": "SearchParameter",
        "url": f"urn:custom:{uuid4()}",
        "name": "Custom",
        "status": "active",
        "description": "A parameter of a client",
        "code": code or f"x{uuid4().hex[:12]}",
        "base": ["Patient"],
        "type": "string",
        "expression": f"Patient.extension.where(url = '{EXTENSION}').value",
    }
    return {key: value for key, value in (described | elements).items() if value is not None}


def patient(**value: Any) -> dict[str, Any]:
    """A Patient with the extension, its value given as `valueString=…`; without it where none is given."""
    made: dict[str, Any] = {"resourceType": "Patient"}
    return made | {"extension": [{"url": EXTENSION, **value}]} if value else made


def made(client: ApiClient, resource: dict[str, Any]) -> str:
    """The id of a resource that is created."""
    response = client.post(resource["resourceType"], resource)
    assert response.status_code == 201, response.content
    return str(response.resource()["id"])


def found(client: ApiClient, query: str) -> tuple[list[str], list[str]]:
    """(ids of the entries in order, what the outcomes say) of a search."""
    response = client.get(query, headers={"Accept-Language": "en"})
    assert response.status_code == 200, response.content
    ids, texts = [], []
    for entry in response.resource().get("entry", ()):
        if entry["search"]["mode"] == "outcome":
            texts += [issue["details"]["text"] for issue in entry["resource"]["issue"]]
        else:
            ids.append(entry["resource"]["id"])
    return ids, texts


def index_all() -> None:
    """What a server does beside its requests."""
    while reindex_server.work_once():
        pass


def somebody_waits() -> bool:
    """Whether a statement waits for another transaction, on any node."""
    waiting = "citus_lock_waits" if citus.distributed() else "pg_locks WHERE NOT granted"
    return bool(database.fetch(f"SELECT count(*) FROM {waiting}")[0][0])


def forget(client: ApiClient) -> None:
    """Deletes all custom parameters and ends all jobs: the next test finds none."""
    ReindexJob.objects.filter(finished=None).update(finished=datetime.now(UTC), cancelled=True)
    custom.refresh(now=True)
    for definition in custom.registry().definitions.values():
        client.delete(f"SearchParameter/{definition.resource_id}")
    custom.refresh(now=True)
    assert not custom.registry().definitions
