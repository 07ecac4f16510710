from __future__ import annotations

from typing import Any

import pytest
from auditlog.models import LogEntry
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.test import Client

from accounts.models import LoginSession, Role, User

from .conftest import PASSWORD


def test_changes_of_a_user_are_logged_without_the_password(user: User) -> None:
    user.set_password("a new secret")
    user.role = Role.AUDITOR
    user.save()
    entries = LogEntry.objects.get_for_object(user)
    assert {"role"} == set(entries.filter(action=LogEntry.Action.UPDATE).get().changes_dict)
    for entry in entries:
        assert "password" not in entry.changes_dict
        assert user.password not in str(entry.changes)


def test_an_unknown_role_is_not_stored(db: None) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create_user("x", role="root")


@pytest.mark.parametrize("fhir_user", ["ana", "Patient/", "Patient/a b", "Observation/1", "Patient/1\n", "Patient/á"])
def test_fhir_user_is_a_patient_or_a_practitioner(user: User, fhir_user: str) -> None:
    user.fhir_user = fhir_user
    with pytest.raises(ValidationError) as refused:
        user.full_clean()
    assert "fhir_user" in refused.value.message_dict


def test_administration_pages_work(make_user: Any, client: Client, log_in: Any) -> None:
    admin = make_user("root", Role.ADMINISTRATOR, is_staff=True, is_superuser=True)
    client.force_login(admin)
    log_in()
    for page in ("user/", f"user/{admin.pk}/change/", "user/add/", "loginsession/"):
        assert client.get(f"/admin/accounts/{page}").status_code == 200, page
    alba = User.objects.get(username="alba")
    data = {"action": "close_sessions", "_selected_action": [alba.pk]}
    assert client.post("/admin/accounts/user/", data).status_code == 302
    assert not LoginSession.objects.filter(user=alba, revoked_at=None).exists()


def test_a_user_made_in_the_administration_can_log_in(make_user: Any, client: Client, post: Any) -> None:
    client.force_login(make_user("root", Role.ADMINISTRATOR, is_staff=True, is_superuser=True))
    data = {
        "username": "eva",
        "full_name": "Eva Sol",
        "role": "patient",
        "fhir_user": "Patient/eva",
        "usable_password": "true",
        "password1": PASSWORD,
        "password2": PASSWORD,
    }
    answer = client.post("/admin/accounts/user/add/", data)
    assert answer.status_code == 302, answer.content
    assert post("login", {"username": "eva", "password": PASSWORD}).json()["user"]["fhir_user"] == "Patient/eva"
