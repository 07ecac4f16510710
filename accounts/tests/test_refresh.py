from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from rest_framework_simplejwt.tokens import RefreshToken

from accounts.models import LoginSession, User
from accounts.tokens import scope_of
from audit.interactions import INTERACTION_NUMBER
from audit.models import AuditRecord
from fhir.exceptions import Unauthenticated


def refreshes() -> list[tuple[int, str]]:
    rows = AuditRecord.objects.filter(interaction=INTERACTION_NUMBER["refresh"]).order_by("at", "id")
    return [(row.status, row.username) for row in rows]


def test_a_refresh_token_gives_a_new_pair(log_in: Any, post: Any) -> None:
    first = log_in()
    answer = post("refresh", {"refresh": first["refresh"]})
    assert answer.status_code == 200
    second = answer.json()
    assert second["refresh"] != first["refresh"]
    assert scope_of(f"Bearer {second['access']}").username == "alba"
    assert post("refresh", {"refresh": second["refresh"]}).status_code == 200
    assert refreshes() == [(200, "alba"), (200, "alba")]
    assert LoginSession.objects.count() == 1


def test_a_refresh_token_used_twice_closes_the_session(log_in: Any, post: Any) -> None:
    first, other = log_in(), log_in()
    second = post("refresh", {"refresh": first["refresh"]}).json()
    assert scope_of(f"Bearer {second['access']}")
    assert post("refresh", {"refresh": first["refresh"]}).status_code == 401
    assert post("refresh", {"refresh": second["refresh"]}).status_code == 401
    for access in (first["access"], second["access"]):
        with pytest.raises(Unauthenticated):
            scope_of(f"Bearer {access}")
    assert scope_of(f"Bearer {other['access']}").username == "alba"
    assert refreshes() == [(200, "alba"), (401, "alba"), (401, "")]


def test_tokens_that_are_no_refresh_tokens_are_refused(log_in: Any, post: Any) -> None:
    pair = log_in()
    for token in (pair["access"], "x", "a.b.c", pair["refresh"][:-2]):
        answer = post("refresh", {"refresh": token})
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_grant")
    assert post("refresh", {}).status_code == 400


def test_an_expired_refresh_token_is_refused(log_in: Any, post: Any) -> None:
    token = RefreshToken(log_in()["refresh"])
    token.set_exp(lifetime=-timedelta(seconds=1))
    assert post("refresh", {"refresh": str(token)}).status_code == 401


def test_a_new_password_and_a_closed_account_end_refreshing(user: User, log_in: Any, post: Any) -> None:
    pair = log_in()
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert post("refresh", {"refresh": pair["refresh"]}).status_code == 401
    User.objects.filter(pk=user.pk).update(is_active=True)
    user.set_password("another one entirely")
    user.save(update_fields=["password"])
    assert post("refresh", {"refresh": pair["refresh"]}).status_code == 401


def test_sessions_that_are_over_are_cleared_away_at_the_next_login(user: User, log_in: Any) -> None:
    log_in()
    LoginSession.objects.update(expires_at="2020-01-01T00:00:00Z")
    log_in()
    assert LoginSession.objects.filter(user=user).count() == 1
