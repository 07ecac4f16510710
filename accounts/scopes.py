"""Who is asking and what that allows, in SMART v2 terms.

https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html: a scope is `context/Type.cruds`, where the letters
stand for create, read (with vread and the history of an instance), update (with patch), delete and search (with the
history of a type or of the system).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any

from django.utils.translation import gettext_lazy as _

from fhir.definitions.compartments import compartment_parameters
from fhir.definitions.structure import RESOURCE_TYPES

from .models import Role
from .texts import lazy_text

LETTERS = "cruds"
ANY_TYPE = "*"

_KNOWN_TYPES = frozenset(RESOURCE_TYPES)
_SCOPE = re.compile(r"(patient|user|system)/(\*|[A-Z][A-Za-z]*)\.([a-z*]+)(\?.*)?")
_V1_LETTERS = {"read": "rs", "write": "cud", "*": "cruds"}


class ScopeError(ValueError):
    """A scope string that is not understood; `text` is for people."""

    def __init__(self, text: Any, scope: str) -> None:
        self.text = lazy_text(text, scope=scope)
        super().__init__(str(self.text))


@dataclass(frozen=True, slots=True)
class Permission:
    """One SMART v2 scope: `context` is patient, user or system; `letters` is a part of "cruds", in that order."""

    context: str
    type: str
    letters: str

    def __str__(self) -> str:
        return f"{self.context}/{self.type}.{self.letters}"


def parse_scope(scope: str) -> Permission:
    """The permission that a SMART v2 or v1 scope stands for. Raises ScopeError."""
    found = _SCOPE.fullmatch(scope)
    if found is None:
        raise ScopeError(_("“%(scope)s” is not a SMART scope."), scope)
    context, resource_type, letters, query = found.groups()
    if query:
        raise ScopeError(_("“%(scope)s”: scopes with search parameters are not supported."), scope)
    if resource_type != ANY_TYPE and resource_type not in _KNOWN_TYPES:
        raise ScopeError(_("“%(scope)s” names a resource type that FHIR R4 does not have."), scope)
    letters = _V1_LETTERS.get(letters, letters)
    if letters != "".join(letter for letter in LETTERS if letter in letters):
        raise ScopeError(_("“%(scope)s”: the permissions must be letters of “cruds”, each once, in that order."), scope)
    return Permission(context, resource_type, letters)


def parse_scopes(text: str) -> tuple[Permission, ...]:
    """The permissions of a space-separated list of scopes. Raises ScopeError at the first bad one."""
    return tuple(parse_scope(scope) for scope in text.split())


def print_scopes(permissions: Iterable[Permission]) -> str:
    """The space-separated SMART v2 form."""
    return " ".join(str(permission) for permission in permissions)


@cache
def patient_compartment_types() -> frozenset[str]:
    """Types that can be about a patient (https://hl7.org/fhir/R4/compartmentdefinition-patient.html)."""
    members = (name for name in RESOURCE_TYPES if compartment_parameters("Patient", name))
    return frozenset(members) | {"Patient"}


def _covered(permission: Permission) -> frozenset[str]:
    """The types that a permission speaks of."""
    if permission.type != ANY_TYPE:
        return frozenset({permission.type})
    return patient_compartment_types() if permission.context == "patient" else _KNOWN_TYPES


@lru_cache(maxsize=256)
def _types_by_letter(permissions: tuple[Permission, ...]) -> Mapping[str, frozenset[str]]:
    return {
        letter: frozenset().union(*(_covered(each) for each in permissions if letter in each.letters))
        for letter in LETTERS
    }


_NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Scope:
    """Who is asking and what they may do. `compartment` ("Patient/<id>") limits them to one patient's resources.

    Whoever reads the store must put `compartment`, where there is one, into the question itself.
    """

    user_id: str
    username: str
    role: str
    permissions: tuple[Permission, ...]
    compartment: str | None = None
    fhir_user: str = ""
    _types: Mapping[str, frozenset[str]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.compartment is None and any(each.context == "patient" for each in self.permissions):
            raise ValueError("Permissions of the patient context need a compartment.")
        object.__setattr__(self, "_types", _types_by_letter(self.permissions))

    def allows(self, resource_type: str, letter: str) -> bool:
        """Whether one letter of "cruds" is granted on a type; unknown types and letters are not."""
        return resource_type in self._types.get(letter, _NOTHING)

    def types(self, letter: str) -> frozenset[str]:
        """The resource types on which one letter of "cruds" is granted."""
        return self._types.get(letter, _NOTHING)


def _each(context: str, types: Iterable[str], letters: str) -> tuple[Permission, ...]:
    return tuple(Permission(context, name, letters) for name in sorted(types))


# AuditEvent says who looked at what: it is for auditors, not for those who are recorded in it. SearchParameter changes
# what every search and every write does: those who run the server define them.
_ROLE_PERMISSIONS: Mapping[str, tuple[Permission, ...]] = {
    Role.ADMINISTRATOR.value: parse_scopes("user/*.cruds"),
    Role.PRACTITIONER.value: (
        *_each("user", _KNOWN_TYPES - {"AuditEvent", "SearchParameter"}, LETTERS),
        *parse_scopes("user/SearchParameter.rs"),
    ),
    Role.PATIENT.value: _each("patient", patient_compartment_types() - {"AuditEvent"}, "rs"),
    Role.AUDITOR.value: parse_scopes("user/AuditEvent.rs user/Provenance.rs"),
}


def scope_for(*, user_id: str, username: str, role: str, fhir_user: str = "") -> Scope:
    """The Scope of a user of this role. A role that is not known, or a patient without a Patient, gets nothing."""
    permissions = _ROLE_PERMISSIONS.get(role, ())
    compartment = None
    if role == Role.PATIENT.value:
        compartment = fhir_user if fhir_user.startswith("Patient/") else None
        permissions = permissions if compartment else ()
    return Scope(user_id, username, role, permissions, compartment, fhir_user)
