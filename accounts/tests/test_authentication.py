from __future__ import annotations

from typing import Any

import pytest
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from accounts.authentication import BearerAuthentication
from accounts.scopes import Scope
from fhir.exceptions import Unauthenticated


def asked(**headers: str) -> Request:
    return Request(APIRequestFactory().get("/", **headers), authenticators=[BearerAuthentication()])


def test_the_scope_is_request_auth(log_in: Any) -> None:
    request = asked(HTTP_AUTHORIZATION=f"Bearer {log_in()['access']}")
    assert isinstance(request.auth, Scope)
    assert request.user.is_authenticated
    assert (request.user.username, request.user.pk) == ("alba", request.auth.user_id)


def test_without_a_header_nobody_is_asking() -> None:
    assert BearerAuthentication().authenticate(asked()) is None


def test_a_bad_token_is_refused_and_not_taken_for_nobody() -> None:
    with pytest.raises(Unauthenticated):
        BearerAuthentication().authenticate(asked(HTTP_AUTHORIZATION="Bearer x"))
    assert BearerAuthentication().authenticate_header(asked()).startswith("Bearer")
