"""/health says whether the server can answer; /health/live never asks the database."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from django.db import connection
from django.test import Client

from clinical_records import __version__
from fhir import citus


@pytest.fixture
def no_database(monkeypatch: pytest.MonkeyPatch, database: None) -> Iterator[None]:
    """A database that is gone: connections are refused."""
    connection.close()

    def refuse(*args: object, **kwargs: object) -> None:
        raise psycopg.OperationalError("connection refused by 10.1.2.3")

    with monkeypatch.context() as patch:
        patch.setattr("psycopg.Connection.connect", refuse)
        patch.setattr(connection.Database, "connect", refuse)
        yield
    connection.close()


@pytest.mark.parametrize("path", ["/health", "/health/ready"])
def test_ready(client: Client, database: None, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    told = answer.json()
    nodes = told.pop("nodes", None)
    assert told == {"status": "ok", "database": "ok", "version": __version__}
    assert (nodes is not None) == citus.has_citus(connection)
    assert nodes is None or nodes["answering"] == nodes["registered"] > 0


@pytest.mark.parametrize("path", ["/health", "/health/ready"])
def test_not_ready_without_a_database(client: Client, no_database: None, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 503
    assert answer.json()["status"] == "unavailable"
    assert answer.headers["Retry-After"] == "5"
    assert "10.1.2.3" not in answer.content.decode()


def test_alive_without_a_database(client: Client) -> None:
    """pytest-django blocks the database here: a question would raise."""
    assert client.get("/health/live").json() == {"status": "ok"}


def test_it_comes_back_with_the_database(client: Client, database: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("select pg_backend_pid()")
        (backend,) = cursor.fetchone()
    with psycopg.connect(**{**connection.get_connection_params(), "dbname": "postgres"}, autocommit=True) as other:
        other.execute("select pg_terminate_backend(%s)", [backend])
    try:
        statuses = [client.get("/health").status_code for _ in range(3)]
    finally:
        connection.close()
    assert statuses[-1] == 200
    assert statuses.count(503) <= 1


def test_only_safe_methods(client: Client) -> None:
    assert client.head("/health/live").status_code == 200
    assert client.post("/health/live").status_code == 405
