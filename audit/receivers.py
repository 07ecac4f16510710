"""Writes the audit row of everything that happens at the door, in the transaction of the sender."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db import connection
from django.http import HttpRequest
from django.utils import timezone

from accounts.clients import client_address
from accounts.models import User
from accounts.scopes import Scope, scope_for
from accounts.signals import login_throttled, refresh_refused, refresh_token_reused, tokens_refreshed

from . import recorder


def request_id(request: HttpRequest | None) -> UUID:
    """The id that ties the rows of one request together."""
    given = getattr(request, "request_id", None)
    if isinstance(given, UUID):
        return given
    try:
        return UUID(str(given))
    except ValueError:
        return uuid4()


def _actor(user: User | None) -> Scope | None:
    if user is None or not user.pk:
        return None
    return scope_for(user_id=str(user.pk), username=user.username, role=user.role, fhir_user=user.fhir_user)


def _write(
    request: HttpRequest | None, interaction: str, user: User | None, status: int, detail: str | None = None
) -> None:
    row = recorder.record(
        _actor(user),
        interaction=interaction,
        bucket=None,
        status=status,
        request_id=request_id(request),
        client="" if request is None else client_address(request),
        at=timezone.now(),
        detail=detail,
    )
    with connection.cursor() as cursor:
        recorder.insert(cursor, row)


def _logged_in(request: HttpRequest | None, user: User, **_kwargs: Any) -> None:
    _write(request, "login", user, 200)


def _logged_out(request: HttpRequest | None, user: User | None, **_kwargs: Any) -> None:
    if user is not None:
        _write(request, "logout", user, 204)


def _login_failed(credentials: Mapping[str, Any], request: HttpRequest | None = None, **_kwargs: Any) -> None:
    """An unknown name is not written down: people type passwords into that field."""
    user = User.objects.filter(username=credentials.get("username")).first()
    detail = "unknown account" if user is None else "wrong password" if user.is_active else "inactive account"
    _write(request, "login", user, 401, detail)


def _login_throttled(request: HttpRequest | None, username: str, **_kwargs: Any) -> None:
    _write(request, "login", User.objects.filter(username=username).first(), 429, "too many failed logins")


def _refreshed(request: HttpRequest | None, user: User, **_kwargs: Any) -> None:
    _write(request, "refresh", user, 200)


def _reused(request: HttpRequest | None, user: User, **_kwargs: Any) -> None:
    _write(request, "refresh", user, 401, "refresh token used twice: session closed")


def _refresh_refused(request: HttpRequest | None, **_kwargs: Any) -> None:
    _write(request, "refresh", None, 401, "refresh token not valid")


def connect() -> None:
    """Listen to the signals of Django and of accounts."""
    receivers = (
        (user_logged_in, _logged_in),
        (user_logged_out, _logged_out),
        (user_login_failed, _login_failed),
        (login_throttled, _login_throttled),
        (tokens_refreshed, _refreshed),
        (refresh_refused, _refresh_refused),
        (refresh_token_reused, _reused),
    )
    for signal, receiver in receivers:
        signal.connect(receiver, dispatch_uid=f"audit.{receiver.__name__}")
