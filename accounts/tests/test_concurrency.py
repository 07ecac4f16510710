"""Several clients at the same moment, on real connections that commit; what they leave behind is removed by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client

from accounts import throttle
from accounts.models import LoginFailures, LoginSession, Role, User

from .conftest import PASSWORD

CLIENTS = 8


@pytest.fixture
def committed_user(django_db_setup: None, django_db_blocker: Any) -> Iterator[User]:
    with django_db_blocker.unblock():
        user = User.objects.create_user(f"alba-{uuid4()}", password=PASSWORD, role=Role.PRACTITIONER)
        yield user
        LoginFailures.objects.all().delete()
        user.delete()
        connection.close()


def at_once(send: Callable[[], Any]) -> list[Any]:
    """The answers to `send` from CLIENTS threads that start together."""
    together = Barrier(CLIENTS)

    def run(_number: int) -> Any:
        together.wait()
        try:
            return send()
        finally:
            connection.close()

    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(run, range(CLIENTS)))


def post(what: str, data: dict[str, str]) -> Any:
    return Client().post(f"/auth/{what}", data, content_type="application/json")


def test_of_many_refreshes_with_one_token_one_wins_and_the_session_is_closed(committed_user: User) -> None:
    pair = post("login", {"username": committed_user.username, "password": PASSWORD}).json()
    answers = at_once(lambda: post("refresh", {"refresh": pair["refresh"]}))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] + [401] * (CLIENTS - 1)
    (session,) = LoginSession.objects.filter(user=committed_user)
    assert session.revoked_at is not None
    (winner,) = [answer.json() for answer in answers if answer.status_code == 200]
    assert post("refresh", {"refresh": winner["refresh"]}).status_code == 401


def test_failures_at_the_same_moment_are_all_counted(committed_user: User) -> None:
    wrong = {"username": committed_user.username, "password": "wrong"}
    assert {answer.status_code for answer in at_once(lambda: post("login", wrong))} == {401}
    (row,) = LoginFailures.objects.filter(key=throttle._key(committed_user.username, "127.0.0.1"))
    assert row.failures == CLIENTS


def test_logins_at_the_same_moment_all_succeed(committed_user: User) -> None:
    right = {"username": committed_user.username, "password": PASSWORD}
    assert [answer.status_code for answer in at_once(lambda: post("login", right))] == [200] * CLIENTS
    assert LoginSession.objects.filter(user=committed_user).count() == CLIENTS
