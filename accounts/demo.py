"""The four users of the demonstration. Their passwords are public: they exist in demo mode only."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction

from .models import Role, User


@dataclass(frozen=True, slots=True)
class DemoUser:
    """What a demo user is made of."""

    password: str
    role: Role
    full_name: str


DEMO_USERS: dict[str, DemoUser] = {
    "admin": DemoUser("admin123", Role.ADMINISTRATOR, "Administración del sistema"),
    "medico": DemoUser("medico123", Role.PRACTITIONER, "Personal médico"),
    "paciente": DemoUser("paciente123", Role.PATIENT, "Paciente de demostración"),
    "auditor": DemoUser("auditor123", Role.AUDITOR, "Auditoría y cumplimiento"),
}


def create_demo_users(patient_id: str | None = None, practitioner_id: str | None = None) -> list[User]:
    """Create the demo users, or bring them back to how they were, linked to these FHIR resources where given.

    Raises ImproperlyConfigured outside demo mode.
    """
    if not settings.DEMO_MODE:
        raise ImproperlyConfigured("Demo users exist in demo mode only: set DEMO_MODE=1.")
    links = {
        "paciente": f"Patient/{patient_id}" if patient_id else None,
        "medico": f"Practitioner/{practitioner_id}" if practitioner_id else None,
    }
    with transaction.atomic():
        return [_create(username, demo, links.get(username)) for username, demo in DEMO_USERS.items()]


def _create(username: str, demo: DemoUser, fhir_user: str | None) -> User:
    """An existing link stays when none is given; a good password is not hashed again, which would end its sessions."""
    user = User.objects.filter(username=username).first() or User(username=username)
    user.role, user.full_name, user.is_active = demo.role, demo.full_name, True
    user.is_staff = user.is_superuser = demo.role == Role.ADMINISTRATOR
    user.fhir_user = fhir_user or user.fhir_user
    if not user.pk or not user.check_password(demo.password):
        user.set_password(demo.password)
    user.save()
    return user
