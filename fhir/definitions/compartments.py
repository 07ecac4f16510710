"""Compartments of FHIR R4 (https://hl7.org/fhir/R4/compartmentdefinition.html)."""

from __future__ import annotations

from .table import table

COMPARTMENTS: tuple[str, ...] = tuple(sorted(table()["compartments"]))

# Where a resource names several patients, the first of these decides its place.
_SUBJECT_FIRST = ("patient", "subject")


def compartment_parameters(compartment: str, resource_type: str) -> tuple[str, ...]:
    """Codes of the reference parameters that put a resource of this type into a compartment; () if never.

    `subject` and `patient` come first: they name whom the resource is about, the others who took part.
    """
    codes = table()["compartments"][compartment].get(resource_type, ())
    return tuple(
        sorted(codes, key=lambda code: _SUBJECT_FIRST.index(code) if code in _SUBJECT_FIRST else len(_SUBJECT_FIRST))
    )
