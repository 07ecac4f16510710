"""`manage.py shards …` on a cluster of its own: nodes die, freeze, come, go, and change their addresses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from clinical_records import local_cluster
from clinical_records.local_cluster import HOST, LocalCluster, Node
from clinical_records.tests.test_local_cluster import needs_citus

pytestmark = [pytest.mark.citus, needs_citus]

# A node that is frozen costs some seconds; a command that waits for it for ever ends here.
HANGS_SECONDS = 120


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A coordinator and two workers with four shards and some charts."""
    with LocalCluster(tmp_path_factory.mktemp("shards") / "cluster") as cluster:
        manage(cluster, "migrate", "-v", "0")
        manage(cluster, "generate_charts", "--patients", "5", "-v", "0")
        yield cluster


def environment(cluster: LocalCluster) -> dict[str, str]:
    """What a command or a server of the cluster needs to know."""
    return {
        "DATABASE_URL": cluster.url,
        "DJANGO_SETTINGS_MODULE": "clinical_records.settings",
        "SECRET_KEY": "of the tests of a cluster, for nothing else",
        "ALLOWED_HOSTS": "localhost,127.0.0.1",
        "CITUS_SHARD_COUNT": "4",
        "LANG": "en_US.UTF-8",
        "LC_ALL": "en_US.UTF-8",
    }


