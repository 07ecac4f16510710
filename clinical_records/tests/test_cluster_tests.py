"""`make test-cluster`: its tests run on distributed tables or fail, and its cluster ends with it, however that is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlencode

import pytest
from django.conf import settings
from django.db import connection

from clinical_records.local_cluster import LocalCluster

from .test_local_cluster import needs_citus

ONE_TEST = ["-q", "-p", "no:cacheprovider", "fhir/tests/test_citus_tables.py", "-k", "lie_in_shards"]
SECONDS = 240


def driver(var: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
    """The driver with its clusters in `var`."""
    given = {name: value for name, value in os.environ.items() if not name.startswith(("DATABASE_URL", "PYTEST_"))}
    return subprocess.Popen(
        [sys.executable, "scripts/cluster_tests.py", *arguments],
        cwd=settings.BASE_DIR,
        env={**given, "CLINICAL_RECORDS_VAR": str(var), **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def started(var: Path, process: subprocess.Popen[str]) -> LocalCluster:
    """The cluster of a driver, when all of its nodes run."""
    home = var / "test-clusters" / str(process.pid)
    deadline = time.monotonic() + SECONDS
    while not (cluster := LocalCluster(home)).running():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    return cluster


def databases() -> set[str]:
    """Those that are made by runs whose settings name the database postgres."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", [r"test\_postgres\_%"])
        return {name for (name,) in cursor.fetchall()}


@needs_citus
@pytest.mark.citus
def test_the_tests_run_in_shards_and_the_cluster_goes(tmp_path: Path) -> None:
    run = driver(tmp_path, *ONE_TEST)
    said, _nothing = run.communicate(timeout=SECONDS)
    assert run.returncode == 0 and "1 passed" in said
    assert os.listdir(tmp_path / "test-clusters") == []


@needs_citus
@pytest.mark.citus
def test_a_run_that_is_killed_is_cleaned_up_by_the_next(tmp_path: Path) -> None:
    run = driver(tmp_path)
    left = started(tmp_path, run)
    run.kill()
    run.communicate(timeout=SECONDS)
    assert left.running()
    following = driver(tmp_path, "--version")
    assert following.wait(SECONDS) == 0
    assert not any(node.pid for node in left.nodes)
    assert os.listdir(tmp_path / "test-clusters") == []


@needs_citus
@pytest.mark.citus
def test_a_run_that_is_told_to_end_takes_its_cluster_with_it(tmp_path: Path) -> None:
    run = driver(tmp_path, *ONE_TEST)
    cluster = started(tmp_path, run)
    run.send_signal(signal.SIGTERM)
    run.communicate(timeout=SECONDS)
    assert run.returncode != 0
    assert not any(node.pid for node in cluster.nodes)


def test_a_database_without_shards_fails_the_run(tmp_path: Path, database: None) -> None:
    """The database postgres of any server has no extension, and so has a test database that is made like it."""
    at, before = connection.settings_dict, databases()
    query = {name: at[name.upper()] for name in ("host", "port", "user", "password")}
    run = driver(tmp_path, *ONE_TEST, DATABASE_URL=f"postgres:///postgres?{urlencode(query)}")
    said, _nothing = run.communicate(timeout=SECONDS)
    assert run.returncode != 0 and "not distributed" in said
    assert databases() <= before


def test_without_citus_it_ends_with_one_message(tmp_path: Path) -> None:
    run = driver(tmp_path, PG_BIN=str(tmp_path))
    said, _nothing = run.communicate(timeout=SECONDS)
    assert run.returncode == 1
    assert len(said.splitlines()) == 1 and "docs.citusdata.com" in said
