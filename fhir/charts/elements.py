"""Shorthand for the FHIR data types that charts are made of (https://hl7.org/fhir/R4/datatypes.html)."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

Resource = dict[str, Any]

SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
ICD10 = "http://hl7.org/fhir/sid/icd-10"
ATC = "http://www.whocc.no/atc"
CVX = "http://hl7.org/fhir/sid/cvx"
UCUM = "http://unitsofmeasure.org"
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
IDENTIFIER = "https://clinical-records.example/identifier/"

COLOMBIA = timezone(timedelta(hours=-5))
UNTIL = date(2026, 10, 31)
"""The last day of every chart. Fixed, because the same seed must give the same bytes on any day."""


def coding(system: str, code: str, display: str | None = None) -> Resource:
    """A Coding."""
    value = {"system": system, "code": code}
    if display:
        value["display"] = display
    return value


def concept(text: str | None, *codings: Resource) -> Resource:
    """A CodeableConcept; the text is what people read."""
    value: Resource = {"coding": list(codings)} if codings else {}
    if text:
        value["text"] = text
    return value


def hl7(name: str, code: str, display: str | None = None) -> Resource:
    """A CodeableConcept with one code of an HL7 code system, named by the end of its address."""
    return {"coding": [coding(TERMINOLOGY + name, code, display)]}


def decimal(value: float, digits: int = 0) -> Decimal:
    """The number with that many digits after the point, as a laboratory would print it: 6.2 with 2 is 6.20."""
    return Decimal(f"{value:.{digits}f}")


def quantity(value: Decimal, unit: str, code: str | None = None) -> Resource:
    """A Quantity in UCUM."""
    return {"value": value, "unit": unit, "system": UCUM, "code": code or unit}


def reference(resource: Resource, display: str | None = None) -> Resource:
    """A relative Reference to a resource of the same set."""
    value = {"reference": f"{resource['resourceType']}/{resource['id']}"}
    if display:
        value["display"] = display
    return value


def instant(at: datetime) -> str:
    """A dateTime or instant with the zone."""
    return at.isoformat(timespec="seconds")


def at_hour(day: date, hour: int = 8, minute: int = 0) -> datetime:
    """A moment of that day in Colombia."""
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=COLOMBIA)


def period(start: datetime | date, end: datetime | date | None = None) -> Resource:
    """A Period, open where there is no end."""
    value = {"start": _text(start)}
    if end is not None:
        value["end"] = _text(end)
    return value


def _text(value: datetime | date) -> str:
    return instant(value) if isinstance(value, datetime) else value.isoformat()


def years(born: date, at: date) -> int:
    """Completed years of age."""
    return at.year - born.year - ((at.month, at.day) < (born.month, born.day))


def months(born: date, at: date) -> int:
    """Completed months of age."""
    return (at.year - born.year) * 12 + at.month - born.month - (at.day < born.day)


def add_months(day: date, count: int) -> date:
    """The same day of a later month, or the last one that it has."""
    month = day.month - 1 + count
    year, month = day.year + month // 12, month % 12 + 1
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    last = (31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month - 1]
    return date(year, month, min(day.day, last))
