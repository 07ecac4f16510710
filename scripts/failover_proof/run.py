"""The scenarios in order, each on the cluster that it needs; what a machine lacks is said, not passed over."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from clinical_records.local_cluster import LocalCluster
from clinical_records.postgres_programs import NoPrograms

from . import database, report, scenarios
from .patroni import PatroniCluster
from .scenarios import Result
from .stage import Cluster, Stage


class Run:
    """One run of the proof with the options of the command line."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.report = report.Report(report.machine())
        self.report.about |= {"seed": str(options.seed), "clients of each worker": str(2 * options.clients)}

    def local(self, names: Sequence[str]) -> None:
        """The scenarios without Patroni, one after the other on one cluster."""
        say("A coordinator and two workers start …")
        with _folder(self.options.logs) as home, _folder(self.options.logs) as server_home:
            cluster = LocalCluster(home / "cluster", durable=True)
            try:
                cluster.start()
                with self._stage(cluster, server_home) as stage:
                    for name in names:
                        say(f"Scenario {name} …")
                        self.report.results.append(self._local(name, stage, cluster))
            except NoPrograms as error:
                self._skip(names, str(error))
            finally:
                cluster.remove()

    def _local(self, name: str, stage: Stage, cluster: LocalCluster) -> Result:
        if name == "a":
            return scenarios.dead_worker(stage, cluster, self.options.dead)
        if name == "b":
            return scenarios.frozen_worker(stage, cluster, self.options.frozen)
        return scenarios.rebalance(stage, cluster)

    def patroni(self, names: Sequence[str]) -> None:
        """The scenarios under Patroni, one after the other on one cluster."""
        missing = [name for name in ("etcd", "patroni") if getattr(self.options, name) is None]
        if missing:
            self._skip(names, f"{' and '.join(missing)} not found (deploy/patroni/README.md)")
            return
        say("Three groups of two members start under Patroni …")
        etcd, patroni = Path(self.options.etcd).absolute(), Path(self.options.patroni).absolute()
        with _folder(self.options.logs) as home, _folder(self.options.logs) as server_home:
            try:
                with (
                    PatroniCluster(home, etcd=etcd, patroni=patroni, first_port=self.options.first_port) as cluster,
                    self._stage(cluster, server_home) as stage,
                ):
                    self.report.about["Patroni"] = cluster.version
                    for name in names:
                        say(f"Scenario {name} …")
                        group = scenarios.VICTIM if name == "c" else 0
                        self.report.results.append(scenarios.failover(stage, cluster, name, group))
            except NoPrograms as error:
                self._skip(names, str(error))

    @contextmanager
    def _stage(self, cluster: Cluster, home: Path) -> Iterator[Stage]:
        options = self.options
        with cluster.connect() as connection:
            self.report.about |= database.versions(connection)
        with Stage(cluster, home, seed=options.seed, clients=options.clients, background=options.background) as stage:
            yield stage

    def _skip(self, names: Sequence[str], reason: str) -> None:
        self.report.skipped.update(dict.fromkeys(names, reason))


@contextmanager
def _folder(logs: Path | None = None) -> Iterator[Path]:
    """A folder that goes away in the end; what it has of logs is copied to `logs` before."""
    folder = Path(tempfile.mkdtemp(prefix="failover-proof-"))
    try:
        yield folder
    finally:
        for log in folder.rglob("*.log") if logs else ():
            assert logs is not None
            logs.mkdir(parents=True, exist_ok=True)
            shutil.copy(log, logs / "-".join(log.relative_to(folder).parts))
        shutil.rmtree(folder, ignore_errors=True)


def say(text: str) -> None:
    """Progress, apart from the result."""
    print(text, file=sys.stderr, flush=True)
