"""From the Authorization header to a Scope, cheaply.

A token is verified once in a process and then remembered with its Scope. What was remembered is believed for
RECHECK_SECONDS; after that one query asks whether the session is still open, the account active and the password the
same, and takes a changed role over. So a logout, a deactivation, a new password or role counts everywhere within that
time, and at once in the process where it was made.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any
from uuid import UUID

from django.db import OperationalError, connection, transaction
from django.db.models.signals import post_delete, post_save
from django.utils.translation import gettext_lazy as _
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken

from fhir.exceptions import Unauthenticated, Unavailable

from .models import LoginSession, User
from .scopes import Scope, scope_for
from .sessions import SESSION_CLAIM, is_open

RECHECK_SECONDS = 5.0
REMEMBERED_TOKENS = 10_000
MAX_HEADER_LENGTH = 8192

CHALLENGE = 'Bearer realm="fhir"'


@dataclass(frozen=True, slots=True)
class Remembered:
    """A verified token: its Scope, its session, and two times of `time.time()`."""

    scope: Scope
    session_id: UUID
    believed_until: float
    expires: float


_remembered: dict[str, Remembered] = {}
_lock = Lock()


def _refused(error: str, text: Any) -> Unauthenticated:
    """401 as https://www.rfc-editor.org/rfc/rfc6750.html#section-3 says; no error code where no token came."""
    challenge = f'{CHALLENGE}, error="{error}"' if error else CHALLENGE
    return Unauthenticated(text, headers={"WWW-Authenticate": challenge})


def scope_of(authorization_header: str) -> Scope:
    """The Scope of `Bearer <access token>`. Raises Unauthenticated, and Unavailable when nobody can be asked."""
    known = _remembered.get(authorization_header)
    if known is not None and time.time() < known.believed_until:
        return known.scope
    return _remember(authorization_header, known).scope


def session_of(authorization_header: str) -> UUID:
    """The id of the LoginSession that the token belongs to. Raises as `scope_of` does."""
    scope_of(authorization_header)
    known = _remembered.get(authorization_header)
    return (known or _remember(authorization_header, None)).session_id


def _remember(header: str, known: Remembered | None) -> Remembered:
    """Verify (unless that was done before), ask for the session, and put the answer last in line."""
    session_id, expires = (known.session_id, known.expires) if known else _verify(header)
    now = time.time()
    scope = _current_scope(session_id) if now < expires else None
    with _lock:
        _remembered.pop(header, None)
        if scope is None:
            raise _refused("invalid_token", _("The access token has expired or was revoked: log in again."))
        entry = Remembered(scope, session_id, min(now + RECHECK_SECONDS, expires), expires)
        while len(_remembered) >= REMEMBERED_TOKENS:
            del _remembered[next(iter(_remembered))]
        _remembered[header] = entry
    return entry


def _verify(header: str) -> tuple[UUID, float]:
    """Session id and end (seconds since the epoch) of a token with a right signature, type and time."""
    if not header:
        raise _refused("", _("An access token is needed: log in at /auth/login."))
    scheme, _space, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token or len(header) > MAX_HEADER_LENGTH:
        raise _refused("invalid_request", _("The Authorization header must be “Bearer” and an access token."))
    try:
        verified = AccessToken(token.strip())  # type: ignore[arg-type]
        return UUID(verified[SESSION_CLAIM]), float(verified["exp"])
    except (TokenError, KeyError, ValueError, TypeError, AttributeError) as error:
        text = _("The access token is not valid or has expired: log in again.")
        raise _refused("invalid_token", text) from error


def _find_session(session_id: UUID) -> LoginSession | None:
    """The session with its user. A connection that broke since it was last used is replaced once."""
    question = LoginSession.objects.select_related("user").filter(id=session_id)
    try:
        return question.first()
    except OperationalError:
        if connection.in_atomic_block or connection.is_usable():
            raise
        connection.close()
        return question.first()


def _current_scope(session_id: UUID) -> Scope | None:
    """What the user of an open session may do now, or None when the session is over. Raises Unavailable."""
    try:
        session = _find_session(session_id)
    except OperationalError as error:
        raise Unavailable(_("Accounts cannot be looked up at the moment: try again.")) from error
    if session is None or not is_open(session):
        return None
    user = session.user
    return scope_for(user_id=str(user.pk), username=user.username, role=user.role, fhir_user=user.fhir_user)


def forget(matches: Callable[[Remembered], bool] = lambda _entry: True) -> None:
    """Drop what this process remembers, all of it or what matches; the next use of such a token asks again."""
    with _lock:
        for header in [header for header, entry in _remembered.items() if matches(entry)]:
            del _remembered[header]


def forget_session(session_id: UUID) -> None:
    """Drop the tokens of one session once the running transaction is committed."""
    transaction.on_commit(lambda: forget(lambda entry: entry.session_id == session_id))


def _user_changed(instance: User, update_fields: frozenset[str] | None = None, **_kwargs: Any) -> None:
    if update_fields is not None and update_fields <= {"last_login"}:
        return
    user_id = str(instance.pk)
    transaction.on_commit(lambda: forget(lambda entry: entry.scope.user_id == user_id))


def connect_signals() -> None:
    """Make changes of accounts count at once in this process."""
    post_save.connect(_user_changed, sender=User, dispatch_uid="accounts.tokens.saved")
    post_delete.connect(_user_changed, sender=User, dispatch_uid="accounts.tokens.deleted")
