"""One node with Citus: statements about one bucket name the tables of its shard, as long as all shards stay there.

On a cluster of its own, which nodes join: the shards of the tests' own database stay where they are.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from clinical_records.local_cluster import HOST, LocalCluster
from clinical_records.testing import GunicornServer
from clinical_records.tests.test_local_cluster import needs_citus
from fhir import ids, local_shards

from .test_shards_cluster import environment, manage, shards

pytestmark = [pytest.mark.citus, needs_citus]

# Long enough for a move to come to the point where it waits for whoever writes.
WAITS_SECONDS = 60


class Node:
    """One node with Citus, which a server answers from."""

    def __init__(self, cluster: LocalCluster, url: str) -> None:
        self.cluster, self.url = cluster, url
        self.token = self._post("/auth/login", {"username": "admin", "password": "admin123"})["access"]

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self.send("POST", path, body)

    def send(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The JSON of an answer that is no refusal. Raises HTTPError."""
        request = urllib.request.Request(self.url + path, method=method)
        request.add_header("Content-Type", "application/json")
        if hasattr(self, "token"):
            request.add_header("Authorization", f"Bearer {self.token}")
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(request, data, timeout=60) as answer:
            found: dict[str, Any] = json.loads(answer.read() or b"{}")
        return found

    def create(self, subject: str | None = None) -> dict[str, Any]:
        """A new Patient, or an Observation of one."""
        if subject is None:
            return self._post("/fhir/R4/Patient", {"resourceType": "Patient", "name": [{"family": str(uuid4())}]})
        body = {
            "resourceType": "Observation",
            "status": "final",
            "code": {"text": str(uuid4())},
            "subject": {"reference": f"Patient/{subject}"},
            "effectiveDateTime": "2024-03-01",
        }
        return self._post("/fhir/R4/Observation", body)

    def chart(self, subject: str) -> set[str]:
        """The ids of a patient's observations."""
        found = self.send("GET", f"/fhir/R4/Observation?patient={subject}&_count=1000")
        return {entry["resource"]["id"] for entry in found.get("entry", ())}

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows that the superuser sees."""
        with self.cluster.connect() as connection:
            cursor = connection.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []


# Demo users, and no redirection to https.
DEMO = {"DEMO_MODE": "1"}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("node")
    with LocalCluster(folder / "cluster", workers=0) as cluster:
        manage(cluster, "migrate", "-v", "0")
        manage(cluster, "shell", "-c", "from accounts.demo import create_demo_users; create_demo_users()", **DEMO)
        with GunicornServer(folder, **environment(cluster), **DEMO) as server:
            yield Node(cluster, server.url)


class Writers:
    """Two threads that write and read without a pause; `stored` is what was acknowledged, by patient."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.stored: dict[str, set[str]] = {}
        self.failures: list[str] = []
        self._stop = threading.Event()

    def _write(self) -> None:
        while not self._stop.is_set():
            try:
                self._once()
            except OSError as error:  # an HTTPError is one
                self.failures.append(repr(error))

    def _once(self) -> None:
        subject = self.node.create()["id"]
        found = self.stored.setdefault(subject, set())
        for _number in range(3):
            made = self.node.create(subject)
            found.add(made["id"])
            where = f"/fhir/R4/Observation/{made['id']}"
            assert self.node.send("PUT", where, {**made, "status": "amended"})["meta"]["versionId"] == "2"
            assert self.node.send("GET", where)["status"] == "amended"
        assert self.node.chart(subject) == found

    def __enter__(self) -> Writers:
        self._threads = [threading.Thread(target=self._write) for _number in range(2)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def lost(self) -> list[str]:
        """Patients whose charts are not what was acknowledged."""
        return [subject for subject, found in self.stored.items() if self.node.chart(subject) != found]


def sound(node: Node) -> None:
    """All records are where they belong."""
    assert shards(node.cluster, "verify")["findings"] == {}


def shard_at(connection: psycopg.Connection[Any], bucket: int) -> local_shards.Shard:
    shard = local_shards.of(connection, bucket)
    assert shard is not None
    return shard


def test_the_shard_of_a_bucket_is_that_of_citus(node: Node) -> None:
    sql = "SELECT shard_name('content', get_shard_id_for_distribution_column('content', %s::int))"
    with node.cluster.connect() as connection:
        for bucket in range(0, ids.BUCKETS, 997):
            ((name,),) = connection.execute(sql, [bucket]).fetchall()
            assert shard_at(connection, bucket).tables["content"] == name


def test_who_does_not_own_the_tables_goes_through_citus(node: Node) -> None:
    with node.cluster.connect() as connection:
        connection.execute("CREATE ROLE reader")
        connection.execute("SET ROLE reader")
        assert local_shards.of(connection, 0) is None
        connection.execute("RESET ROLE")
        local_shards.forget(connection)
        assert local_shards.of(connection, 0) is not None
        connection.execute("DROP ROLE reader")


def until_it_waits(node: Node, what: str) -> None:
    """A statement that contains `what` waits for a lock."""
    sql = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s"
    deadline = time.monotonic() + WAITS_SECONDS
    while not node.query(sql, f"%{what}%"):
        assert time.monotonic() < deadline, node.query("SELECT query, wait_event_type FROM pg_stat_activity")
        time.sleep(0.05)


INSERT = "INSERT INTO content (bucket, type, id, body) VALUES (%s, 0, %s, '')"
SPLIT = """SELECT citus_split_shard_by_split_points(shardid,
 ARRAY[((shardminvalue::bigint + shardmaxvalue::bigint) / 2)::text], ARRAY[n.nodeid, n.nodeid]::int[], 'block_writes')
 FROM pg_dist_shard, pg_dist_node n
 WHERE shardid = get_shard_id_for_distribution_column('resource', 7) AND n.groupid = 0"""
COPY = "SELECT alter_distributed_table('resource', shard_count := 3, cascade_to_colocated := true)"


@pytest.mark.parametrize(("change", "name"), [(SPLIT, "citus_split_shard"), (COPY, "alter_distributed_table")])
def test_what_moves_rows_waits_for_who_writes_them(node: Node, change: str, name: str) -> None:
    """And who writes them next does not write where they were."""
    with node.cluster.connect() as connection:
        shard, key = shard_at(connection, 7), str(uuid4())
        connection.execute("BEGIN")
        connection.execute(*shard.hold)
        connection.execute(shard.sql(INSERT), [7, key])
        mover = threading.Thread(target=node.query, args=[change])
        mover.start()
        until_it_waits(node, name)
        connection.execute("COMMIT")
        mover.join()
        assert node.query("SELECT 1 FROM content WHERE bucket = 7 AND id = %s", key) == [(1,)]
        with pytest.raises(psycopg.Error) as refused:
            connection.execute(*shard.hold)
        assert refused.value.sqlstate == local_shards.MOVED
        local_shards.forget(connection)
        assert shard_at(connection, 7).tables != shard.tables
        node.query("DELETE FROM content WHERE bucket = 7 AND id = %s", key)


def test_writes_go_on_while_shards_are_split_and_move_to_a_second_node(node: Node) -> None:
    """From its registration on all goes through Citus; no request fails, and nothing is lost."""
    with Writers(node) as writers:
        shards(node.cluster, "resize", "12", "--yes")
        worker = node.cluster.add_node()
        shards(node.cluster, "add-worker", HOST, str(worker.port))
        with node.cluster.connect() as connection:
            assert local_shards.of(connection, 0) is None
        shards(node.cluster, "rebalance", "--by-count")
    assert writers.failures == []
    assert writers.stored and writers.lost() == []
    moved = "SELECT count(*) > 0 FROM pg_dist_placement p JOIN pg_dist_node n USING (groupid) WHERE nodeport = %s"
    assert node.query(moved, worker.port) == [(True,)]
    sound(node)
