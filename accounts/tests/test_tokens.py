from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import jwt
import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from rest_framework_simplejwt.tokens import AccessToken

from accounts import tokens
from accounts.models import User
from accounts.tokens import scope_of
from fhir.exceptions import Unauthenticated, Unavailable


def later(monkeypatch: Any, seconds: float) -> None:
    now = time.time() + seconds
    monkeypatch.setattr(tokens.time, "time", lambda: now)


def refusal(header: str) -> Unauthenticated:
    with pytest.raises(Unauthenticated) as refused:
        scope_of(header)
    return refused.value


def test_no_header_is_a_challenge_without_an_error() -> None:
    assert refusal("").headers == {"WWW-Authenticate": 'Bearer realm="fhir"'}


@pytest.mark.parametrize("header", ["Basic YWxiYTp4", "Bearer", "Bearer ", "Token x"])
def test_other_schemes_are_refused(header: str) -> None:
    assert 'error="invalid_request"' in refusal(header).headers["WWW-Authenticate"]


def test_forged_tokens_are_refused(log_in: Any) -> None:
    pair = log_in()
    claims = jwt.decode(pair["access"], options={"verify_signature": False})
    expired = AccessToken(pair["access"])
    expired.set_exp(lifetime=-timedelta(seconds=1))
    without_session = AccessToken(pair["access"])
    del without_session["sid"]
    odd_session = AccessToken(pair["access"])
    odd_session["sid"] = 5
    forged = [
        "garbage",
        "a.b.c",
        pair["refresh"],
        pair["access"][:-3] + "abc",
        jwt.encode(claims, "", algorithm="none"),
        jwt.encode(claims, "another key of thirty-two bytes or so", algorithm="HS256"),
        str(expired),
        str(without_session),
        str(odd_session),
    ]
    for token in forged:
        assert 'error="invalid_token"' in refusal(f"Bearer {token}").headers["WWW-Authenticate"]
    assert scope_of(f"bearer {pair['access']}").username == "alba"


def test_a_remembered_token_asks_nothing(log_in: Any) -> None:
    header = f"Bearer {log_in()['access']}"
    first = scope_of(header)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert scope_of(header) is first
    assert len(queries) == 0


def test_what_is_remembered_is_asked_again_in_one_query(log_in: Any, monkeypatch: Any) -> None:
    header = f"Bearer {log_in()['access']}"
    scope_of(header)
    later(monkeypatch, tokens.RECHECK_SECONDS + 1)
    with CaptureQueriesContext(connection) as queries:
        assert scope_of(header).username == "alba"
    assert len(queries) == 1
    with CaptureQueriesContext(connection) as queries:
        scope_of(header)
    assert len(queries) == 0


def test_a_remembered_token_expires(log_in: Any, monkeypatch: Any) -> None:
    header = f"Bearer {log_in()['access']}"
    scope_of(header)
    later(monkeypatch, 15 * 60 + 1)
    assert refusal(header)


@pytest.mark.parametrize("change", [{"is_active": False}, {"password": "!"}])
def test_changes_made_elsewhere_count_after_the_recheck(
    user: User, log_in: Any, monkeypatch: Any, change: dict[str, Any]
) -> None:
    header = f"Bearer {log_in()['access']}"
    scope_of(header)
    User.objects.filter(pk=user.pk).update(**change)
    later(monkeypatch, tokens.RECHECK_SECONDS + 0.1)
    assert refusal(header)


def test_changes_made_here_count_at_once(user: User, log_in: Any, django_capture_on_commit_callbacks: Any) -> None:
    header = f"Bearer {log_in()['access']}"
    assert scope_of(header).allows("Observation", "c")
    with django_capture_on_commit_callbacks(execute=True):
        user.role = "auditor"
        user.save()
    assert not scope_of(header).allows("Observation", "c")
    with django_capture_on_commit_callbacks(execute=True):
        user.set_password("something else altogether")
        user.save()
    assert refusal(header)


def test_what_is_remembered_is_bounded(log_in: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(tokens, "REMEMBERED_TOKENS", 3)
    headers = [f"Bearer {log_in()['access']}" for _ in range(5)]
    for header in headers:
        scope_of(header)
    assert list(tokens._remembered) == headers[2:]
    assert scope_of(headers[0]).username == "alba"


def test_when_nobody_can_be_asked_the_answer_is_come_back_later(log_in: Any, monkeypatch: Any) -> None:
    header = f"Bearer {log_in()['access']}"

    def gone(_session_id: Any) -> None:
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(tokens, "_find_session", gone)
    with pytest.raises(Unavailable) as refused:
        scope_of(header)
    assert refused.value.headers["Retry-After"]
    assert "server closed" not in str(refused.value)
