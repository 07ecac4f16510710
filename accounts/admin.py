"""Users and their sessions in Django's administration pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from .models import LoginSession, User
from .sessions import close_all_sessions

if TYPE_CHECKING:
    UserAdminBase = DjangoUserAdmin[User]
    SessionAdminBase = admin.ModelAdmin[LoginSession]
else:
    UserAdminBase, SessionAdminBase = DjangoUserAdmin, admin.ModelAdmin


@admin.register(User)
class UserAdmin(UserAdminBase):
    """Accounts with their role and their FHIR resource."""

    list_display = ("username", "full_name", "role", "fhir_user", "is_active", "last_login")
    list_filter = ("role", "is_active")
    search_fields = ("username", "full_name", "email", "fhir_user")
    actions = ["close_sessions"]
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        (_("Person"), {"fields": ("full_name", "email", "role", "fhir_user")}),
        (_("Access"), {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        (_("Dates"), {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = (
        (
            None,
            {
                "classes": ("wide",),
                "fields": ("username", "full_name", "role", "fhir_user", "usable_password", "password1", "password2"),
            },
        ),
    )

    @admin.action(description=_("Close all sessions of the selected users"))
    def close_sessions(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Log the selected users out everywhere."""
        closed = sum(close_all_sessions(user) for user in queryset)
        text = ngettext("%(count)s session closed.", "%(count)s sessions closed.", closed)
        self.message_user(request, text % {"count": closed}, messages.SUCCESS)


@admin.register(LoginSession)
class LoginSessionAdmin(SessionAdminBase):
    """Logins, to look at."""

    list_display = ("user", "client", "created_at", "refreshed_at", "expires_at", "revoked_at")
    list_select_related = ("user",)
    fields = ("user", "client", "created_at", "refreshed_at", "expires_at", "revoked_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Only logging in makes sessions."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Sessions are closed, never edited."""
        return False
