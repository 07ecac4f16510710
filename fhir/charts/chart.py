"""The chart being written: who the patient is, where they are treated, and the resources so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from fhir import ids

from .dice import Dice
from .elements import UNTIL, Resource, at_hour, reference, years
from .facilities import Facility, Place, Site, Staff, shared


@dataclass(slots=True)
class Person:
    """Facts about the body and the life that the resources are drawn from; heights in cm, pressures in mmHg."""

    sex: str
    born: date
    given: str
    surnames: tuple[str, str]
    died: date | None
    first_day: date
    height_factor: float
    build: float
    systolic: float
    diastolic: float
    smoker: str

    @property
    def last_day(self) -> date:
        """The last day on which anything can happen."""
        return self.died or UNTIL

    @property
    def name(self) -> str:
        """The name that people read."""
        return f"{self.given} {' '.join(self.surnames)}"

    def age(self, at: date) -> int:
        """Completed years on that day."""
        return years(self.born, at)


@dataclass(slots=True)
class Visit:
    """One encounter while it is written, and what its note will tell."""

    at: datetime
    kind: str
    reason: str
    site: Site
    staff: Staff
    place: Place
    encounter: Resource
    problems: list[tuple[Resource, str]] = field(default_factory=list)
    measured: dict[str, Decimal] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    orders: list[str] = field(default_factory=list)

    def reference(self) -> Resource:
        """A Reference to the Encounter."""
        return reference(self.encounter)


class Chart:
    """The resources of one patient, all with ids of the patient's bucket."""

    def __init__(self, seed: int, index: int) -> None:
        self.seed, self.index = seed, index
        self.dice = Dice(f"{seed}/{index}")
        self.bucket = self.dice.between(0, ids.BUCKETS - 1)
        self.facility: Facility = shared(seed)
        self.home = self.dice.between(0, len(self.facility.clinics) - 1)
        self.resources: list[Resource] = []
        self.chronic: dict[str, date] = {}
        self.allergies: set[str] = set()
        self.last_period: date | None = None
        self.conditions: dict[str, Resource] = {}
        self.treatment: dict[str, Resource] = {}
        self.person: Person
        self.patient: Resource

    @property
    def clinic(self) -> Site:
        """Where the patient is enrolled."""
        return self.facility.clinics[self.home]

    @property
    def hospital(self) -> Site:
        """Where that clinic sends its patients."""
        return self.facility.hospitals[self.home]

    def add(self, resource_type: str, at: datetime | date, elements: dict[str, Any]) -> Resource:
        """Append a resource born at that moment; elements that are None are left out."""
        moment = at if isinstance(at, datetime) else at_hour(at)
        resource_id = ids.new_id(self.bucket, at=moment, entropy=self.dice.bytes(10))
        resource: Resource = {"resourceType": resource_type, "id": resource_id}
        resource.update((name, value) for name, value in elements.items() if value is not None)
        self.resources.append(resource)
        return resource

    def subject(self) -> Resource:
        """A Reference to the patient."""
        return reference(self.patient, self.person.name)

    def staff(self, site: Site, *specialties: str) -> Staff:
        """Somebody of the first specialty that the site has."""
        for specialty in specialties:
            if specialty in site.staff:
                return self.dice.pick(site.staff[specialty])
        raise LookupError(specialties)

    def treated(self, problem: str, at: date) -> bool:
        """Whether this chronic problem was known well before that day."""
        since = self.chronic.get(problem)
        return since is not None and (at - since).days > 45

    def has(self, problem: str, at: date) -> bool:
        """Whether this chronic problem exists on that day."""
        since = self.chronic.get(problem)
        return since is not None and since <= at
