"""The resources that the load writes; each has an identifier of its own, by which it is found again."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

SYSTEM = "https://example.org/failover-proof"
CODES = "https://example.org/failover-proof/codes"
STEADY, GROWING, BUNDLED = "steady", "growing", "bundled"
Resource = dict[str, Any]


def new_mark() -> str:
    """What only one version of one resource carries."""
    return uuid.uuid4().hex


def mark_of(resource: Resource) -> str | None:
    """The mark of a stored resource; None for one that the load did not write."""
    for identifier in resource.get("identifier") or ():
        if isinstance(identifier, dict) and identifier.get("system") == SYSTEM:
            return str(identifier.get("value"))
    return None


def patient(mark: str, number: int) -> Resource:
    """A Patient."""
    return {
        "resourceType": "Patient",
        "identifier": [{"system": SYSTEM, "value": mark}],
        "name": [{"family": f"Prueba{number}", "given": ["Ana"]}],
        "gender": "female",
        "birthDate": "1984-05-02",
    }


def observation(mark: str, code: str, patient_id: str, value: int, encounter: str | None = None) -> Resource:
    """An Observation with `value` beats a minute."""
    ucum = {"unit": "/min", "system": "http://unitsofmeasure.org", "code": "/min"}
    return {
        "resourceType": "Observation",
        "identifier": [{"system": SYSTEM, "value": mark}],
        "status": "final",
        "code": {"coding": [{"system": CODES, "code": code}]},
        "subject": {"reference": f"Patient/{patient_id}"},
        **({"encounter": {"reference": encounter}} if encounter else {}),
        "effectiveDateTime": f"2024-{value % 12 + 1:02d}-{value % 28 + 1:02d}T08:00:00Z",
        "valueQuantity": {"value": value, **ucum},
    }


def encounter(mark: str, patient_id: str) -> Resource:
    """An Encounter."""
    return {
        "resourceType": "Encounter",
        "identifier": [{"system": SYSTEM, "value": mark}],
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
        "subject": {"reference": f"Patient/{patient_id}"},
    }


def transaction(entries: Sequence[Resource]) -> Resource:
    """A transaction Bundle of these entries."""
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}


def posted(resource: Resource, full_url: str) -> Resource:
    """The entry that creates a resource."""
    return {"fullUrl": full_url, "resource": resource, "request": {"method": "POST", "url": resource["resourceType"]}}


def put(resource: Resource, version: int) -> Resource:
    """The entry that supersedes `version` of a resource, which carries its id."""
    url = f"{resource['resourceType']}/{resource['id']}"
    return {"resource": resource, "request": {"method": "PUT", "url": url, "ifMatch": f'W/"{version}"'}}


def resolved(resource: Any, places: dict[str, str]) -> Any:
    """The resource with each reference to a fullUrl replaced by where that entry was stored."""
    if isinstance(resource, dict):
        return {key: resolved(value, places) for key, value in resource.items()}
    if isinstance(resource, list):
        return [resolved(item, places) for item in resource]
    return places.get(resource, resource) if isinstance(resource, str) else resource


def comparable(resource: Resource) -> Resource:
    """The resource without what the server gives it: id, version and time."""
    kept = {key: value for key, value in resource.items() if key not in ("id", "meta")}
    meta = {k: v for k, v in (resource.get("meta") or {}).items() if k not in ("versionId", "lastUpdated")}
    return {**kept, "meta": meta} if meta else kept
