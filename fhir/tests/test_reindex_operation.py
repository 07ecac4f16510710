"""$reindex, $reindex-status, $reindex-cancel over HTTP (docs/reindex.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from audit.models import AuditRecord
from clinical_records.testing import ApiClient
from fhir import reindex
from fhir.models import StringRow

from .custom_parameters import definition, forget, found, index_all, made, patient

NOTHING = {"resourceType": "Parameters"}


@pytest.fixture
def admin(api: Callable[..., ApiClient], monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiClient]:
    """An administrator; jobs and parameters that they leave are gone after the test."""
    monkeypatch.setattr(reindex, "SETTLE_SECONDS", 0.0)
    client = api()
    yield client
    forget(client)
    for job in reindex.open_jobs():
        reindex.cancel(job.id)


def parameters(**values: Any) -> dict[str, Any]:
    """Parameters from `code=[…]` (valueCode), `string=…` and so on: name__type=value."""
    listed = []
    for name, value in values.items():
        name, _mark, kind = name.partition("__")
        each = value if isinstance(value, list) else [value]
        listed += [{"name": name, f"value{kind.title()}": item} for item in each]
    return NOTHING | {"parameter": listed}


def told(response: Any) -> dict[str, list[Any]]:
    """Name → values of the Parameters in an answer."""
    assert response.resource()["resourceType"] == "Parameters", response.content
    values: dict[str, list[Any]] = {}
    for item in response.resource()["parameter"]:
        (value,) = (value for key, value in item.items() if key.startswith("value"))
        values.setdefault(item["name"], []).append(value)
    return values


def started(client: ApiClient, path: str, body: dict[str, Any]) -> str:
    """The path of the status of a job that is accepted."""
    response = client.post(path, body)
    assert response.status_code == 202, response.content
    place = str(response["Content-Location"])
    assert place.startswith("http") and told(response)["job"][0] in place
    return place[place.index("$reindex-status") :]


def damaged(client: ApiClient) -> str:
    """A Patient whose name is not found."""
    name = made(client, {"resourceType": "Patient", "name": [{"family": "Muñoz"}]})
    StringRow.objects.filter(id=name).delete()
    return name


def test_a_job_of_types(admin: ApiClient) -> None:
    name = damaged(admin)
    status = started(admin, "$reindex", parameters(type__code=["Patient", "Basic"]))
    waiting = admin.get(status)
    assert waiting.status_code == 202 and "Retry-After" in waiting and "X-Progress" in waiting
    assert told(waiting)["status"] == ["accepted"] and told(waiting)["type"] == ["Basic", "Patient"]
    index_all()
    ended = admin.get(status)
    assert ended.status_code == 200 and told(ended)["status"] == ["completed"]
    assert told(ended)["changed"][0] >= 1 and told(ended)["seen"] == told(ended)["total"]
    assert found(admin, f"Patient?name=munoz&_id={name}") == ([name], [])


def test_a_type_in_the_url(admin: ApiClient) -> None:
    name = damaged(admin)
    status = started(admin, "Patient/$reindex", NOTHING)
    index_all()
    assert told(admin.get(status))["type"] == ["Patient"]
    assert found(admin, f"Patient?name=munoz&_id={name}") == ([name], [])


def test_everything(admin: ApiClient) -> None:
    status = started(admin, "$reindex", parameters(all__boolean=True))
    index_all()
    assert "type" not in told(admin.get(status))


def test_one_resource_at_once(admin: ApiClient) -> None:
    name = damaged(admin)
    version = admin.get(f"Patient/{name}")["ETag"]
    assert told(admin.post(f"Patient/{name}/$reindex", NOTHING)) == {"changed": [True]}
    assert told(admin.post(f"Patient/{name}/$reindex", NOTHING)) == {"changed": [False]}
    assert found(admin, f"Patient?name=munoz&_id={name}") == ([name], [])
    assert admin.get(f"Patient/{name}")["ETag"] == version
    admin.delete(f"Patient/{name}")
    assert admin.post(f"Patient/{name}/$reindex", NOTHING).status_code == 410
    assert admin.post("Patient/nobody/$reindex", NOTHING).status_code == 404


def test_parameters(admin: ApiClient) -> None:
    before = made(admin, patient(valueString="Needle"))
    first, second = definition(), definition(expression="Patient.name.text")
    made(admin, first)
    made(admin, second)
    status = started(admin, "$reindex", parameters(parameter__string=[first["code"]]))
    assert told(admin.get(status))["parameter"] == [f"Patient.{first['code']}"]
    job = reindex.open_jobs()[0]
    assert reindex.work(job.id)
    assert found(admin, f"Patient?{first['code']}=needle&_id={before}") == ([before], [])
    assert found(admin, f"Patient?{second['code']}=needle")[1]


def test_what_is_new(admin: ApiClient) -> None:
    index_all()
    assert told(admin.post("$reindex", NOTHING)) == {"status": ["completed"]}
    made(admin, definition())
    status = started(admin, "$reindex", NOTHING)
    assert started(admin, "$reindex", NOTHING) == status
    index_all()
    assert admin.get(status).status_code == 200
    assert told(admin.post("$reindex", NOTHING)) == {"status": ["completed"]}


def test_cancelled(admin: ApiClient) -> None:
    status = started(admin, "Patient/$reindex", NOTHING)
    job = parameters(job__string=status.partition("=")[2])
    assert told(admin.post("$reindex-cancel", job))["status"] == ["cancelled"]
    assert admin.get(status).status_code == 200 and told(admin.get(status))["status"] == ["cancelled"]
    assert admin.post("$reindex-cancel", job).status_code == 409


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("$reindex", parameters(type__code=["Alien"]), 400),
        ("$reindex", parameters(parameter__string=["nothing-of-it"]), 400),
        ("$reindex", parameters(what__string="x"), 400),
        ("Patient/$reindex", parameters(type__code=["Basic"]), 400),
        ("$reindex-cancel", parameters(job__string="x"), 404),
        ("$reindex-cancel", parameters(job__string="00000000-0000-4000-8000-000000000000"), 404),
        ("$reindex-cancel", None, 400),
        ("$reindex", None, 400),
        ("Patient/$reindex-status", NOTHING, 404),
    ],
)
def test_refused(admin: ApiClient, path: str, body: Any, status: int) -> None:
    response = admin.post(path, body)
    assert response.status_code == status, response.content
    assert response.resource()["issue"][0]["details"]["text"]


def test_a_get_begins_nothing(admin: ApiClient) -> None:
    assert admin.get("$reindex?all=true").status_code == 400
    assert not reindex.open_jobs()


@pytest.mark.parametrize("role", ["practitioner", "patient", "auditor"])
def test_only_administrators(admin: ApiClient, api: Callable[..., ApiClient], role: str) -> None:
    name = made(admin, patient())
    client = api(role=role, **({"fhir_user": f"Patient/{name}"} if role == "patient" else {}))
    status = started(admin, "Patient/$reindex", NOTHING)
    job = parameters(job__string=status.partition("=")[2])
    for path, body in (("$reindex", NOTHING), (f"Patient/{name}/$reindex", NOTHING), ("$reindex-cancel", job)):
        assert client.post(path, body).status_code == 403
    assert client.get(status).status_code == 403
    assert len(reindex.open_jobs()) == 1


def test_each_call_is_one_operation_in_the_audit(admin: ApiClient) -> None:
    def recorded(act: Callable[[], Any]) -> list[tuple[int, str | None]]:
        before = set(AuditRecord.objects.values_list("id", flat=True))
        act()
        return list(AuditRecord.objects.exclude(id__in=before).values_list("status", "query"))

    begin = parameters(type__code=["Patient"])
    assert recorded(lambda: admin.post("$reindex", begin)) == [(202, "$reindex?type=Patient")]
    job = str(reindex.open_jobs()[0].id)
    assert recorded(lambda: admin.get(f"$reindex-status?job={job}")) == [(200, f"$reindex-status?job={job}")]
    assert recorded(index_all) == []
    name = made(admin, patient())
    assert recorded(lambda: admin.post(f"Patient/{name}/$reindex", NOTHING)) == [(200, f"Patient/{name}/$reindex")]
