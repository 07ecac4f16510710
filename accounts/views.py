"""`POST /auth/login`, `/auth/refresh`, `/auth/logout`: tokens for people and programs.

Errors are JSON as in https://www.rfc-editor.org/rfc/rfc6749.html#section-5.2, worded in the caller's language.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth import authenticate
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.db import InternalError, OperationalError, connection, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_post_parameters

from fhir import nodes
from fhir.exceptions import Unauthenticated

from . import sessions, throttle
from .clients import client_address
from .forms import BadForm, read_fields
from .models import User
from .signals import login_throttled, refresh_refused, refresh_token_reused, tokens_refreshed
from .tokens import CHALLENGE, forget_session, session_of

View = Callable[[HttpRequest], HttpResponse]
READ_ONLY_SQL_TRANSACTION = "25006"  # https://www.postgresql.org/docs/current/errcodes-appendix.html


def _error(status: int, error: str, text: Any, **headers: str) -> JsonResponse:
    return JsonResponse({"error": error, "error_description": str(text)}, status=status, headers=headers)


def _refused(text: Any, error: str = "invalid_grant") -> JsonResponse:
    return _error(401, error, text, **{"WWW-Authenticate": CHALLENGE})


def token_endpoint(view: View) -> View:
    """POST only, in the caller's language, never cached; a bad body and a database that is gone are answered here."""

    @csrf_exempt
    @sensitive_post_parameters()
    @wraps(view)
    def endpoint(request: HttpRequest) -> HttpResponse:
        with translation.override(translation.get_language_from_request(request)):
            response = _answer(view, request)
            response.headers["Cache-Control"] = "no-store"
            response.headers["Content-Language"] = translation.get_language() or ""
            return response

    return endpoint


def _answer(view: View, request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return _error(405, "invalid_request", _("Only POST is possible here."), Allow="POST")
    try:
        return _once_more(view, request)
    except BadForm as error:
        return _error(error.status, "invalid_request", error.text)
    except OperationalError:
        text = _("Accounts cannot be looked up at the moment: try again.")
        return _error(503, "temporarily_unavailable", text, **{"Retry-After": "5"})


def _once_more(view: View, request: HttpRequest) -> HttpResponse:
    """The view's answer; asked again, once, where PostgreSQL said itself that it could not do it, and undid it.

    The node that was to hold the audit row may be down: others can hold it. The primary may have become a standby: the
    next connection goes to the new one. Of a connection that broke nobody knows what was done.
    """
    try:
        return view(request)
    except (OperationalError, InternalError) as error:
        refusal = getattr(error.__cause__, "sqlstate", None)
        if refusal == READ_ONLY_SQL_TRANSACTION:
            connection.close()
        elif isinstance(error, OperationalError) and refusal is not None:
            nodes.look()
        else:
            raise
    return view(request)


def _tokens(user: User, pair: sessions.TokenPair) -> JsonResponse:
    return JsonResponse(
        {
            "access": pair.access,
            "refresh": pair.refresh,
            "token_type": "Bearer",
            "expires_in": pair.expires_in,
            "refresh_expires_in": pair.refresh_expires_in,
            "user": {
                "username": user.username,
                "full_name": user.get_full_name(),
                "role": user.role,
                "fhir_user": user.fhir_user or None,
            },
        }
    )


@token_endpoint
def login(request: HttpRequest) -> HttpResponse:
    """`username` and `password` for a pair of tokens: 200; 400, 401 for a wrong pair, 429 after too many of them."""
    fields = read_fields(request)
    username, password = fields.get("username", ""), fields.get("password", "")
    if not username or not password:
        return _error(400, "invalid_request", _("Give “username” and “password”, as a form or as JSON."))
    with transaction.atomic():
        return _login(request, username, password)


def _login(request: HttpRequest, username: str, password: str) -> HttpResponse:
    client = client_address(request)
    seconds = throttle.seconds_closed(username, client)
    if seconds:
        login_throttled.send(sender=User, request=request, username=username)
        return _too_many(seconds)
    user = authenticate(request, username=username, password=password)
    if not isinstance(user, User):
        throttle.count_failure(username, client)
        return _refused(_("The user name or the password is not right."))
    throttle.clear(username, client)
    pair = sessions.open_session(user, client)
    user_logged_in.send(sender=User, request=request, user=user)
    return _tokens(user, pair)


def _too_many(seconds: int) -> JsonResponse:
    text = ngettext(
        "Too many failed logins: try again in %(seconds)s second.",
        "Too many failed logins: try again in %(seconds)s seconds.",
        seconds,
    )
    return _error(429, "slow_down", text % {"seconds": seconds}, **{"Retry-After": str(seconds)})


@token_endpoint
def refresh(request: HttpRequest) -> HttpResponse:
    """`refresh` for a new pair: 200. 401 for one that is no good; one that was used before also ends its session."""
    token = read_fields(request).get("refresh", "")
    if not token:
        return _error(400, "invalid_request", _("Give “refresh”, the refresh token."))
    with transaction.atomic():
        return _refresh(request, token)


def _refresh(request: HttpRequest, token: str) -> HttpResponse:
    try:
        user, pair = sessions.rotate(token)
    except sessions.RefreshReused as reused:
        forget_session(reused.session_id)
        refresh_token_reused.send(sender=User, request=request, user=reused.user)
        return _refused(_("This refresh token was used before: the session has been closed, log in again."))
    except sessions.RefreshRefused:
        refresh_refused.send(sender=User, request=request)
        return _refused(_("The refresh token is not valid, has expired or was revoked: log in again."))
    tokens_refreshed.send(sender=User, request=request, user=user)
    return _tokens(user, pair)


@token_endpoint
def logout(request: HttpRequest) -> HttpResponse:
    """End the session of the refresh token in the body, or of the bearer's access token: 204, or 401."""
    token = read_fields(request).get("refresh", "")
    header = request.META.get("HTTP_AUTHORIZATION", "")
    try:
        with transaction.atomic():
            user, session_id = sessions.owner_of_refresh(token) if token else sessions.owner_of(session_of(header))
            sessions.close_session(session_id)
            forget_session(session_id)
            user_logged_out.send(sender=User, request=request, user=user)
    except sessions.RefreshRefused:
        return _refused(_("The refresh token is not valid, has expired or was revoked: log in again."))
    except Unauthenticated as error:
        return _refused(error.issues[0].text, "invalid_token")
    return HttpResponse(status=204)
