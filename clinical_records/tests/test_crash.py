"""kill -9 of gunicorn workers and of PostgreSQL in the middle of writes.

What was acknowledged is there; a bundle is there as a whole or not at all; every version has its audit row and every
audit row of a write its version; every read that was answered has its row.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import psutil
import psycopg
import pytest
from django.conf import settings

from audit.interactions import INTERACTION_NUMBER
from clinical_records import embedded_postgres
from clinical_records.testing import GunicornServer
from fhir import json
from fhir.definitions.structure import TYPE_NUMBER

CLIENTS = 4
SECONDS_BETWEEN_KILLS = 0.8
BUNDLE_ENTRIES = 6
SYSTEM = "urn:clinical-records:crash-test"
FHIR_JSON = {"Content-Type": "application/fhir+json"}


@dataclass
class Seen:
    """What the clients know: acknowledged versions, bundles and reads, and how many requests got no answer."""

    versions: set[tuple[str, int]] = field(default_factory=set)
    bundles: set[str] = field(default_factory=set)
    reads: set[str] = field(default_factory=set)
    unanswered: int = 0
    wrong: list[str] = field(default_factory=list)


class Writer(threading.Thread):
    """A client that creates, updates, reads and sends transactions until it is told to stop."""

    def __init__(self, url: str, token: str, seen: Seen, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.http = httpx.Client(base_url=f"{url}/fhir/R4/", timeout=20)
        self.http.headers["Authorization"] = f"Bearer {token}"
        self.seen, self.stopping, self.own = seen, stop, ["", 0]

    def run(self) -> None:
        while not self.stopping.is_set():
            step = random.choice([self.create, self.update, self.read, self.bundle])
            try:
                step()
            except httpx.TransportError:
                self.seen.unanswered += 1
                time.sleep(0.02)

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response | None:
        """The answer if it is a success; None for one that says come back later."""
        content = json.dumps(body) if body is not None else None
        answer = self.http.request(method, path, content=content, headers={**FHIR_JSON, **headers})
        if answer.status_code == 503:
            self.seen.unanswered += 1
            time.sleep(0.05)
            return None
        if not answer.is_success:
            self.seen.wrong.append(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
            return None
        return answer

    def acknowledge(self, answer: httpx.Response | None) -> None:
        if answer is not None:
            resource = json.loads(answer.content)
            self.own = [resource["id"], int(resource["meta"]["versionId"])]
            self.seen.versions.add((self.own[0], self.own[1]))

    def create(self) -> None:
        self.acknowledge(self.send("POST", "Patient", patient(str(uuid4()))))

    def update(self) -> None:
        if self.own[0]:
            body = {**patient(str(uuid4())), "id": self.own[0]}
            self.acknowledge(self.send("PUT", f"Patient/{self.own[0]}", body))

    def read(self) -> None:
        if self.own[0]:
            request_id = str(uuid4())
            if self.send("GET", f"Patient/{self.own[0]}", **{"X-Request-Id": request_id}):
                self.seen.reads.add(request_id)

    def bundle(self) -> None:
        tag = f"bundle-{uuid4()}"
        if self.send("POST", "", transaction(tag)):
            self.seen.bundles.add(tag)


def patient(tag: str) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "identifier": [{"system": SYSTEM, "value": tag}],
        "name": [{"family": "Quintana"}],
    }


def transaction(tag: str) -> dict[str, Any]:
    """A patient and some observations of it, all with the same identifier."""
    observation = {
        "resourceType": "Observation",
        "identifier": [{"system": SYSTEM, "value": tag}],
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
        "subject": {"reference": "urn:uuid:6f0f4c0e-9d7e-4d5f-8f1d-2c3b0b5d3f8e"},
    }
    first = {"fullUrl": "urn:uuid:6f0f4c0e-9d7e-4d5f-8f1d-2c3b0b5d3f8e", "resource": patient(tag)}
    entries = [{**first, "request": {"method": "POST", "url": "Patient"}}]
    entries += [
        {"resource": observation, "request": {"method": "POST", "url": "Observation"}}
        for _ in range(BUNDLE_ENTRIES - 1)
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


@dataclass
class Running:
    """A durable PostgreSQL and a gunicorn on it."""

    home: Path
    database: embedded_postgres.Server
    gunicorn: GunicornServer

    def kill_worker(self) -> None:
        assert self.gunicorn.process is not None
        workers = psutil.Process(self.gunicorn.process.pid).children()
        assert workers
        random.choice(workers).kill()

    def kill_postgres(self) -> None:
        pid = int((self.database.place.data / "postmaster.pid").read_text().split("\n")[0])
        os.kill(pid, signal.SIGKILL)
        again = embedded_postgres.start(self.home)
        os.close(self.database.lock)
        self.database = again

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database.dsn()) as connection:
            return connection.execute(statement).fetchall()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    home = tmp_path / "postgres"
    database = embedded_postgres.start(home)
    parameters = database.place.parameters(embedded_postgres.ROLE)
    url = f"postgres://{parameters['user']}@{quote(parameters['host'], safe='')}:{parameters['port']}/"
    variables = {
        "DATABASE_URL": f"{url}{parameters['dbname']}",
        "DEMO_MODE": "1",
        "CLINICAL_RECORDS_VAR": str(tmp_path),
        "SECRET_KEY": "9kf83jf0wmf9ejf02kf9wjf8wnf0skd8",
    }
    gunicorn = GunicornServer(tmp_path, settings_module="clinical_records.settings", **variables)
    code = "from accounts.demo import create_demo_users; create_demo_users()"
    for arguments in (["migrate", "--verbosity", "0"], ["shell", "--no-imports", "-c", code]):
        command = [sys.executable, "manage.py", *arguments]
        subprocess.run(command, cwd=settings.BASE_DIR, env=gunicorn.environment, check=True, timeout=120)
    with gunicorn:
        running = Running(home, database, gunicorn)
        yield running
    running.database.stop()
    embedded_postgres.remove(home)


def test_what_was_acknowledged_is_there_and_nothing_is_half_there(running: Running) -> None:
    seen = under_fire(running, [running.kill_worker] * 3 + [running.kill_postgres] + [running.kill_worker])
    seen_again = under_fire(running, [running.kill_postgres])
    assert not seen.wrong and not seen_again.wrong
    assert seen.unanswered, "no kill hit a request"
    for known in (seen, seen_again):
        assert min(len(known.versions), len(known.bundles), len(known.reads)) >= 3, known
        check_versions(running, known)
        check_bundles(running, known)
        check_reads(running, known)
    check_audit(running)


def under_fire(running: Running, kills: list[Callable[[], None]]) -> Seen:
    """What clients saw while all these were killed one after the other."""
    login = {"username": "medico", "password": "medico123"}
    token = httpx.post(f"{running.gunicorn.url}/auth/login", data=login, timeout=30).json()["access"]
    seen, stop = Seen(), threading.Event()
    writers = [Writer(running.gunicorn.url, token, seen, stop) for _ in range(CLIENTS)]
    for writer in writers:
        writer.start()
    for kill in kills:
        time.sleep(SECONDS_BETWEEN_KILLS)
        kill()
    time.sleep(2 * SECONDS_BETWEEN_KILLS)
    stop.set()
    for writer in writers:
        writer.join(30)
        assert not writer.is_alive()
    return seen


ALL_VERSIONS = "select type, id, version from resource union all select type, id, version from history"


def check_versions(running: Running, seen: Seen) -> None:
    """Every acknowledged version is the current one or in the history."""
    stored = {(id, version) for _type, id, version in running.query(ALL_VERSIONS)}
    assert seen.versions <= stored


def check_bundles(running: Running, seen: Seen) -> None:
    """Every acknowledged bundle is there, and every bundle that is there is whole."""
    tags: Counter[str] = Counter()
    for (body,) in running.query("select body from content"):
        tags.update(
            one["value"] for one in json.loads(body).get("identifier", []) if one["value"].startswith("bundle-")
        )
    assert set(tags.values()) <= {BUNDLE_ENTRIES}
    assert seen.bundles <= set(tags)


def check_reads(running: Running, seen: Seen) -> None:
    """Every read that was answered has its audit row."""
    number = INTERACTION_NUMBER["read"]
    audited = {
        str(one) for (one,) in running.query(f"select request_id from audit_record where interaction = {number}")
    }
    assert seen.reads <= audited


def check_audit(running: Running) -> None:
    """One audit row of a write for each version, and one version for each such row."""
    writes = f"{INTERACTION_NUMBER['create']}, {INTERACTION_NUMBER['update']}"
    audited = Counter(
        running.query(
            "select type, resource_id, version from audit_record "
            f"where interaction in ({writes}) and status in (200, 201) and type is not null"
        )
    )
    assert audited == Counter(running.query(ALL_VERSIONS))
    types = {TYPE_NUMBER["Patient"], TYPE_NUMBER["Observation"]}
    assert {number for number, _id, _version in audited} == types
