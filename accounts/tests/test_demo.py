from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from accounts.checks import no_demo_users
from accounts.demo import DEMO_USERS, create_demo_users
from accounts.models import User

LOGINS = [
    ("admin", "admin123", "administrator"),
    ("medico", "medico123", "practitioner"),
    ("paciente", "paciente123", "patient"),
    ("auditor", "auditor123", "auditor"),
]


@pytest.fixture
def demo(db: None, settings: Any) -> Any:
    settings.DEMO_MODE = True
    return settings


@pytest.mark.parametrize(("username", "password", "role"), LOGINS)
def test_demo_users_can_log_in(demo: Any, post: Any, username: str, password: str, role: str) -> None:
    create_demo_users("ana", "alba")
    answer = post("login", {"username": username, "password": password})
    assert answer.status_code == 200
    links = {"paciente": "Patient/ana", "medico": "Practitioner/alba"}
    assert (answer.json()["user"]["role"], answer.json()["user"]["fhir_user"]) == (role, links.get(username))


def test_creating_them_again_changes_nothing_but_what_was_asked(demo: Any) -> None:
    create_demo_users("ana", None)
    before = User.objects.get(username="paciente").password
    create_demo_users()
    after = User.objects.get(username="paciente")
    assert (after.password, after.fhir_user) == (before, "Patient/ana")
    create_demo_users("eva")
    assert User.objects.get(username="paciente").fhir_user == "Patient/eva"
    assert User.objects.count() == len(DEMO_USERS)


def test_a_demo_user_that_was_changed_is_brought_back(demo: Any) -> None:
    create_demo_users()
    User.objects.filter(username="admin").update(is_active=False, password="!", role="auditor")
    create_demo_users()
    admin = User.objects.get(username="admin")
    assert (admin.is_active, admin.role, admin.check_password("admin123")) == (True, "administrator", True)


def test_outside_demo_mode_they_are_not_created(demo: Any) -> None:
    demo.DEMO_MODE = False
    with pytest.raises(ImproperlyConfigured):
        create_demo_users()
    assert not User.objects.exists()


def test_outside_demo_mode_the_check_refuses_those_that_exist(demo: Any) -> None:
    create_demo_users()
    assert no_demo_users(databases=["default"]) == []
    demo.DEMO_MODE = False
    (error,) = no_demo_users(databases=["default"])
    assert error.id == "accounts.E001"
    assert error.is_serious()
    assert all(username in error.msg for username in DEMO_USERS)
    assert no_demo_users(databases=None) == []


def test_the_check_lets_changed_users_pass(demo: Any) -> None:
    create_demo_users()
    User.objects.exclude(username="admin").delete()
    admin = User.objects.get(username="admin")
    demo.DEMO_MODE = False
    assert len(no_demo_users(databases=["default"])) == 1
    admin.set_password("a password of my own")
    admin.save()
    assert no_demo_users(databases=["default"]) == []
