"""Connections: what is left of one after a failure, and what a failure means to a client."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from uuid import uuid4

import psycopg
import pytest
from django.db import connection
from psycopg import errors

from clinical_records.testing import ApiClient
from fhir import database as trips
from fhir.exceptions import Unavailable
from fhir.models import Content

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def other(database: None) -> Iterator[psycopg.Connection]:
    """A connection beside that of the tests."""
    with psycopg.connect(**connection.get_connection_params(), autocommit=True) as found:
        yield found


def own_backend() -> int:
    return int(trips.fetch("SELECT pg_backend_pid()")[0][0])


def test_a_connection_that_ended_while_it_was_idle_is_replaced(other: psycopg.Connection) -> None:
    other.execute("SELECT pg_terminate_backend(%s::int, 5000)", [own_backend()])
    assert trips.fetch("SELECT 1") == [(1,)]


@pytest.mark.parametrize(
    ("raised", "lost", "undone"),
    [
        (errors.AdminShutdown(), True, True),
        (errors.CannotConnectNow(), True, True),
        (errors.ConnectionFailure(), True, False),
        (errors.DiskFull(), False, False),
        (errors.LockNotAvailable(), False, False),
        (errors.InternalError_("failure on connection marked as essential: a:1"), True, True),
        (errors.InternalError_("could not commit transaction for shard 1 on any active node"), True, False),
        (errors.InternalError_("server closed the connection unexpectedly\n\tThis probably means …"), True, False),
        (errors.InternalError_("postmaster was shut down, exiting"), True, False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_what_errors_of_a_node_mean(database: None, raised: psycopg.Error, lost: bool, undone: bool) -> None:
    found = trips._translated(raised, trips.raw())
    assert isinstance(found, Unavailable)
    assert (found.status, found.lost, found.undone) == (503, lost, undone)
    assert found.headers["Retry-After"] == "5"


def test_of_a_broken_session_nobody_knows_what_was_done(database: None) -> None:
    broken = trips.raw()
    broken.close()
    found = trips._translated(errors.AdminShutdown(), broken)
    assert isinstance(found, Unavailable) and found.lost and not found.undone


def test_a_primary_that_has_become_a_standby_is_left(database: None) -> None:
    before = trips.raw()
    found = trips._translated(errors.ReadOnlySqlTransaction(), before)
    assert isinstance(found, Unavailable) and found.undone
    assert before.closed and trips.fetch("SELECT 1") == [(1,)]


def demoted() -> None:
    """The session is one of a primary that has become a standby; new ones go elsewhere."""
    trips.fetch("SET default_transaction_read_only = on")


@pytest.fixture
def left(database: None) -> Iterator[None]:
    """The session of the test is not that of the next one."""
    yield
    connection.close()


def test_reads_and_writes_go_to_the_new_primary_at_once(api: Callable[..., ApiClient], left: None) -> None:
    client = api()
    demoted()
    made = client.post("Basic", {"resourceType": "Basic", "code": {"text": "x"}})
    assert made.status_code == 201, made.content
    demoted()
    assert client.get(f"Basic/{made.resource()['id']}").status_code == 200
    demoted()
    assert client.post("/auth/login", {"username": "nobody", "password": "x"}, headers=JSON).status_code == 401


def test_of_several_hosts_the_one_that_answers_and_writes_is_taken(database: None) -> None:
    """As a DATABASE_URL of several hosts has it (clinical_records.env.database_url)."""
    other = connection.copy()
    at = other.settings_dict
    host, port = at["HOST"], str(at["PORT"])
    other.settings_dict = {**at, "HOST": f"{host},{host}", "PORT": f"1,{port}"}
    try:
        with other.cursor() as cursor:
            cursor.execute("SHOW transaction_read_only")
            assert cursor.fetchone() == ("off",)
        assert other.settings_dict["OPTIONS"]["target_session_attrs"] == "read-write"
    finally:
        other.close()


class Cut:
    """Ends the session at the moment when a create is sent: before it is stored, or after and before the answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, killer: psycopg.Connection, *, stored: bool) -> None:
        self.times = 0
        send = psycopg.Connection.execute

        def execute(this: psycopg.Connection, query: object, *more: object, **options: object) -> object:
            if "INSERT INTO content" not in str(query):
                return send(this, query, *more, **options)  # type: ignore[arg-type]
            self.times += 1
            if stored:
                send(this, query, *more, **options)  # type: ignore[arg-type]
                if this._pipeline is not None:  # then it is stored with what goes before it
                    this._pipeline.sync()
            killer.execute("SELECT pg_terminate_backend(%s::int, 5000)", [this.info.backend_pid])
            return send(this, "SELECT 1")

        monkeypatch.setattr(psycopg.Connection, "execute", execute)


@pytest.mark.parametrize("stored", [False, True])
def test_a_create_whose_answer_was_lost_is_not_sent_again(
    api: Callable[..., ApiClient], other: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, stored: bool
) -> None:
    """503, for nobody knows: never a 201 that may not be true, never a second record."""
    client, mark = api(), str(uuid4())
    client.get("metadata")
    with monkeypatch.context() as patch:
        cut = Cut(patch, other, stored=stored)
        answer = client.post("Basic", {"resourceType": "Basic", "code": {"text": mark}})
    assert (answer.status_code, cut.times) == (503, 1)
    assert int(answer.headers["Retry-After"]) > 0
    assert Content.objects.filter(body__contains=mark).count() == (1 if stored else 0)
    assert client.post("Basic", {"resourceType": "Basic", "code": {"text": "after"}}).status_code == 201


def test_a_read_whose_connection_broke_is_asked_again(
    api: Callable[..., ApiClient], other: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = api()
    made = client.post("Basic", {"resourceType": "Basic", "code": {"text": "x"}}).resource()["id"]
    send = psycopg.Connection.execute
    times = []

    def execute(this: psycopg.Connection, query: object, *more: object, **options: object) -> object:
        if re.search(r"FROM resource.* content", str(query), re.DOTALL) and not times:
            times.append(1)
            other.execute("SELECT pg_terminate_backend(%s::int, 5000)", [this.info.backend_pid])
        return send(this, query, *more, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(psycopg.Connection, "execute", execute)
    assert client.get(f"Basic/{made}").status_code == 200
    assert times
