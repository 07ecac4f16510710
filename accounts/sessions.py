"""Login sessions: the pair of tokens of a login, their rotation, their end.

Access and refresh tokens are simplejwt's, with the claim `sid` that names the LoginSession. A session knows the one
refresh token that is good; a refresh token that was used before is in two hands, so its session is closed
(https://www.rfc-editor.org/rfc/rfc9700.html#section-4.14.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from django.utils import timezone
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import RefreshToken

from .models import LoginSession, User

SESSION_CLAIM = "sid"


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a client gets; `expires_in` and `refresh_expires_in` are seconds."""

    access: str
    refresh: str
    expires_in: int
    refresh_expires_in: int


class RefreshRefused(Exception):
    """The refresh token is no good: malformed, expired, of a closed session, or of a changed or disabled account."""


class RefreshReused(RefreshRefused):
    """The refresh token had been used before. `user` is whose session, `session_id`, has been closed."""

    def __init__(self, user: User, session_id: UUID) -> None:
        self.user, self.session_id = user, session_id
        super().__init__()


def _pair(user: User, session_id: UUID) -> tuple[TokenPair, str]:
    """New tokens and the jti of the refresh token."""
    refresh: RefreshToken = RefreshToken.for_user(user)
    refresh[SESSION_CLAIM] = str(session_id)
    pair = TokenPair(
        access=str(refresh.access_token),
        refresh=str(refresh),
        expires_in=int(api_settings.ACCESS_TOKEN_LIFETIME.total_seconds()),
        refresh_expires_in=int(api_settings.REFRESH_TOKEN_LIFETIME.total_seconds()),
    )
    return pair, refresh[api_settings.JTI_CLAIM]


def _expiry(now: datetime) -> datetime:
    lifetime: timedelta = api_settings.REFRESH_TOKEN_LIFETIME
    return now + lifetime


def open_session(user: User, client: str) -> TokenPair:
    """Log a user in; the user's sessions that are over are cleared away."""
    now = timezone.now()
    over = LoginSession.objects.filter(user=user, expires_at__lt=now).select_for_update(skip_locked=True)
    LoginSession.objects.filter(id__in=over.values("id")).delete()
    session_id = uuid4()
    pair, refresh_id = _pair(user, session_id)
    LoginSession.objects.create(
        id=session_id,
        user=user,
        refresh_id=refresh_id,
        auth_hash=user.get_session_auth_hash(),
        client=client[:64],
        created_at=now,
        refreshed_at=now,
        expires_at=_expiry(now),
    )
    return pair


def _read(refresh: str) -> tuple[UUID, str]:
    """Session id and jti of a refresh token whose signature, type and time are right. Raises RefreshRefused."""
    try:
        token = RefreshToken(refresh)  # type: ignore[arg-type]
        return UUID(token[SESSION_CLAIM]), token[api_settings.JTI_CLAIM]
    except (TokenError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise RefreshRefused from error


def _locked_session(session_id: UUID) -> LoginSession:
    """The open session, locked until the end of the transaction. Raises RefreshRefused."""
    found = LoginSession.objects.select_related("user").select_for_update(of=("self",)).filter(id=session_id).first()
    if found is None or not is_open(found):
        raise RefreshRefused
    return found


def is_open(session: LoginSession) -> bool:
    """Whether a session stands: not revoked, the account active, the password still that of the login."""
    user = session.user
    return session.revoked_at is None and user.is_active and session.auth_hash == user.get_session_auth_hash()


def rotate(refresh: str) -> tuple[User, TokenPair]:
    """A new pair for a refresh token, which is then used up. Raises RefreshRefused, RefreshReused.

    Must run in a transaction that is committed also when RefreshReused is raised: it closes the session.
    """
    session_id, refresh_id = _read(refresh)
    session = _locked_session(session_id)
    if session.refresh_id != refresh_id:
        close_session(session_id)
        raise RefreshReused(session.user, session_id)
    pair, session.refresh_id = _pair(session.user, session_id)
    session.refreshed_at = timezone.now()
    session.expires_at = _expiry(session.refreshed_at)
    session.save(update_fields=["refresh_id", "refreshed_at", "expires_at"])
    return session.user, pair


def close_session(session_id: UUID) -> bool:
    """End a session; False if there was none open. Every process notices within `tokens.RECHECK_SECONDS`."""
    closed = LoginSession.objects.filter(id=session_id, revoked_at=None).update(revoked_at=timezone.now())
    return closed == 1


def close_all_sessions(user: User) -> int:
    """End all sessions of a user; how many there were."""
    return LoginSession.objects.filter(user=user, revoked_at=None).update(revoked_at=timezone.now())


def owner_of(session_id: UUID) -> tuple[User, UUID]:
    """The user and the id of an open session, which stays locked. Raises RefreshRefused."""
    return _locked_session(session_id).user, session_id


def owner_of_refresh(refresh: str) -> tuple[User, UUID]:
    """The same for the session of a refresh token, used up or not. Raises RefreshRefused."""
    return owner_of(_read(refresh)[0])
