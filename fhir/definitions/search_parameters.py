"""Search parameters of FHIR R4 (https://hl7.org/fhir/R4/searchparameter-registry.html)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from .structure import RESOURCE_TYPES, is_subtype
from .table import table


@dataclass(frozen=True, slots=True)
class SearchParameter:
    """A search parameter. `expression` is the official FHIRPath, for all of `base`; `parts` belong to composites."""

    code: str
    type: str
    base: tuple[str, ...]
    expression: str
    url: str
    targets: tuple[str, ...]
    parts: tuple[tuple[str, str, str], ...]  # (code, type, expression relative to this parameter's expression)


@cache
def all_parameters() -> tuple[SearchParameter, ...]:
    """Every official parameter that can be served: it has a base and an expression."""
    return tuple(
        SearchParameter(
            code=row["code"],
            type=row["type"],
            base=tuple(row["base"]),
            expression=row["x"],
            url=row["url"],
            targets=tuple(row.get("target", ())),
            parts=tuple((code, kind, expression) for code, kind, expression in row.get("parts", ())),
        )
        for row in table()["search"]
    )


@cache
def parameters(resource_type: str) -> dict[str, SearchParameter]:
    """The parameters of a resource type by code, those of Resource and DomainResource included, ordered by code."""
    if resource_type not in RESOURCE_TYPES:
        raise KeyError(resource_type)
    return {p.code: p for p in all_parameters() if any(is_subtype(resource_type, base) for base in p.base)}


# The date that orders a patient's chart, by the code of the type's search parameter: the first that the type has.
_CLINICAL_DATES = (
    "authoredon", "authored-on", "authored", "date", "onset-date", "effective-time", "effective", "whenhandedover",
    "started", "collected", "sent", "recorded", "created", "start", "issued", "target-date", "entered-date", "period",
    "datewritten", "datetime", "identified", "timestamp",
)  # fmt: skip


@cache
def clinical_date(resource_type: str) -> str | None:
    """Code of the date parameter that stands for the clinical time of a type, if it has one."""
    dates = {p.code for p in parameters(resource_type).values() if p.type == "date"}
    return next((code for code in _CLINICAL_DATES if code in dates), None)
