"""How a session of Django keeps its plans, on plain PostgreSQL, on one node with Citus and on several."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, connections

from clinical_records import local_cluster, postgres_programs
from clinical_records.env import database_url
from clinical_records.local_cluster import LocalCluster
from fhir import citus

try:
    local_cluster._citus_programs()
    MISSING = ""
except postgres_programs.NoPrograms as error:
    MISSING = str(error)

MEMORY = "SELECT sum(used_bytes) FROM pg_backend_memory_contexts"
USES = 100


def mode(at: Any) -> str:
    with at.cursor() as cursor:
        cursor.execute("SHOW plan_cache_mode")
        return str(cursor.fetchone()[0])


def test_a_session_keeps_one_plan_where_nothing_is_distributed(database: None) -> None:
    fresh = connections["default"].copy()
    try:
        if not citus.has_citus(connection):
            assert mode(fresh) == "force_generic_plan"
        else:
            with fresh.cursor() as cursor:
                cursor.execute("SELECT bool_or(shouldhaveshards) FROM pg_dist_node WHERE groupid = 0")
                (own,) = cursor.fetchone()
            assert mode(fresh) == ("force_custom_plan" if own else "auto")
    finally:
        fresh.close()


@pytest.fixture(scope="module")
def one_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with LocalCluster(tmp_path_factory.mktemp("var") / "one", workers=0) as cluster:
        with cluster.connect() as at:
            at.execute("CREATE TABLE counted (bucket integer, id text, PRIMARY KEY (bucket, id))")
            at.execute("SELECT create_distributed_table('counted', 'bucket', shard_count => 2)")
        yield cluster


def growth(at: Any) -> float:
    """Bytes that a session grows by with each use of a statement that has been prepared and used before."""

    def memory(uses: int) -> int:
        for number in range(uses):
            at.execute("SELECT id FROM counted WHERE bucket = %s AND id = %s", (number % 5, str(number)))
        return int(at.execute(MEMORY).fetchone()[0])

    memory(20)
    before = memory(1)
    return (memory(USES) - before) / USES


@pytest.mark.skipif(bool(MISSING), reason=MISSING)
@pytest.mark.citus
def test_on_one_node_a_session_does_not_grow_with_every_request(one_node: LocalCluster, database: None) -> None:
    session = connections["default"].copy()
    session.settings_dict = {**session.settings_dict, **database_url(one_node.url), "OPTIONS": {}}
    session.settings_dict["OPTIONS"] = {"server_side_binding": True, "prepare_threshold": 1}
    session.connect()
    try:
        assert mode(session) == "force_custom_plan"
        assert growth(session.connection) < 100
        session.connection.execute("RESET plan_cache_mode")
        assert growth(session.connection) > 1000, "this Citus finds what it has planned: fhir.apps.plans is needless"
    finally:
        session.close()
