"""Which patients a resource is about, and so where it lies (https://hl7.org/fhir/R4/compartmentdefinition-patient.html)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from . import ids
from .definitions.compartments import compartment_parameters
from .definitions.search_parameters import parameters
from .fhirpath import Environment, compile_many

_PATIENT = re.compile(r"Patient/([A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?")
_ONLY_PATIENTS = ".where(resolve() is Patient)"
_NOBODY: Mapping[str, str] = {}


@cache
def _reader(resource_type: str) -> Any:
    """A compiled function resource → references of the compartment's parameters; None where the type has none."""
    codes = compartment_parameters("Patient", resource_type)
    if not codes or resource_type == "Patient":
        return None
    known = parameters(resource_type)
    # Which references lead to a Patient is told here by their text: placeholders of bundles say nothing of their type.
    paths = {code: known[code].expression.replace(_ONLY_PATIENTS, "") for code in codes if code in known}
    read = compile_many(paths, resource_type)
    return tuple(code for code in codes if code in known), read


def patients(resource: dict[str, Any], base_url: str, known: Mapping[str, str] = _NOBODY) -> list[str]:
    """Ids of the local Patients that a resource names, the one that decides its place first.

    `known` maps placeholders of a bundle (urn:uuid:…) to `Patient/[id]`. References to other servers do not count.
    """
    reader = _reader(resource["resourceType"])
    if reader is None:
        return []
    codes, read = reader
    found = read(resource, Environment(resource=resource))
    named: dict[str, None] = {}
    for code in codes:
        for _type, reference in found.get(code, ()):
            patient = _local_patient(reference, base_url, known)
            if patient is not None:
                named[patient] = None
    return list(named)


def _local_patient(reference: Any, base_url: str, known: Mapping[str, str]) -> str | None:
    literal = reference.get("reference") if isinstance(reference, dict) else None
    if not isinstance(literal, str):
        return None
    match = _PATIENT.fullmatch(known.get(literal, literal).removeprefix(base_url + "/"))
    return match[1] if match else None


def place(resource_type: str, resource_id: str | None, named: list[str]) -> tuple[int | None, int | None]:
    """(bucket, pat) of a resource that names these patients; bucket None: that of the id it does not have yet."""
    if resource_type == "Patient":
        if resource_id is None:
            return None, None
        return ids.bucket_of(resource_id), ids.patient_hash(resource_id)
    if named:
        return ids.bucket_of(named[0]), ids.patient_hash(named[0])
    return (None if resource_id is None else ids.bucket_of(resource_id)), None


def prepare() -> None:
    """Compiles the readers of all types."""
    from .definitions.structure import RESOURCE_TYPES

    for resource_type in RESOURCE_TYPES:
        _reader(resource_type)
