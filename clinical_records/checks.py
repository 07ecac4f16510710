"""What must be right before the server serves (Django's system checks)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections


@checks.register(checks.Tags.security)
def check_allowed_hosts(app_configs: Any, **kwargs: Any) -> Sequence[checks.CheckMessage]:
    """Production says which host names it answers to."""
    if settings.DEMO_MODE or settings.DEBUG or settings.ALLOWED_HOSTS:
        return []
    hint = "Set ALLOWED_HOSTS to the host names, between commas."
    return [checks.Error("There are no ALLOWED_HOSTS.", hint=hint, id="clinical_records.E001")]


def refuse_to_serve_if_wrong() -> None:
    """Run all checks, those of the database too. Raises ImproperlyConfigured, naming what is wrong."""
    try:
        found = checks.run_checks(databases=["default"])
    except DatabaseError as error:
        raise ImproperlyConfigured(f"The database cannot be asked before serving: {error}") from error
    errors = [message for message in found if message.is_serious() and not message.is_silenced()]
    connections.close_all()  # the workers are forked after this, and a connection cannot be shared
    if errors:
        raise ImproperlyConfigured("\n".join(str(message) for message in errors))
