"""Django system checks of accounts (`manage.py check --database default`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections

from .demo import DEMO_USERS
from .models import User


@register(Tags.database)
def no_demo_users(databases: Sequence[str] | None = None, **_kwargs: Any) -> list[CheckMessage]:
    """Outside demo mode no demo user may keep its well-known password. Asks a database only when told which."""
    if settings.DEMO_MODE or "default" not in (databases or ()):
        return []
    if User._meta.db_table not in connections["default"].introspection.table_names():
        return []
    found = User.objects.filter(username__in=DEMO_USERS, is_active=True).order_by("username")
    open_doors = [user.username for user in found if user.check_password(DEMO_USERS[user.username].password)]
    if not open_doors:
        return []
    return [
        Error(
            f"Demo users with their well-known passwords exist outside demo mode: {', '.join(open_doors)}.",
            hint="Delete them, deactivate them or give them other passwords; or set DEMO_MODE=1 for a demonstration.",
            id="accounts.E001",
        )
    ]
