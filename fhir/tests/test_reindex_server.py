"""A real server of two processes: it indexes for new parameters by itself, and goes on after a kill."""

from __future__ import annotations

import os
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings

from clinical_records.testing import FHIR_JSON, ApiClient, GunicornServer
from fhir import database as trips
from fhir import ids, json, reindex
from fhir.models import StringRow

from .custom_parameters import definition, forget, made, patient, somebody_waits

SECONDS = 15.0


@pytest.fixture(scope="module")
def server(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    with GunicornServer(tmp_path_factory.mktemp("reindex"), WEB_WORKERS="2") as running:
        yield running


@pytest.fixture
def admin(api: Callable[..., ApiClient]) -> Iterator[ApiClient]:
    client = api()
    yield client
    forget(client)


def send(server: GunicornServer, client: ApiClient, method: str, path: str, body: Any = None) -> tuple[int, Any, Any]:
    """(status, headers, resource), each time over a new connection, so that either process may answer."""
    headers = {"Authorization": f"Bearer {client.access_token}", "Content-Type": FHIR_JSON, "Accept": FHIR_JSON}
    data = None if body is None else json.dumps(body)
    url = f"{server.url}{settings.FHIR_BASE_PATH}/{path}"
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            text = response.read()
            return response.status, response.headers, json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        return error.code, error.headers, json.loads(error.read())


def until(condition: Callable[[], Any], seconds: float = SECONDS) -> Any:
    ending = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < ending, "it did not come to pass"
        time.sleep(0.1)
    return found


def test_a_new_parameter_is_indexed_without_being_asked_for(server: GunicornServer, admin: ApiClient) -> None:
    value, described = uuid4().hex, definition()
    before = made(admin, patient(valueString=value))
    assert send(server, admin, "POST", "SearchParameter", described)[0] == 201
    status, _headers, after = send(server, admin, "POST", "Patient", patient(valueString=value))
    assert status == 201

    def complete() -> bool:
        status, _headers, bundle = send(server, admin, "GET", f"Patient?{described['code']}={value}")
        assert status == 200, bundle
        modes = [entry["search"]["mode"] for entry in bundle.get("entry", ())]
        if "outcome" in modes:
            return False
        # Without a warning nothing is missing.
        assert {entry["resource"]["id"] for entry in bundle["entry"]} == {before, after["id"]}
        return True

    until(complete)
    for _number in range(8):  # whichever process answers
        assert complete()


def test_a_retired_parameter_ends_in_all_processes(server: GunicornServer, admin: ApiClient) -> None:
    described = definition()
    _status, _headers, stored = send(server, admin, "POST", "SearchParameter", described)
    query = f"Patient?{described['code']}=x"
    assert all(send(server, admin, "GET", query)[0] == 200 for _number in range(8))
    send(server, admin, "DELETE", f"SearchParameter/{stored['id']}")
    time.sleep(2.1)
    assert all(send(server, admin, "GET", query)[0] == 400 for _number in range(8))


def test_a_job_of_killed_processes_is_gone_on_with(server: GunicornServer, admin: ApiClient) -> None:
    names = [made(admin, {"resourceType": "Patient", "name": [{"family": "Muñoz"}]}) for _number in range(20)]
    StringRow.objects.filter(id__in=names).delete()
    holding, release = threading.Event(), threading.Event()
    holder = threading.Thread(target=_hold, args=(names[7], holding, release))
    holder.start()
    holding.wait()
    status, headers, _told = send(server, admin, "POST", "Patient/$reindex", {"resourceType": "Parameters"})
    assert status == 202
    place = headers["Content-Location"].partition(f"{settings.FHIR_BASE_PATH}/")[2]
    until(somebody_waits)  # the job, for the held row
    for process in _workers(server):
        os.kill(process, signal.SIGKILL)
    release.set()
    holder.join()
    assert send_again(server, admin, place)[0] == 202  # the first request after it wakes the next
    status, _headers, told = until(lambda: (a := send_again(server, admin, place))[0] == 200 and a, 30.0)
    values = {item["name"]: item for item in told["parameter"]}
    assert values["status"]["valueCode"] == "completed"
    assert values["seen"]["valueDecimal"] == values["total"]["valueDecimal"]
    assert StringRow.objects.filter(id__in=names).values("id").distinct().count() == len(names)
    assert not reindex.open_jobs()


def _hold(name: str, holding: threading.Event, release: threading.Event) -> None:
    from django.db import connection

    with trips.Transaction() as transaction:
        place = (ids.bucket_of(name), name)
        transaction.send([("SELECT 1 FROM resource WHERE bucket = %s AND id = %s FOR UPDATE", place)])
        holding.set()
        release.wait()
    connection.close()


def _workers(server: GunicornServer) -> list[int]:
    assert server.process is not None
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    if not children.exists():
        pytest.skip("this system does not list the children of a process")
    found = [int(child) for child in children.read_text().split()]
    assert found
    return found


def send_again(server: GunicornServer, client: ApiClient, path: str) -> tuple[int, Any, Any]:
    """A GET; connections that a killed process had accepted are tried again."""
    for _attempt in range(20):
        try:
            return send(server, client, "GET", path)
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
    raise AssertionError("the server does not come back")