def manage(cluster: LocalCluster, *arguments: str, status: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
    """The command on the cluster's database; it has to end with this status."""
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=settings.BASE_DIR, env={**os.environ, **environment(cluster), **more},
        capture_output=True, text=True, timeout=HANGS_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == status, f"{done.returncode}: {done.stdout}\n{done.stderr}"
    return done


def shards(cluster: LocalCluster, *arguments: str, status: int = 0) -> dict[str, Any]:
    """What `shards … --json` says."""
    found: dict[str, Any] = json.loads(manage(cluster, "shards", *arguments, "--json", status=status).stdout)
    return found


def refused(cluster: LocalCluster, *arguments: str) -> str:
    """What `shards …` says when it refuses."""
    return manage(cluster, "shards", *arguments, status=1).stderr


def alive(found: dict[str, Any]) -> dict[int, bool]:
    return {node["port"]: node["alive"] for node in found["nodes"]}


def addresses(cluster: LocalCluster) -> dict[int, str]:
    with cluster.connect() as connection:
        rows = connection.execute("SELECT groupid, nodename || ':' || nodeport FROM pg_dist_node").fetchall()
    return {row[0]: row[1] for row in rows}


def sound(cluster: LocalCluster) -> None:
    """All records are where they belong."""
    assert shards(cluster, "verify")["findings"] == {}


@pytest.mark.parametrize("way", ["kill", "freeze"])
def test_status_tells_of_a_node_that_does_not_answer_and_of_all_others(cluster: LocalCluster, way: str) -> None:
    worker = cluster.node("worker1")
    getattr(cluster, way)(worker)
    try:
        found = shards(cluster, "status", status=1)
        said = manage(cluster, "shards", "status", status=1).stdout
    finally:
        cluster.restart(worker)
    assert alive(found) == {node.port: node.port != worker.port for node in cluster.nodes}
    assert len(found["problems"]) == 1
    assert f"!! {HOST}:{worker.port} does not answer" in said
    by_node = {shard["node"]: shard["bytes"] for shard in found["shards"]}
    assert by_node[f"{HOST}:{worker.port}"] is None
    assert by_node[f"{HOST}:{cluster.node('worker2').port}"] > 0
    sound(cluster)


def test_verify_does_not_call_half_of_the_records_sound(cluster: LocalCluster) -> None:
    worker = cluster.node("worker1")
    cluster.kill(worker)
    try:
        assert "CommandError" in refused(cluster, "verify", "--quick")
    finally:
        cluster.restart(worker)


def test_a_worker_comes_takes_shards_gives_them_back_and_goes(cluster: LocalCluster) -> None:
    node = cluster.add_node()
    name = f"{HOST}:{node.port}"
    assert shards(cluster, "add-worker", HOST, str(node.port)) == {
        "node": name, "group": 3, "added": True, "problems": []}  # fmt: skip
    assert shards(cluster, "add-worker", HOST, str(node.port))["added"] is False

    moved = shards(cluster, "rebalance", "--by-count")
    assert moved["rebalance"]["state"] == "finished"
    assert moved["moved"]["shards"] >= 1
    assert moved["moved"]["bytes"] > 0
    assert {task["to"] for task in moved["rebalance"]["tasks"]} == {name}
    assert name in {shard["node"] for shard in shards(cluster, "status")["shards"]}
    sound(cluster)
    assert shards(cluster, "rebalance", "--by-count")["rebalance"] is None

    gone = shards(cluster, "drain", name, "--remove")
    assert (gone["left"], gone["removed"]) == (0, True)
    assert name not in addresses(cluster).values()
    sound(cluster)
    assert shards(cluster, "add-worker", HOST, str(node.port))["added"] is True
    assert shards(cluster, "drain", name)["rebalance"] is None
    assert shards(cluster, "add-worker", HOST, str(node.port))["added"] is False
    assert all(n["should_have_shards"] for n in shards(cluster, "status")["nodes"] if n["port"] == node.port)
    assert shards(cluster, "drain", name, "--remove")["removed"] is True


def test_moves_begun_without_waiting_are_looked_on_by_the_same_command(cluster: LocalCluster) -> None:
    node = cluster.add_node()
    name = f"{HOST}:{node.port}"
    shards(cluster, "add-worker", HOST, str(node.port))
    begun = shards(cluster, "rebalance", "--by-count", "--no-wait")["rebalance"]
    ended = shards(cluster, "rebalance")["rebalance"]
    assert ended is None or (ended["job"], ended["state"]) == (begun["job"], "finished")
    assert shards(cluster, "drain", name, "--remove")["removed"] is True
    sound(cluster)


def test_what_cannot_be_is_refused(cluster: LocalCluster) -> None:
    assert "names no node" in refused(cluster, "drain", "nobody:1")
    assert "cannot be removed" in refused(cluster, "drain", f"{HOST}:{cluster.coordinator.port}", "--remove")
    assert "1 to 1024" in refused(cluster, "resize", "0")
    assert "cannot become a worker" in refused(cluster, "add-worker", HOST, "1")


def test_shards_do_not_move_from_a_node_that_commits_asynchronously(cluster: LocalCluster) -> None:
    """What it has acknowledged last would stay behind."""
    worker = cluster.node("worker2")
    with cluster.connect(worker) as connection:
        connection.execute("ALTER SYSTEM SET synchronous_commit = off")
        connection.execute("SELECT pg_reload_conf()")
    try:
        for command in (("rebalance",), ("drain", f"{HOST}:{worker.port}"), ("resize", "8")):
            assert "synchronous_commit = off" in refused(cluster, *command)
        assert all(n["should_have_shards"] for n in shards(cluster, "status")["nodes"] if n["port"] == worker.port)
    finally:
        with cluster.connect(worker) as connection:
            connection.execute("ALTER SYSTEM RESET synchronous_commit")
            connection.execute("SELECT pg_reload_conf()")


def test_the_number_of_shards_grows_by_splits_and_otherwise_by_a_copy(cluster: LocalCluster) -> None:
    assert shards(cluster, "status")["problems"] == []
    split = shards(cluster, "resize", "8")
    assert (split["before"], split["shards"], split["way"]) == (4, 8, "split")
    sound(cluster)
    assert shards(cluster, "resize", "8")["way"] == "none"
    assert "blocks all writes" in refused(cluster, "resize", "3")
    copied = shards(cluster, "resize", "4", "--yes")
    assert (copied["before"], copied["shards"], copied["way"]) == (8, 4, "copy")
    sound(cluster)


def moved_to(cluster: LocalCluster, places: dict[str, int]) -> None:
    """The workers stop, and run on these ports: by name."""
    for name in places:
        cluster._stop(cluster.node(name), "fast")
    cluster._remember([replace(node, port=places.get(node.name, node.port)) for node in cluster.nodes])
    for name in places:
        cluster._start(cluster.node(name))


def given(cluster: LocalCluster, *nodes: Node) -> list[str]:
    """The options that name these workers as groups 1, 2 …"""
    listed = [("--node", f"{group}={HOST}:{node.port}") for group, node in enumerate(nodes, 1)]
    return ["--node", f"0={HOST}:{cluster.coordinator.port}", *(part for pair in listed for part in pair)]


def test_nodes_are_known_again_at_new_addresses_and_no_other_is_taken_for_them(cluster: LocalCluster) -> None:
    first, second = cluster.node("worker1"), cluster.node("worker2")
    spare = next(p for p in local_cluster._shuffled(local_cluster.FREE_PORTS) if local_cluster._is_free(p))

    def registered(*options: str, status: int = 0) -> list[str]:
        nodes = given(cluster, cluster.node("worker1"), cluster.node("worker2"))
        return [n["change"] for n in shards(cluster, "registered", *nodes, *options, status=status)["nodes"]]

    assert registered() == ["none"] * 3
    moved_to(cluster, {"worker1": spare})
    assert registered() == ["none", "changed", "none"]
    sound(cluster)
    # An address that another worker has now: both at once, and neither by mistake.
    moved_to(cluster, {"worker1": second.port, "worker2": spare})
    swapped = given(cluster, cluster.node("worker2"), cluster.node("worker1"))
    assert "says that it is group" in refused(cluster, "registered", *swapped, "--wait-for", "1")
    assert registered() == ["none", "changed", "changed"]
    sound(cluster)
    moved_to(cluster, {"worker1": first.port, "worker2": second.port})
    assert registered() == ["none", "changed", "changed"]
    assert addresses(cluster) == {
        0: f"{HOST}:{cluster.coordinator.port}", 1: f"{HOST}:{first.port}", 2: f"{HOST}:{second.port}"}  # fmt: skip
    sound(cluster)


def test_an_empty_cluster_is_registered_from_nothing(tmp_path: Path) -> None:
    """As when containers start for the first time: no extension, no nodes, no database on the worker."""
    with LocalCluster(tmp_path / "cluster", workers=1) as cluster:
        with cluster.connect() as connection:
            connection.execute("DROP EXTENSION citus CASCADE")
        with cluster.connect(cluster.node("worker1"), "postgres") as connection:
            connection.execute(f"DROP DATABASE {local_cluster.DATABASE} WITH (FORCE)")
        nodes = given(cluster, cluster.node("worker1"))
        assert [n["change"] for n in shards(cluster, "registered", *nodes)["nodes"]] == ["added", "added"]
        assert [n["change"] for n in shards(cluster, "registered", *nodes)["nodes"]] == ["none", "none"]
        manage(cluster, "migrate", "-v", "0")
        assert shards(cluster, "status")["distributed"] is True
        sound(cluster)
