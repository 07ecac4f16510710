"""Django REST framework's authentication by bearer token."""

from __future__ import annotations

from dataclasses import dataclass

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from .scopes import Scope
from .tokens import CHALLENGE, scope_of


@dataclass(frozen=True, slots=True)
class Caller:
    """What `request.user` is in the API: just enough for Django REST framework; the Scope is `request.auth`."""

    pk: str
    username: str
    is_authenticated: bool = True
    is_active: bool = True
    is_anonymous: bool = False


class BearerAuthentication(BaseAuthentication):
    """`Authorization: Bearer <access token>`; a request without that header is anonymous."""

    def authenticate(self, request: Request) -> tuple[Caller, Scope] | None:
        """The caller and the Scope. Raises fhir.exceptions.Unauthenticated for a token that is no good."""
        header = request.META.get("HTTP_AUTHORIZATION")
        if not header:
            return None
        scope = scope_of(header)
        return Caller(scope.user_id, scope.username), scope

    def authenticate_header(self, request: Request) -> str:
        """What a 401 says in WWW-Authenticate."""
        return CHALLENGE
