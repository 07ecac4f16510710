"""The servers that layouts are measured on: given ones, or our own of one PostgreSQL that has Citus."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from clinical_records.local_cluster import LocalCluster

from .layout_report import CLUSTER, ONE_NODE, PLAIN
from .layouts import Server

SHARDS = 8
# A layout's DATABASE_URL in the environment, and what its LocalCluster has: workers, the database.
VARIABLES = {PLAIN: "BENCH_PLAIN_URL", ONE_NODE: "BENCH_ONE_NODE_URL", CLUSTER: "BENCH_CLUSTER_URL"}
_WORKERS = {PLAIN: 0, ONE_NODE: 0, CLUSTER: 2}


@contextmanager
def servers(names: Sequence[str], shard_counts: Sequence[int] = (SHARDS,)) -> Iterator[list[Server]]:
    """A Server for each name, and more of the cluster for each further number of shards.

    Without a URL in the environment it is started, with real durability, and removed in the end. Raises NoPrograms
    where there is no PostgreSQL with Citus.
    """
    home = Path(tempfile.mkdtemp(prefix="clinical-records-layouts-"))
    try:
        with ExitStack() as stack:
            made = [Server(name, _url(name, home, stack), shard_counts[0]) for name in names]
            further = [
                Server(f"{CLUSTER}, {count} shards", server.url, count)
                for server in made if server.name == CLUSTER
                for count in shard_counts[1:]
            ]  # fmt: skip
            yield [*made, *further]
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _url(name: str, home: Path, stack: ExitStack) -> str:
    given = os.environ.get(VARIABLES[name])
    if given:
        return given
    cluster = LocalCluster(home / f"workers{_WORKERS[name]}-{name == PLAIN}", workers=_WORKERS[name], durable=True)
    stack.callback(cluster.remove)
    cluster.start()
    # The same server with the extension in none of its databases but one: plain PostgreSQL in all others.
    return cluster.url if name != PLAIN else cluster.url.rpartition("/")[0] + "/postgres"
