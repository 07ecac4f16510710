"""A cluster of two workers, of which one dies or freezes: what goes on, what is refused, and that nothing lies.

The servers are real ones: gunicorn with its shipped number of threads, PostgreSQL with Citus, SIGKILL and SIGSTOP.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings

from clinical_records import local_cluster, postgres_programs
from clinical_records.local_cluster import LocalCluster, Node
from clinical_records.testing import FHIR_JSON, GunicornServer
from fhir import json

pytestmark = pytest.mark.citus

PASSWORD = "only-for-this-test"
_MAKE_USER = f"""
import django; django.setup()
from accounts.models import User
User.objects.create_user("tester", password="{PASSWORD}", role="administrator")
"""
_NODE_OF = """SELECT n.nodeport FROM pg_dist_placement p JOIN pg_dist_node n USING (groupid)
 WHERE p.shardid = get_shard_id_for_distribution_column('resource', %s)"""
# Waits until something has changed, not for how long it takes.
PATIENCE_SECONDS = 30


@dataclass(slots=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    def resource(self) -> Any:
        return json.loads(self.body)


@dataclass
class Stage:
    """The cluster and the server on it; `sick` is the worker that suffers, `sound` the other one."""

    cluster: LocalCluster
    server: GunicornServer
    sick: Node
    sound: Node
    token: str = ""
    patients: dict[Node, str] = field(default_factory=dict)

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        connection = HTTPConnection("127.0.0.1", self.server.port, timeout=PATIENCE_SECONDS)
        sent = {"Content-Type": FHIR_JSON, "Accept-Language": "en", **headers}
        if self.token:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        try:
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            answer = connection.getresponse()
            return Reply(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def fhir(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        return self.send(method, f"/fhir/R4/{path}".rstrip("/"), body, **headers)

    def auth(self, path: str, **fields: str) -> Reply:
        return self.send("POST", f"/auth/{path}", fields, **{"Content-Type": "application/json"})

    def made(self, resource: dict[str, Any]) -> dict[str, Any]:
        answer = self.fhir("POST", resource["resourceType"], resource)
        assert answer.status == 201, answer.body
        found: dict[str, Any] = answer.resource()
        return found

    def place(self, bucket: int) -> Node:
        with self.cluster.connect() as connection:
            row = connection.execute(_NODE_OF, [bucket]).fetchone()
        assert row is not None
        return next(node for node in self.cluster.nodes if node.port == row[0])

    def at(self, node: Node) -> str:
        """The id of a Patient on that worker."""
        while node not in self.patients:
            made = str(self.made({"resourceType": "Patient"})["id"])
            self.patients[self.place(int(made[24:28], 16))] = made
        return self.patients[node]

    def until(self, sees: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not sees():
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def all_say(self, status: str) -> bool:
        """Whether all processes of the server know how the nodes are: each looks for itself."""
        return all(self.ready()["status"] == status for _number in range(12))

    def ready(self) -> dict[str, Any]:
        answer = self.send("GET", "/health/ready")
        assert answer.status == 200, answer.body
        found: dict[str, Any] = answer.resource()
        return found


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, database_of_the_run: None) -> Iterator[Stage]:
    try:
        local_cluster._citus_programs()
    except postgres_programs.NoPrograms as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("dead-nodes")
    # What was committed must survive a kill.
    with removed(LocalCluster(folder / "cluster", durable=True)) as cluster:
        environment = {"DATABASE_URL": cluster.url, "DJANGO_SETTINGS_MODULE": "clinical_records.test_settings"}
        for program in (["manage.py", "migrate", "-v0"], ["-c", _MAKE_USER]):
            subprocess.run(
                [sys.executable, *program], cwd=settings.BASE_DIR, env={**os.environ, **environment}, check=True
            )
        with GunicornServer(folder, **environment) as server:
            made = Stage(cluster, server, cluster.node("worker1"), cluster.node("worker2"))
            made.token = made.auth("login", username="tester", password=PASSWORD).resource()["access"]
            for node in (made.sick, made.sound):
                made.at(node)
            yield made


@contextmanager
def removed(cluster: LocalCluster) -> Iterator[LocalCluster]:
    """A started cluster of which nothing is left in the end."""
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.remove()


@pytest.fixture(scope="module")
def database_of_the_run(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """GunicornServer asks the run's own connection for a default."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture
def killed(stage: Stage) -> Iterator[Stage]:
    """One worker is killed; in the end all is well again."""
    stage.cluster.kill(stage.sick)
    yield stage
    stage.cluster.restart(stage.sick)
    stage.until(lambda: stage.all_say("ok"))


