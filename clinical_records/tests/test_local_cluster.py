"""The local cluster: three nodes that are killed, frozen, joined by another, and gone in the end."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from clinical_records import local_cluster, postgres_programs
from clinical_records.env import database_url
from clinical_records.local_cluster import LocalCluster, Node
from clinical_records.postgres_server import PostgresError

try:
    local_cluster._citus_programs()
    MISSING = ""
except postgres_programs.NoPrograms as error:
    MISSING = str(error)
needs_citus = pytest.mark.skipif(bool(MISSING), reason=MISSING)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with LocalCluster(tmp_path_factory.mktemp("var") / "cluster") as cluster:
        with cluster.connect() as connection:
            connection.execute("CREATE TABLE counted (bucket integer)")
            connection.execute("SELECT create_distributed_table('counted', 'bucket', shard_count => 2)")
            connection.execute("INSERT INTO counted SELECT generate_series(1, 100)")
        yield cluster


def count(cluster: LocalCluster) -> int:
    with cluster.connect() as connection:
        (found,) = connection.execute("SELECT count(*) FROM counted").fetchone() or (-1,)
    return int(found)


def processes(node: Node) -> set[int]:
    assert node.pid is not None
    return set(local_cluster._family(node.pid))


@needs_citus
@pytest.mark.citus
def test_its_address_is_a_coordinator_with_workers_that_have_the_shards(cluster: LocalCluster) -> None:
    at = database_url(cluster.url)
    names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    with psycopg.connect(**{name: at[key] for name, key in names.items()}) as connection:
        ports = connection.execute("SELECT nodeport FROM pg_dist_node WHERE shouldhaveshards ORDER BY groupid")
        assert [port for (port,) in ports] == [node.port for node in cluster.nodes[1:3]]
        used = connection.execute("SELECT DISTINCT nodeport FROM citus_shards WHERE table_name = 'counted'::regclass")
        assert {port for (port,) in used} == {node.port for node in cluster.nodes[1:3]}


@needs_citus
@pytest.mark.citus
def test_nobody_enters_without_the_password(cluster: LocalCluster) -> None:
    for node in cluster.nodes:
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(host="127.0.0.1", port=node.port, user="postgres", dbname="postgres", password="guessed")
    for path in (cluster.place.folder / "password", cluster.place.folder / "pgpass"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@needs_citus
@pytest.mark.citus
def test_a_killed_node_is_gone_and_comes_back_with_its_rows(cluster: LocalCluster) -> None:
    worker = cluster.node("worker1")
    before = processes(worker)
    cluster.kill(worker)
    assert worker.pid is None and not cluster.running()
    assert {local_cluster._state(pid) for pid in before} <= {None, "Z"}
    with pytest.raises(psycopg.OperationalError):
        count(cluster)
    cluster.restart(worker)
    assert count(cluster) == 100


@needs_citus
@pytest.mark.citus
def test_a_frozen_node_does_not_answer_until_it_is_thawed(cluster: LocalCluster) -> None:
    worker = cluster.node("worker2")
    cluster.freeze(worker)
    try:
        states = {local_cluster._state(pid) for pid in processes(worker)}
        with pytest.raises(psycopg.OperationalError):
            count(cluster)
    finally:
        cluster.thaw(worker)
    assert "T" in states and states <= {"T", "Z"}
    assert count(cluster) == 100


@needs_citus
@pytest.mark.citus
def test_a_further_node_waits_to_be_registered(cluster: LocalCluster) -> None:
    with cluster.connect() as connection:
        before = connection.execute("SELECT count(*) FROM pg_dist_node").fetchone()
        node = cluster.add_node()
        assert connection.execute("SELECT count(*) FROM pg_dist_node").fetchone() == before
        connection.execute("SELECT citus_add_node(%s, %s)", ["127.0.0.1", node.port])
        assert connection.execute("SELECT count(*) FROM pg_dist_placement").fetchone() == (2,)
        connection.execute("SELECT citus_remove_node(%s, %s)", ["127.0.0.1", node.port])


@needs_citus
@pytest.mark.citus
def test_it_keeps_its_ports_and_rows_over_a_stop_also_of_a_frozen_node(cluster: LocalCluster) -> None:
    ports = {node.name: node.port for node in cluster.nodes}
    cluster.freeze(cluster.node("worker1"))
    cluster.stop()
    assert not any(node.pid for node in cluster.nodes)
    again = LocalCluster(cluster.place.home)
    again.start()
    assert {node.name: node.port for node in again.nodes} == ports
    assert count(cluster) == 100


@needs_citus
@pytest.mark.citus
def test_one_node_has_the_shards_itself_and_leaves_nothing(tmp_path: Path) -> None:
    with LocalCluster(tmp_path / "cluster", workers=0) as cluster:
        with cluster.connect() as connection:
            connection.execute("CREATE TABLE counted (bucket integer)")
            connection.execute("SELECT create_distributed_table('counted', 'bucket', shard_count => 2)")
        folder, left = cluster.place.folder, processes(cluster.coordinator)
    deadline = time.monotonic() + 10
    while {local_cluster._state(pid) for pid in left} - {None, "Z"} and time.monotonic() < deadline:
        time.sleep(0.05)
    assert {local_cluster._state(pid) for pid in left} <= {None, "Z"}
    assert not folder.exists() and os.listdir(tmp_path) == []


@needs_citus
@pytest.mark.citus
def test_a_port_that_is_taken_is_told_and_nothing_is_left(cluster: LocalCluster, tmp_path: Path) -> None:
    taken = cluster.coordinator.port
    with (
        pytest.raises(PostgresError, match=f"{taken} of the coordinator .* CLUSTER_PORT"),
        LocalCluster(tmp_path / "cluster", workers=0, base_port=taken),
    ):
        pass
    assert os.listdir(tmp_path) == []


def test_without_citus_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PG_BIN", str(tmp_path))
    local_cluster._citus_programs.cache_clear()
    try:
        with pytest.raises(postgres_programs.NoPrograms, match=r"docs\.citusdata\.com"):
            LocalCluster(tmp_path / "var" / "cluster").start()
    finally:
        local_cluster._citus_programs.cache_clear()
    assert not (tmp_path / "var").exists()
