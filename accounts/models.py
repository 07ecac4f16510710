"""Who can log in, and the logins that are open. Plain tables of the coordinator: never distributed."""

from __future__ import annotations

import uuid
from typing import Any

from auditlog.registry import auditlog
from django.contrib.auth.models import AbstractUser
from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _


class Role(models.TextChoices):
    """What a user is to the system; `accounts.scopes` says what each may do."""

    ADMINISTRATOR = "administrator", _("administrator")
    PRACTITIONER = "practitioner", _("practitioner")
    PATIENT = "patient", _("patient")
    AUDITOR = "auditor", _("auditor")


class User(AbstractUser):
    """A person who logs in. `fhir_user` is the FHIR resource that stands for the same person, or empty.

    A patient without `fhir_user` may see nothing: there is no compartment to look into.
    """

    first_name = None  # type: ignore[assignment]
    last_name = None  # type: ignore[assignment]
    full_name = models.CharField(_("full name"), max_length=200, blank=True)
    role = models.CharField(_("role"), max_length=20, choices=Role.choices)
    fhir_user = models.CharField(
        _("FHIR resource of this person"),
        max_length=100,
        blank=True,
        validators=[RegexValidator(r"\A(Patient|Practitioner)/[A-Za-z0-9\-.]{1,64}\Z")],
        help_text=_("For example Patient/123 or Practitioner/456."),
    )

    REQUIRED_FIELDS = ["email", "role"]

    class Meta:
        verbose_name = _("user")
        verbose_name_plural = _("users")
        constraints = [
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="accounts_user_role_known"),
        ]

    def get_full_name(self) -> str:
        """The name to show."""
        return self.full_name or self.username

    def get_short_name(self) -> str:
        """The name to show where there is little room."""
        return self.full_name or self.username


class LoginSession(models.Model):
    """One login and the chain of refresh tokens that came of it (a token family).

    `refresh_id` is the jti of the only refresh token that is still good. `auth_hash` fingerprints the password that
    the login was made with, so that a new password closes every session however it was set.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="login_sessions")
    refresh_id = models.CharField(max_length=64)
    auth_hash = models.CharField(max_length=128)
    client = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField()
    refreshed_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("login session")
        verbose_name_plural = _("login sessions")

    def __str__(self) -> str:
        return f"{self.user_id} {self.created_at:%Y-%m-%d %H:%M}"


class LoginFailures(models.Model):
    """Failed logins of one account from one address in the current window; see `accounts.throttle`.

    The key is a hash: what people type as a user name is sometimes their password.
    """

    key = models.CharField(primary_key=True, max_length=64)
    failures = models.IntegerField()
    window_started = models.DateTimeField()

    class Meta:
        verbose_name = _("failed logins")
        verbose_name_plural = _("failed logins")

    def __str__(self) -> str:
        return f"{self.failures} since {self.window_started:%Y-%m-%d %H:%M}"


_NEVER_LOGGED: list[str] = ["password", "last_login"]
_LOGGED_RELATIONS: Any = {"groups", "user_permissions"}
auditlog.register(User, exclude_fields=_NEVER_LOGGED, m2m_fields=_LOGGED_RELATIONS)