@pytest.fixture
def frozen(stage: Stage) -> Iterator[Stage]:
    """One worker is frozen while connections to it are open; in the end all is well again."""
    with ThreadPoolExecutor(8) as clients:
        list(clients.map(lambda _number: stage.fhir("GET", f"Patient/{stage.at(stage.sick)}"), range(32)))
    stage.cluster.freeze(stage.sick)
    yield stage
    stage.cluster.thaw(stage.sick)
    stage.until(lambda: stage.all_say("ok"))


def observation(subject: str) -> dict[str, Any]:
    code = {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]}
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": code,
        "subject": {"reference": f"Patient/{subject}"},
    }


def assert_goes_on(stage: Stage, patient: str) -> None:
    """Everything that a chart needs."""
    made = stage.made(observation(patient))
    where = f"Observation/{made['id']}"
    assert stage.fhir("PUT", where, {**made, "status": "amended"}).status == 200
    for path in (where, f"{where}/_history", f"{where}/_history/1", f"Patient/{patient}/$everything", "metadata"):
        assert stage.fhir("GET", path).status == 200, path
    found = stage.fhir("GET", f"Observation?patient={patient}&_sort=-date&code=http://loinc.org|8867-4")
    assert made["id"] in {entry["resource"]["id"] for entry in found.resource()["entry"]}
    assert stage.fhir("DELETE", where).status == 204


def assert_refused(answer: Reply) -> None:
    """503 with Retry-After, and not a word of nodes or statements."""
    assert answer.status == 503, answer.body
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.resource()["issue"][0]["code"] in ("transient", "timeout")
    for internal in (b"127.0.0.1", b"postgres", b"SELECT", b"connection", b"worker"):
        assert internal not in answer.body


def test_a_dead_node_stops_its_own_patients_only(killed: Stage) -> None:
    sick, sound = killed.at(killed.sick), killed.at(killed.sound)
    for _number in range(3):
        assert_refused(killed.fhir("GET", f"Patient/{sick}"))
        assert_refused(killed.fhir("POST", "Observation", observation(sick)))
        assert_refused(killed.fhir("GET", f"Observation?patient={sick}"))
        assert_goes_on(killed, sound)


def test_what_needs_all_nodes_fails_whole(killed: Stage) -> None:
    sick, sound = killed.at(killed.sick), killed.at(killed.sound)
    assert_refused(killed.fhir("GET", "Observation?code=http://loinc.org|8867-4"))
    assert_refused(killed.fhir("GET", "Patient?_summary=count"))
    entries = [
        {"resource": observation(id), "request": {"method": "POST", "url": "Observation"}} for id in (sick, sound)
    ]
    before = killed.fhir("GET", f"Observation?patient={sound}&_summary=count").resource()["total"]
    assert_refused(killed.fhir("POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": entries}))
    assert killed.fhir("GET", f"Observation?patient={sound}&_summary=count").resource()["total"] == before


def test_the_door_stays_open(killed: Stage) -> None:
    """Logins leave audit rows, which belong to no patient: any node can hold them."""
    for _number in range(4):
        pair = killed.auth("login", username="tester", password=PASSWORD)
        assert pair.status == 200, pair.body
        assert killed.auth("login", username="tester", password="wrong").status == 401
        fresh = killed.auth("refresh", refresh=pair.resource()["refresh"])
        assert fresh.status == 200, fresh.body
        assert killed.auth("logout", refresh=fresh.resource()["refresh"]).status == 204


def test_readiness_says_degraded_and_liveness_nothing(killed: Stage) -> None:
    killed.until(lambda: killed.all_say("degraded"))
    assert killed.ready()["nodes"] == {"answering": 1, "registered": 2}
    assert killed.send("GET", "/health/live").resource() == {"status": "ok"}


