"""The audit application."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AuditConfig(AppConfig):
    """What is recorded of every access."""

    name = "audit"
    verbose_name = _("Audit")

    def ready(self) -> None:
        from . import receivers

        receivers.connect()
