"""In whose name a command of the operator writes; the audit rows say so."""

from __future__ import annotations

from uuid import uuid4

from django.conf import settings
from django.utils import translation

from accounts.models import Role
from accounts.scopes import Scope, parse_scopes
from fhir.interactions import Context


def command_context(command: str) -> Context:
    """A Context that may write everything, called after the command (`manage.py load`)."""
    name = f"manage.py {command}"
    scope = Scope(
        user_id=name, username=name, role=Role.ADMINISTRATOR.value, permissions=parse_scopes("system/*.cruds")
    )
    return Context(
        scope=scope,
        base_url=f"{settings.PUBLIC_BASE_URL}{settings.FHIR_BASE_PATH}",
        request_id=uuid4(),
        language=translation.get_language() or settings.LANGUAGE_CODE,
        prefer_return="minimal",
    )
