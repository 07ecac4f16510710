"""All tests on a Citus cluster: of three local nodes that last as long as the run, or the one that DATABASE_URL names.

`python scripts/cluster_tests.py -n 2 …`: the arguments are those of pytest. CLUSTER_WORKERS=0 makes one node that has
all the shards, another number so many workers. The run fails where the test database turns
out not to be distributed (EXPECT_CITUS, conftest.py).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from clinical_records import postgres_server  # noqa: E402
from clinical_records.env import envint  # noqa: E402
from clinical_records.local_cluster import LocalCluster  # noqa: E402
from clinical_records.postgres_programs import NoPrograms  # noqa: E402
from clinical_records.postgres_server import PostgresError  # noqa: E402


def main(arguments: list[str]) -> int:
    """The status of pytest; 1 where there is no cluster to be had."""
    if os.environ.get("DATABASE_URL"):
        return tests(arguments, os.environ["DATABASE_URL"])
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # so that the cluster ends with us
    clusters = Path(os.environ.get("CLINICAL_RECORDS_VAR") or PROJECT / "var").absolute() / "test-clusters"
    try:
        remove_leftovers(clusters)
        with LocalCluster(clusters / str(os.getpid()), workers=envint("CLUSTER_WORKERS", 2, maximum=32)) as cluster:
            return tests(arguments, cluster.url)
    except (PostgresError, NoPrograms) as error:
        print(error, file=sys.stderr)
        return 1


def tests(arguments: list[str], url: str) -> int:
    """Run pytest; it hears of Ctrl-C itself, and of other signals through us."""
    environment = {**os.environ, "DATABASE_URL": url, "EXPECT_CITUS": "1"}
    with subprocess.Popen([sys.executable, "-m", "pytest", *arguments], cwd=PROJECT, env=environment) as run:

        def stop(number: int, frame: FrameType | None) -> None:
            if number != signal.SIGINT:
                run.send_signal(signal.SIGINT)

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, stop)
        return run.wait()


def remove_leftovers(clusters: Path) -> None:
    """Stop and delete the clusters of runs that were killed: each is named after its process."""
    names = {path.name.partition(".")[0] for path in clusters.glob("*")}
    for name in names:
        if name.isdigit() and not postgres_server.exists(int(name)):
            LocalCluster(clusters / name).remove()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
