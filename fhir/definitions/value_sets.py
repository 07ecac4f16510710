"""Codes of the value sets that R4 binds as required (https://hl7.org/fhir/R4/terminologies.html#required)."""

from __future__ import annotations

from functools import cache

from .table import table

Concepts = dict[str, frozenset[str]]


@cache
def concepts(url: str) -> Concepts | None:
    """System → codes of a value set; None where it cannot be listed (MIME types, UCUM, currencies, LOINC answers)."""
    rows = table()["value_sets"].get(url)
    if rows is None:
        return None
    systems = table()["code_systems"]
    found: dict[str, set[str]] = {}
    for system, codes in rows:
        listed = codes if codes is not None else systems.get(system)
        if not listed:
            return None
        found.setdefault(system, set()).update(listed)
    return {system: frozenset(codes) for system, codes in found.items()}


@cache
def codes(url: str) -> frozenset[str] | None:
    """Codes of a value set whatever their system, for elements of type code; None where it cannot be listed."""
    listed = concepts(url)
    return None if listed is None else frozenset().union(*listed.values())
