"""What a resource leaves in the index tables (fhir.models); fhir.search.extract makes it, fhir.store writes it."""

from __future__ import annotations

from dataclasses import dataclass, field

NO_DATE = float("-inf")


@dataclass(slots=True)
class IndexRows:
    """`terms` sorted, unique signed 64-bit hashes; `present` bit i for the type's i-th parameter, ordered by code.

    `sdate` microseconds since 1970 UTC. `ranges` (param, unit, lo, hi), `strings` (param, folded, exact) and
    `code_values` (code, unit, lo, hi) are rows of the tables of these names. `patients` are ids of local Patients
    in whose compartment the resource is, the one who decides its place first. `identifiers` are rows of
    identifier_locator: (term of the value, term of system and value).
    """

    terms: list[int] = field(default_factory=list)
    present: int = 0
    sdate: float = NO_DATE
    ranges: list[tuple[int, int | None, float, float]] = field(default_factory=list)
    strings: list[tuple[int, str, str]] = field(default_factory=list)
    code_values: list[tuple[int, int | None, float, float]] = field(default_factory=list)
    patients: tuple[str, ...] = ()
    identifiers: tuple[tuple[int, int], ...] = ()


NOTHING = IndexRows()
