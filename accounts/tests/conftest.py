from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client

from accounts import tokens
from accounts.models import Role, User

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    """Tokens of other tests are forgotten."""
    tokens.forget()
    yield
    tokens.forget()


@pytest.fixture
def make_user(db: None) -> Callable[..., User]:
    def make(username: str = "alba", role: str = Role.PRACTITIONER, **fields: Any) -> User:
        return User.objects.create_user(username, password=PASSWORD, role=role, **fields)

    return make


@pytest.fixture
def user(make_user: Callable[..., User]) -> User:
    return make_user(full_name="Alba Ruiz", fhir_user="Practitioner/alba")


@pytest.fixture
def post(client: Client, django_capture_on_commit_callbacks: Any) -> Callable[..., Any]:
    """POST to /auth/<what>, with what happens after the commit."""

    def send(what: str, data: Any = None, **extra: Any) -> Any:
        extra.setdefault("content_type", "application/json")
        with django_capture_on_commit_callbacks(execute=True):
            return client.post(f"/auth/{what}", data if data is not None else {}, **extra)

    return send


@pytest.fixture
def log_in(user: User, post: Callable[..., Any]) -> Callable[[], dict[str, Any]]:
    def log_in() -> dict[str, Any]:
        answer = post("login", {"username": user.username, "password": PASSWORD})
        assert answer.status_code == 200, answer.content
        return answer.json()

    return log_in
