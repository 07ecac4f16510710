from __future__ import annotations

from typing import Any

import pytest

from accounts.tokens import scope_of
from audit.interactions import INTERACTION_NUMBER
from audit.models import AuditRecord
from fhir.exceptions import Unauthenticated


@pytest.mark.parametrize("by", ["access", "refresh"])
def test_logout_ends_the_session_of_either_token(log_in: Any, post: Any, by: str) -> None:
    pair, other = log_in(), log_in()
    header = f"Bearer {pair['access']}"
    scope_of(header)
    sent = {"HTTP_AUTHORIZATION": header} if by == "access" else {"data": {"refresh": pair["refresh"]}}
    answer = post("logout", **sent)
    assert (answer.status_code, answer.content) == (204, b"")
    with pytest.raises(Unauthenticated):
        scope_of(header)
    assert post("refresh", {"refresh": pair["refresh"]}).status_code == 401
    assert scope_of(f"Bearer {other['access']}")
    (row,) = AuditRecord.objects.filter(interaction=INTERACTION_NUMBER["logout"])
    assert (row.username, row.outcome) == ("alba", 0)


def test_logout_of_nobody_is_refused(db: None, post: Any) -> None:
    for sent in ({}, {"HTTP_AUTHORIZATION": "Bearer x"}, {"data": {"refresh": "x"}}):
        answer = post("logout", **sent)
        assert answer.status_code == 401
        assert answer["WWW-Authenticate"].startswith("Bearer")
        assert answer.json()["error_description"]


def test_a_second_logout_is_refused(log_in: Any, post: Any) -> None:
    header = f"Bearer {log_in()['access']}"
    assert post("logout", HTTP_AUTHORIZATION=header).status_code == 204
    assert post("logout", HTTP_AUTHORIZATION=header).status_code == 401