def test_definitions_are_known_without_the_node_that_has_them(stage: Stage, tmp_path: Path) -> None:
    """Wherever they lie, and also to processes that begin meanwhile."""
    sound, found_on = stage.at(stage.sound), set()
    codes: list[str] = []
    while found_on != {stage.sick, stage.sound}:
        codes.append(f"x{uuid4().hex[:12]}")
        found_on.add(stage.place(int(stage.made(parameter(codes[-1]))["id"][24:28], 16)))
    url = f"urn:sets:{uuid4()}"
    include = {"system": "http://loinc.org", "concept": [{"code": "8867-4"}]}
    stage.made({"resourceType": "ValueSet", "status": "active", "url": url, "compose": {"include": [include]}})
    made = stage.made({**observation(sound), "note": [{"text": "Good"}]})["id"]
    query = f"Observation?patient={sound}&code:in={url}&{'&'.join(f'{code}=good' for code in codes)}"

    stage.cluster.kill(stage.sick)
    environment = {"DATABASE_URL": stage.cluster.url}
    try:
        with GunicornServer(tmp_path, **environment) as another:
            for server in (stage.server, another):
                reply = replace(stage, server=server).fhir("GET", query)
                assert reply.status == 200, reply.body
                entries = reply.resource()["entry"]
                assert [e["resource"]["id"] for e in entries if e["search"]["mode"] == "match"] == [made]
    finally:
        stage.cluster.restart(stage.sick)


def parameter(code: str) -> dict[str, Any]:
    return {
        "resourceType": "SearchParameter",
        "url": f"urn:parameters:{code}",
        "name": "Note",
        "status": "active",
        "description": "Words of a note",
        "code": code,
        "base": ["Observation"],
        "type": "string",
        "expression": "Observation.note.text",
    }


def test_the_first_request_after_a_restart_succeeds(stage: Stage) -> None:
    """Connections to the node that were kept are all broken, and nobody had noticed."""
    sick = stage.at(stage.sick)
    for method, path, body in (
        ("GET", f"Patient/{sick}", None),
        ("POST", "Observation", observation(sick)),
        ("GET", f"Observation?patient={sick}", None),
    ):
        with ThreadPoolExecutor(8) as clients:
            list(clients.map(lambda _number: stage.fhir("GET", f"Patient/{sick}"), range(32)))
        stage.cluster.kill(stage.sick)
        stage.cluster.restart(stage.sick)
        answer = stage.fhir(method, path, body)
        assert answer.status in (200, 201), (path, answer.body)


def test_a_frozen_node_holds_nobody_else(frozen: Stage) -> None:
    """More clients wait for it than the server has threads; those of other patients are answered all the same."""
    sick, sound = frozen.at(frozen.sick), frozen.at(frozen.sound)
    replies: list[Reply] = []
    waiting = [
        threading.Thread(target=lambda: replies.append(frozen.fhir("POST", "Observation", observation(sick))))
        for _number in range(24)
    ]
    for thread in waiting:
        thread.start()
    assert_goes_on(frozen, sound)
    for thread in waiting:
        thread.join(PATIENCE_SECONDS)
    assert len(replies) == len(waiting)
    for reply in replies:
        assert_refused(reply)
    assert_refused(frozen.fhir("GET", f"Patient/{sick}"))
    assert_refused(frozen.fhir("GET", "Observation?code=http://loinc.org|8867-4"))
    frozen.until(lambda: frozen.ready()["status"] == "degraded")
    assert frozen.auth("login", username="tester", password=PASSWORD).status == 200
    frozen.cluster.thaw(frozen.sick)
    # Each process of the server takes notice for itself.
    frozen.until(lambda: all(frozen.fhir("GET", f"Patient/{sick}").status == 200 for _number in range(16)))
    assert_goes_on(frozen, sick)


def test_what_is_refused_at_once_was_never_sent(frozen: Stage) -> None:
    """Once the node is known to be frozen; what was sent before may be stored when it wakes up, but once at most."""
    sick = frozen.at(frozen.sick)
    early, late = (f"mark-{uuid4()}" for _number in range(2))
    assert_refused(frozen.fhir("POST", "Observation", marked(sick, early)))
    frozen.until(lambda: frozen.all_say("degraded"))
    for _number in range(8):
        assert_refused(frozen.fhir("POST", "Observation", marked(sick, late)))
    frozen.cluster.thaw(frozen.sick)
    frozen.until(lambda: frozen.all_say("ok"))
    with frozen.cluster.connect() as connection:
        active = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'clinical_records' AND state = 'active'"
        frozen.until(lambda: connection.execute(active).fetchone() is None)

    def found(mark: str) -> int:
        reply = frozen.fhir("GET", f"Observation?patient={sick}&identifier=urn:marks|{mark}")
        assert reply.status == 200
        return len(reply.resource().get("entry", ()))

    assert found(early) <= 1 and found(late) == 0


def marked(subject: str, mark: str) -> dict[str, Any]:
    return {**observation(subject), "identifier": [{"system": "urn:marks", "value": mark}]}
