from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.hashers import get_hasher
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts import throttle
from accounts.models import LoginFailures, LoginSession, User
from accounts.tokens import scope_of
from audit import recorder
from audit.interactions import INTERACTION_NUMBER
from audit.models import AuditRecord

from .conftest import PASSWORD

FORM = "application/x-www-form-urlencoded"


def logins() -> list[AuditRecord]:
    return list(AuditRecord.objects.filter(interaction=INTERACTION_NUMBER["login"]).order_by("at", "id"))


def test_json_login_gives_a_pair_of_tokens(user: User, post: Any) -> None:
    answer = post("login", {"username": "alba", "password": PASSWORD})
    assert answer.status_code == 200
    body = answer.json()
    assert body["token_type"] == "Bearer"
    assert body["expires_in"] == 900
    assert body["user"] == {
        "username": "alba",
        "full_name": "Alba Ruiz",
        "role": "practitioner",
        "fhir_user": "Practitioner/alba",
    }
    assert answer["Cache-Control"] == "no-store"
    scope = scope_of(f"Bearer {body['access']}")
    assert (scope.user_id, scope.username, scope.role) == (str(user.pk), "alba", "practitioner")


def test_form_logins_give_tokens(user: User, post: Any) -> None:
    encoded = post("login", f"username=alba&password={PASSWORD.replace(' ', '+')}", content_type=FORM)
    assert encoded.status_code == 200
    multipart = Client().post("/auth/login", {"username": "alba", "password": PASSWORD})
    assert multipart.status_code == 200
    assert multipart.json()["refresh"] != encoded.json()["refresh"]


def test_login_needs_no_csrf_token(user: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    assert strict.post("/auth/login", {"username": "alba", "password": PASSWORD}).status_code == 200


def test_wrong_password_unknown_and_inactive_user_answer_alike(user: User, make_user: Any, post: Any) -> None:
    make_user("bruno", is_active=False)
    pairs = [("alba", "wrong"), ("nobody", PASSWORD), ("bruno", PASSWORD)]
    answers = [post("login", {"username": name, "password": password}) for name, password in pairs]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert answers[0]["WWW-Authenticate"].startswith("Bearer")
    assert not LoginSession.objects.exists()


def test_unknown_users_cost_one_password_hash_too(user: User, post: Any, monkeypatch: Any) -> None:
    hasher = type(get_hasher())
    encode, hashed = hasher.encode, []
    monkeypatch.setattr(hasher, "encode", lambda self, *args: hashed.append(1) or encode(self, *args))
    costs = {}
    for name in ("nobody", "alba"):
        hashed.clear()
        assert post("login", {"username": name, "password": "wrong"}).status_code == 401
        costs[name] = len(hashed)
    assert costs["nobody"] == costs["alba"] >= 1


@pytest.mark.parametrize(
    ("language", "words", "code"),
    [("es", "contraseña", "es"), ("es-CO,es;q=0.9", "contraseña", "es"), ("en", "password", "en"), ("fr", None, "es")],
)
def test_errors_are_in_the_language_of_the_caller(db: None, post: Any, language: str, words: str, code: str) -> None:
    answer = post("login", {"username": "nobody", "password": "x"}, HTTP_ACCEPT_LANGUAGE=language)
    assert answer["Content-Language"] == code
    assert answer.json()["error"] == "invalid_grant"
    assert words is None or words in answer.json()["error_description"]


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{}", "application/json", 400),
        (b'{"username": "alba"}', "application/json", 400),
        (b'{"username": "alba", "password": 5}', "application/json", 400),
        (b"[1]", "application/json", 400),
        (b"{", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b'{"username": "al\\u0000ba", "password": "x"}', "application/json", 400),
        (b'{"username": "al\\ud800ba", "password": "x"}', "application/json", 400),
        (b"username=al%00ba&password=x", FORM, 400),
        (b"<a/>", "application/xml", 415),
        (b"x" * 20_000, "application/json", 413),
    ],
)
def test_bad_bodies_are_refused(db: None, post: Any, body: bytes, content_type: str, status: int) -> None:
    answer = post("login", body, content_type=content_type)
    assert answer.status_code == status
    assert answer.json()["error"] == "invalid_request"
    assert answer.json()["error_description"]


