"""A long chart leaves $everything page by page: a worker's memory does not grow with it."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from clinical_records.testing import ApiClient, GunicornServer
from fhir.definitions.structure import TYPE_NUMBER
from fhir.search.hashing import own_term

RESOURCES = 20_000
# A chart that is kept whole, as text and as JSON, is several times as large as its 40 MB of content.
MOST_GROWTH = 30_000  # kB
STATUS = Path("/proc/self/status")
pytestmark = pytest.mark.skipif(not STATUS.is_file(), reason="The memory of a process is read from /proc")


def test_the_memory_of_a_worker_does_not_grow_with_the_chart(api: Any, tmp_path: Path) -> None:
    client = api()
    patient = _long_chart(client)
    with GunicornServer(tmp_path, WEB_WORKERS="1") as server:
        pages = _pages(server, client, f"/fhir/R4/Patient/{patient}/$everything")
        seen = list(next(pages))
        (worker,) = _children(server)
        before = _peak(worker)
        for page in pages:
            seen += page
        grown = _peak(worker) - before
    assert len(seen) == len(set(seen)) == RESOURCES + 1
    assert grown < MOST_GROWTH, f"{grown} kB"


def _long_chart(client: ApiClient) -> str:
    """The id of a patient with many Observations: one that the server stored, copied row by row."""
    patient = client.post("Patient", {"resourceType": "Patient"}).resource()["id"]
    first = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x" * 2000},
        "subject": {"reference": f"Patient/{patient}"},
    }
    model = client.post("Observation", first).resource()["id"]
    mark = uuid4().hex
    names = [f"{mark}-{number}" for number in range(1, RESOURCES)]
    _copy("content", model, [(name, None) for name in names])
    _copy("resource", model, [(name, own_term("Observation", name)) for name in names])
    return str(patient)


def _copy(table: str, model: str, rows: list[tuple[str, int | None]]) -> None:
    """Rows like that of `model`, each with another id and, where there is one, its own first term."""
    with connection.cursor() as cursor:
        key = [TYPE_NUMBER["Observation"], model]
        cursor.execute(f"SELECT * FROM {table} WHERE type = %s AND id = %s", key)
        columns = [column.name for column in cursor.description]
        values = dict(zip(columns, cursor.fetchone(), strict=True))
        with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
            for name, term in rows:
                row = values | {"id": name}
                if term is not None:
                    row["terms"] = [term, *values["terms"][1:]]
                else:
                    row["body"] = values["body"].replace(model, name)
                copy.write_row([row[column] for column in columns])


def _pages(server: GunicornServer, client: ApiClient, path: str) -> Iterator[list[str]]:
    """The ids on each page."""
    while path:
        request = urllib.request.Request(
            f"{server.url}{path}", headers={"Authorization": f"Bearer {client.access_token}"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            bundle = json.load(answer)
        yield [entry["resource"]["id"] for entry in bundle["entry"]]
        following = [link["url"] for link in bundle["link"] if link["relation"] == "next"]
        path = "/fhir/R4/" + following[0].split("/fhir/R4/", 1)[1] if following else ""


def _children(server: GunicornServer) -> list[int]:
    assert server.process is not None
    pid = server.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _peak(pid: int) -> int:
    """The most memory that a process has had in use, in kB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
