"""The tests' cluster and their fixtures.

The FHIR code sends its own BEGIN and COMMIT, so its tests do not run inside a transaction of Django: they take
`database`, write data of their own, and leave it; the few that count rows take `clean_database`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection, connections
from django.test.utils import setup_databases, teardown_databases
from psycopg import sql

from clinical_records import embedded_postgres, postgres_server
from clinical_records.env import envbool
from clinical_records.testing import ApiClient, GunicornServer
from fhir import citus

KEPT_TABLES = ("django_", "auth_", "accounts_", "auditlog_")


def pytest_configure(config: pytest.Config) -> None:
    """Start the tests' cluster, once for the run and its workers, unless a DATABASE_URL is given."""
    if settings.DATABASE_URL:
        return
    if config.option.collectonly or config.option.help:
        return
    config.stash[_SERVER] = embedded_postgres.start(settings.EMBEDDED_POSTGRES, durable=False)
    _drop_leftovers(config.stash[_SERVER])


def _drop_leftovers(server: embedded_postgres.Server) -> None:
    """Drop the databases of test runs that were killed: each is named after its process."""
    with psycopg.connect(server.dsn(), autocommit=True) as connected:
        for (name,) in connected.execute("select datname from pg_database"):
            process = name.removeprefix(settings.TEST_DATABASE_PREFIX).partition("_")[0]
            ours = name.startswith(settings.TEST_DATABASE_PREFIX) and process.isdigit()
            if ours and not postgres_server.exists(int(process)):
                drop = sql.SQL("drop database if exists {} with (force)")
                connected.execute(drop.format(sql.Identifier(name)))


def pytest_unconfigure(config: pytest.Config) -> None:
    """The last user of the cluster stops it; its data stay for the next run."""
    server = config.stash.get(_SERVER, None)
    if server is not None:
        server.stop()


_SERVER = pytest.StashKey[embedded_postgres.Server]()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of large test data, which is no part of the repository; the test is skipped without it."""
    folder = Path(os.environ.get("FHIR_SHARED") or Path(settings.BASE_DIR).parent / "shared")
    if not folder.is_dir():
        pytest.skip(f"there is no {folder} (set FHIR_SHARED)")
    return folder


@pytest.fixture(scope="session")
def django_db_setup(
    request: pytest.FixtureRequest,
    django_test_environment: None,
    django_db_blocker: Any,
    django_db_modify_db_settings: None,
) -> Iterator[None]:
    """The test database; pytest-django's own makes one only for tests that ask for it with its marker."""
    with django_db_blocker.unblock():
        made = setup_databases(verbosity=0, interactive=False, aliases={"default"}, serialized_aliases=set())
        distributed = citus.distributed()
    try:
        if envbool("EXPECT_CITUS") and not distributed:
            pytest.fail("EXPECT_CITUS is set, but the tables of the test database are not distributed", pytrace=False)
        yield
    finally:
        with django_db_blocker.unblock():
            connections.close_all()
            teardown_databases(made, verbosity=0)


@pytest.fixture
def database(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The database, migrated, without a transaction around the test; what the test writes stays."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture
def clean_database(database: None) -> None:
    """The database with no FHIR resource and no audit row in it."""
    names = [name for name in connection.introspection.table_names() if not name.startswith(KEPT_TABLES)]
    if names:
        with connection.cursor() as cursor:
            cursor.execute(f"truncate {', '.join(map(connection.ops.quote_name, names))}")


@pytest.fixture
def api(database: None) -> Iterator[Callable[..., ApiClient]]:
    """`api(role="administrator", fhir_user="")` is a client of this server, in process, logged in as such a user."""
    clients: list[ApiClient] = []

    def make(role: str = "administrator", **about: Any) -> ApiClient:
        clients.append(ApiClient.logged_in(role=role, **about))
        return clients[-1]

    yield make


@pytest.fixture(scope="session")
def live_server_url(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real gunicorn on the test database."""
    with GunicornServer(tmp_path_factory.mktemp("gunicorn")) as server:
        yield server.url
