"""May this Scope do this interaction on this type? What is not granted is refused.

Whether one instance may be seen is no question for here: the compartment of the Scope is a clause of every statement,
so that an instance that is hidden and one that does not exist give the same answer, 404.
"""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts.scopes import LETTERS, Scope
from accounts.texts import lazy_text
from accounts.tokens import CHALLENGE

from .exceptions import Forbidden, Unauthenticated

# The letter of SMART v2 that an interaction of https://hl7.org/fhir/R4/http.html needs.
LETTER: dict[str, str] = {
    "read": "r",
    "vread": "r",
    "history-instance": "r",
    "create": "c",
    "update": "u",
    "patch": "u",
    "delete": "d",
    "search-type": "s",
    "search-system": "s",
    "history-type": "s",
    "history-system": "s",
    "operation": "r",
}
# A bundle needs some permission at all; each of its entries is then judged by itself.
BUNDLES = frozenset({"batch", "transaction"})
# https://hl7.org/fhir/R4/http.html#capabilities: a client must be able to learn how to log in.
PUBLIC = frozenset({"capabilities"})


def require(scope: Scope | None, interaction: str, resource_type: str | None = None) -> None:
    """Return if `scope` may do `interaction` (a code of http.html) on a type, or on the system where that is None.

    On the system the caller must then keep to `scope.types(letter)`. Raises Unauthenticated, Forbidden.
    """
    if interaction in PUBLIC:
        return
    if scope is None:
        text = _("An access token is needed: log in at /auth/login.")
        raise Unauthenticated(text, headers={"WWW-Authenticate": CHALLENGE})
    if not is_allowed(scope, interaction, resource_type):
        raise _forbidden(interaction, resource_type)


def is_allowed(scope: Scope, interaction: str, resource_type: str | None = None) -> bool:
    """Whether `require` would return; an interaction that is not known is not allowed."""
    if interaction in BUNDLES:
        return any(scope.types(letter) for letter in LETTERS)
    letter = LETTER.get(interaction)
    if letter is None:
        return False
    if resource_type is None:
        return bool(scope.types(letter))
    return scope.allows(resource_type, letter)


def _forbidden(interaction: str, resource_type: str | None) -> Forbidden:
    if resource_type is None:
        return Forbidden(lazy_text(_("Your role does not allow “%(interaction)s”."), interaction=interaction))
    text = _("Your role does not allow “%(interaction)s” on %(type)s.")
    return Forbidden(lazy_text(text, interaction=interaction, type=resource_type))


class InteractionPermission(BasePermission):
    """For views that say which interaction they do, in the attribute `interaction`; all others are refused.

    The type is the `type` of the URL, if any. `request.auth` is the Scope.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        """Raises as `require` does; False for a view that says nothing."""
        interaction = getattr(view, "interaction", None)
        if interaction is None:
            return False
        scope = request.auth if isinstance(request.auth, Scope) else None
        require(scope, interaction, view.kwargs.get("type"))
        return True

    def has_object_permission(self, request: Request, view: Any, obj: Any) -> bool:
        """No instance passes here: the store is asked with the compartment."""
        return False