def test_only_post(client: Client) -> None:
    answer = client.get("/auth/login")
    assert (answer.status_code, answer["Allow"]) == (405, "POST")


def test_logins_are_audited(user: User, post: Any) -> None:
    post("login", {"username": "alba", "password": PASSWORD}, REMOTE_ADDR="192.0.2.7")
    (row,) = logins()
    assert (row.user_id, row.username, row.role) == (str(user.pk), "alba", "practitioner")
    assert (row.outcome, row.status, row.client) == (0, 200, "192.0.2.7")


def test_failures_are_audited_without_what_was_typed_for_an_unknown_name(user: User, post: Any) -> None:
    post("login", {"username": "alba", "password": "wrong"})
    post("login", {"username": "my-secret-password", "password": "wrong"})
    known, unknown = logins()
    assert (known.username, known.status, known.outcome, known.detail) == ("alba", 401, 4, "wrong password")
    assert (unknown.username, unknown.user_id, unknown.detail) == ("", "", "unknown account")


def test_a_login_that_cannot_be_audited_does_not_happen(user: User, post: Any, monkeypatch: Any) -> None:
    def full_disk(*_args: Any) -> None:
        raise OperationalError("could not extend file")

    monkeypatch.setattr(recorder, "insert", full_disk)
    answer = post("login", {"username": "alba", "password": PASSWORD})
    assert answer.status_code == 503
    assert answer["Retry-After"]
    assert "extend" not in answer.content.decode()
    assert not LoginSession.objects.exists()


def test_too_many_failures_close_the_door_for_that_account_and_address(user: User, make_user: Any, post: Any) -> None:
    make_user("bruno")
    wrong, right = {"username": "alba", "password": "wrong"}, {"username": "alba", "password": PASSWORD}
    for _attempt in range(throttle.FAILURE_LIMIT):
        assert post("login", wrong).status_code == 401
    answer = post("login", right)
    assert answer.status_code == 429
    assert 0 < int(answer["Retry-After"]) <= throttle.WINDOW.total_seconds() + 1
    assert logins()[-1].status == 429
    assert post("login", right, REMOTE_ADDR="192.0.2.9").status_code == 200
    assert post("login", {"username": "bruno", "password": PASSWORD}).status_code == 200


def test_unknown_accounts_are_throttled_too(db: None, post: Any) -> None:
    statuses = [post("login", {"username": "nobody", "password": "x"}).status_code for _ in range(12)]
    assert statuses == [401] * throttle.FAILURE_LIMIT + [429] * (12 - throttle.FAILURE_LIMIT)


def test_the_right_password_and_the_end_of_the_window_reset_the_count(user: User, post: Any, monkeypatch: Any) -> None:
    wrong, right = {"username": "alba", "password": "wrong"}, {"username": "alba", "password": PASSWORD}
    for _attempt in range(throttle.FAILURE_LIMIT - 1):
        post("login", wrong)
    assert post("login", right).status_code == 200
    for _attempt in range(throttle.FAILURE_LIMIT):
        assert post("login", wrong).status_code == 401
    assert post("login", right).status_code == 429
    monkeypatch.setattr(throttle, "WINDOW", throttle.WINDOW * 0)
    assert post("login", right).status_code == 200


def test_behind_a_trusted_proxy_the_address_is_the_one_that_the_proxy_saw(user: User, post: Any, settings: Any) -> None:
    forwarded = {"HTTP_X_FORWARDED_FOR": "198.51.100.1, 203.0.113.5"}
    post("login", {"username": "alba", "password": PASSWORD}, **forwarded)
    settings.TRUST_PROXY = True
    post("login", {"username": "alba", "password": PASSWORD}, **forwarded)
    assert [row.client for row in logins()] == ["127.0.0.1", "203.0.113.5"]


def test_windows_that_are_over_are_cleared_away_at_the_next_failure(db: None, post: Any) -> None:
    LoginFailures.objects.create(key="old", failures=3, window_started="2020-01-01T00:00:00Z")
    with CaptureQueriesContext(connection) as queries:
        post("login", {"username": "nobody", "password": "x"})
    assert LoginFailures.objects.count() == 1
    assert not LoginFailures.objects.filter(key="old").exists()
    assert any("SKIP LOCKED" in query["sql"] for query in queries)
