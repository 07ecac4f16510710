"""The CapabilityStatement, from the definitions and from what this server does.

https://hl7.org/fhir/R4/capabilitystatement.html. What is listed in this module is what is routed: tests ask the
server for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Protocol

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _

from clinical_records import __version__

from .content import FHIR_JSON, JSON_PATCH
from .definitions.structure import RESOURCE_TYPES
from .search import catalogue

# When what the statement says last changed, for CapabilityStatement.date.
LAST_CHANGED = "2026-11-24"

TYPE_INTERACTIONS = (
    "read",
    "vread",
    "update",
    "patch",
    "delete",
    "history-instance",
    "history-type",
    "create",
    "search-type",
)
SYSTEM_INTERACTIONS = ("transaction", "batch", "search-system", "history-system")

# Parts of a CapabilityStatement that are still for trial use in R4: left out of mode=normative.
_TRIAL_USE = frozenset(
    {
        "versioning",
        "readHistory",
        "updateCreate",
        "conditionalCreate",
        "conditionalRead",
        "conditionalUpdate",
        "conditionalDelete",
        "referencePolicy",
        "searchInclude",
        "searchRevInclude",
        "security",
    }
)


def statement(
    base_url: str, language: str, operations: Mapping[str, Operation], *, normative: bool = False
) -> dict[str, Any]:
    """The CapabilityStatement of the server at `base_url`, its words in `language` ("es", "en").

    `operations` are those that are routed, by name. `normative` leaves out the elements that R4 marks for trial use
    (mode=normative).
    """
    with translation.override(language):
        rest = _rest(base_url, operations)
        return {
            "resourceType": "CapabilityStatement",
            "language": language,
            "url": f"{base_url}/metadata",
            "version": __version__,
            "name": "ClinicalRecords",
            "title": "Clinical Records",
            "status": "active",
            "date": LAST_CHANGED,
            "kind": "instance",
            "software": {"name": "Clinical Records", "version": __version__},
            "implementation": {"description": _("Clinical records over FHIR R4"), "url": base_url},
            "fhirVersion": "4.0.1",
            "format": ["json", FHIR_JSON],
            "patchFormat": [JSON_PATCH, FHIR_JSON],
            "rest": [_normative(rest) if normative else rest],
        }


def _rest(base_url: str, operations: Mapping[str, Operation]) -> dict[str, Any]:
    return _filled(
        {
            "mode": "server",
            "security": _security(base_url),
            "resource": [_resource(name, operations) for name in RESOURCE_TYPES],
            "interaction": _codes(SYSTEM_INTERACTIONS),
            "searchParam": _common_parameters(),
            "operation": _operations(operations, None),
        }
    )


def _filled(element: dict[str, Any]) -> dict[str, Any]:
    """Without empty arrays: JSON of FHIR has none."""
    return {key: value for key, value in element.items() if value != []}


def _normative(rest: dict[str, Any]) -> dict[str, Any]:
    resources = [
        {key: value for key, value in resource.items() if key not in _TRIAL_USE} for resource in rest["resource"]
    ]
    return {key: value for key, value in rest.items() if key not in _TRIAL_USE} | {"resource": resources}


def _security(base_url: str) -> dict[str, Any]:
    login = base_url.removesuffix(settings.FHIR_BASE_PATH) + "/auth/login"
    return {
        "service": [{"text": _("Bearer token (JWT)")}],
        "description": _(
            "POST username and password to %(login)s, as a form or as JSON; send the access token of the answer with "
            "every request, as “Authorization: Bearer …”. Only this statement is answered without a token."
        )
        % {"login": login},
    }


def _resource(name: str, operations: Mapping[str, Operation]) -> dict[str, Any]:
    described = {
        "type": name,
        "profile": f"http://hl7.org/fhir/StructureDefinition/{name}",
        "interaction": _codes(TYPE_INTERACTIONS),
        "versioning": "versioned-update",
        "readHistory": True,
        "updateCreate": True,
        "conditionalCreate": True,
        "conditionalRead": "full-support",
        "conditionalUpdate": True,
        "conditionalDelete": "single",
        "referencePolicy": ["literal", "logical"],
        "searchInclude": _includes(name),
        "searchRevInclude": _reverse_includes(catalogue.generation)[name],
        "searchParam": _search_parameters(name),
        "operation": _operations(operations, name),
    }
    return _filled(described)


def _codes(codes: Iterable[str]) -> list[dict[str, str]]:
    return [{"code": code} for code in codes]


# --- search


def _search_parameters(resource_type: str) -> list[dict[str, Any]]:
    return [
        {"name": code, "definition": parameter.url, "type": parameter.type}
        for code, parameter in catalogue.parameters(resource_type).items()
    ]


def _common_parameters() -> list[dict[str, Any]]:
    """Parameters that every type has, for searches over several types."""
    common = set.intersection(*(set(catalogue.parameters(name)) for name in RESOURCE_TYPES))
    return [parameter for parameter in _search_parameters(RESOURCE_TYPES[0]) if parameter["name"] in common]


def _includes(resource_type: str) -> list[str]:
    return [
        f"{resource_type}:{code}"
        for code, parameter in catalogue.parameters(resource_type).items()
        if parameter.type == "reference"
    ]


@lru_cache(maxsize=2)
def _reverse_includes(_generation: int) -> Mapping[str, list[str]]:
    """Target type → every `Type:parameter` that may refer to it."""
    found: dict[str, list[str]] = {name: [] for name in RESOURCE_TYPES}
    for name in RESOURCE_TYPES:
        for code, parameter in catalogue.parameters(name).items():
            for target in parameter.targets:
                found[target].append(f"{name}:{code}")
    return found


# --- operations


class Operation(Protocol):
    """An operation as fhir.operations offers it: `levels` of "s" system, "t" type, "i" instance, "v" version.

    `types` None: all.
    """

    @property
    def levels(self) -> str: ...

    @property
    def types(self) -> tuple[str, ...] | None: ...

    def definition_of(self, resource_type: str | None) -> str: ...


def _operations(operations: Mapping[str, Operation], resource_type: str | None) -> list[dict[str, str]]:
    """The operations of a type, or, for None, of the system."""
    return [
        {"name": name, "definition": operation.definition_of(resource_type)}
        for name, operation in operations.items()
        if ("s" in operation.levels if resource_type is None else _is_offered(operation, resource_type))
    ]


def _is_offered(operation: Operation, resource_type: str) -> bool:
    return operation.levels != "s" and (operation.types is None or resource_type in operation.types)
