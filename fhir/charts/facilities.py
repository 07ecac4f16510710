"""What all charts of a seed share: insurers, hospitals, clinics, their places and their staff.

Organization, Location, Practitioner and PractitionerRole: https://hl7.org/fhir/R4/administration-module.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from fhir import ids

from .dice import Dice
from .elements import IDENTIFIER, SNOMED, Resource, at_hour, coding, concept, hl7, period, reference
from .names import CITIES, INSURERS, MEN, STREETS, SURNAMES, WOMEN, City


class Specialty(NamedTuple):
    """A kind of professional: SNOMED specialty, role code of HL7, Spanish name, title."""

    snomed: str
    display: str
    role: str
    text: str


SPECIALTIES = {
    "general": Specialty("394814009", "General practice", "doctor", "Medicina general"),
    "family": Specialty("419772000", "Family practice", "doctor", "Medicina familiar"),
    "pediatrics": Specialty("394537008", "Pediatric specialty", "doctor", "Pediatría"),
    "nursing": Specialty("722138006", "Nursing", "nurse", "Enfermería"),
    "laboratory": Specialty("394915009", "General pathology", "ict", "Bacteriología y laboratorio clínico"),
    "internal": Specialty("419192003", "Internal medicine", "doctor", "Medicina interna"),
    "cardiology": Specialty("394579002", "Cardiology", "doctor", "Cardiología"),
    "endocrinology": Specialty("394583002", "Endocrinology", "doctor", "Endocrinología"),
    "gynecology": Specialty("394585009", "Obstetrics and gynecology", "doctor", "Ginecología y obstetricia"),
    "surgery": Specialty("394609007", "General surgery", "doctor", "Cirugía general"),
    "psychiatry": Specialty("394587001", "Psychiatry", "doctor", "Psiquiatría"),
    "emergency": Specialty("773568002", "Emergency medicine", "doctor", "Medicina de urgencias"),
    "radiology": Specialty("394914008", "Radiology", "doctor", "Radiología"),
}
CLINIC_STAFF = ("general", "general", "family", "pediatrics", "nursing", "laboratory")
HOSPITAL_STAFF = ("internal", "cardiology", "endocrinology", "gynecology", "surgery", "psychiatry", "emergency",
                  "emergency", "pediatrics", "nursing", "radiology", "laboratory")  # fmt: skip
CLINIC_PLACES = (("office", "Consultorio 101", "ro"), ("office", "Consultorio 102", "ro"),
                 ("vaccination", "Vacunación", "ro"), ("laboratory", "Toma de muestras", "ro"))  # fmt: skip
HOSPITAL_PLACES = (("office", "Consulta externa", "wa"), ("emergency", "Urgencias", "wa"),
                   ("ward", "Hospitalización piso 3", "wa"), ("ward", "Hospitalización piso 4", "wa"),
                   ("laboratory", "Laboratorio clínico", "wa"), ("imaging", "Imágenes diagnósticas",
                    "wa"))  # fmt: skip
_CLINICS = ("IPS Centro Médico La Candelaria", "IPS Salud Laureles", "IPS Clínica del Valle", "IPS Mar Caribe")
_HOSPITALS = {0: "Hospital Universitario Santa Clara de Asís", 1: "Hospital General Aburrá"}
_PLACE_KIND = {"ro": "Room", "wa": "Ward"}
_OPENED = at_hour(date(2015, 1, 15))


@dataclass(frozen=True, slots=True)
class Staff:
    """One professional: the Practitioner, the role, and the name that people read."""

    practitioner: Resource
    role: Resource
    name: str
    specialty: str

    def reference(self) -> Resource:
        """A Reference to the Practitioner."""
        return reference(self.practitioner, self.name)


@dataclass(frozen=True, slots=True)
class Place:
    """One Location."""

    location: Resource

    def reference(self) -> Resource:
        """A Reference to the Location."""
        return reference(self.location, self.location["name"])


@dataclass(slots=True)
class Site:
    """A clinic or a hospital with its staff by specialty and its places by purpose."""

    organization: Resource
    city: City
    staff: dict[str, list[Staff]] = field(default_factory=dict)
    places: dict[str, list[Place]] = field(default_factory=dict)

    def reference(self) -> Resource:
        """A Reference to the Organization."""
        return reference(self.organization, self.organization["name"])


@dataclass(slots=True)
class Facility:
    """Everything shared. `hospitals` has one for each clinic, by position."""

    resources: list[Resource] = field(default_factory=list)
    insurers: list[Resource] = field(default_factory=list)
    clinics: list[Site] = field(default_factory=list)
    hospitals: list[Site] = field(default_factory=list)


class _Builder:
    """Draws the shared resources; each lies where its own id says."""

    def __init__(self, seed: int) -> None:
        self.dice = Dice(f"{seed}/facility")
        self.facility = Facility()

    def add(self, resource_type: str, elements: Resource) -> Resource:
        resource_id = ids.new_id(self.dice.between(0, ids.BUCKETS - 1), at=_OPENED, entropy=self.dice.bytes(10))
        resource: Resource = {"resourceType": resource_type, "id": resource_id, **elements}
        self.facility.resources.append(resource)
        return resource

    def phone(self, city: City) -> Resource:
        return {"system": "phone", "value": f"+57 {city.prefix} {self.dice.digits(7)}", "use": "work"}

    def organization(self, name: str, kind: tuple[str, str], city: City, parent: Resource | None = None) -> Resource:
        elements: Resource = {
            "identifier": [{"use": "official", "system": IDENTIFIER + "nit", "value": nit(self.dice)}],
            "active": True,
            "type": [hl7("organization-type", *kind)],
            "name": name,
            "telecom": [self.phone(city), {"system": "url", "value": f"https://{_slug(name)}.example"}],
            "address": [street_address(self.dice, city, "work")],
        }
        if parent is not None:
            elements["partOf"] = reference(parent, parent["name"])
        return self.add("Organization", elements)

    def site(self, name: str, city: City, hospital: bool) -> Site:
        site = Site(self.organization(name, ("prov", "Healthcare Provider"), city), city)
        for purpose, place, kind in HOSPITAL_PLACES if hospital else CLINIC_PLACES:
            site.places.setdefault(purpose, []).append(Place(self.location(site, place, kind)))
        for specialty in HOSPITAL_STAFF if hospital else CLINIC_STAFF:
            site.staff.setdefault(specialty, []).append(self.staff(site, specialty))
        if hospital:
            for unit in ("Departamento de Medicina", "Departamento de Cirugía", "Laboratorio Clínico"):
                self.organization(unit, ("dept", "Hospital Department"), city, site.organization)
        return site

    def location(self, site: Site, name: str, kind: str) -> Resource:
        city = site.city
        return self.add("Location", {
            "status": "active",
            "name": f"{name}, {site.organization['name']}",
            "mode": "instance",
            "telecom": [self.phone(city)],
            "address": dict(site.organization["address"][0]),
            "physicalType": hl7("location-physical-type", kind, _PLACE_KIND[kind]),
            "position": {"longitude": Decimal(city.longitude), "latitude": Decimal(city.latitude),
                         "altitude": Decimal(city.metres)},
            "managingOrganization": site.reference(),
        })  # fmt: skip

    def staff(self, site: Site, specialty: str) -> Staff:
        dice, kind = self.dice, SPECIALTIES[specialty]
        woman = dice.chance(0.55)
        given, family = dice.pick(WOMEN if woman else MEN), f"{dice.pick(SURNAMES)} {dice.pick(SURNAMES)}"
        prefix = {"doctor": "Dra." if woman else "Dr.", "nurse": "Enf."}.get(kind.role, "Lic.")
        name = f"{prefix} {given} {family}"
        practitioner = self.add("Practitioner", {
            "identifier": [{"use": "official", "system": IDENTIFIER + "rethus", "value": dice.digits(8)},
                           {"use": "official", "system": IDENTIFIER + "cc", "value": dice.digits(8)}],
            "active": True,
            "name": [{"use": "official", "text": name, "family": family, "given": [given], "prefix": [prefix]}],
            "telecom": [self.phone(site.city),
                        {"system": "email", "value": f"{_slug(given)}.{_slug(family.split()[0])}@salud.example"}],
            "gender": "female" if woman else "male",
            "birthDate": dice.day(date(1962, 1, 1), date(1994, 12, 31)).isoformat(),
            "qualification": [{"code": concept(kind.text), "issuer": {"display": "Universidad de la Sabana Grande"}}],
        })  # fmt: skip
        return Staff(practitioner, self.role(site, practitioner, name, kind), name, specialty)

    def role(self, site: Site, practitioner: Resource, name: str, kind: Specialty) -> Resource:
        return self.add("PractitionerRole", {
            "active": True,
            "period": period(self.dice.day(date(2015, 2, 1), date(2016, 12, 31))),
            "practitioner": reference(practitioner, name),
            "organization": site.reference(),
            "code": [hl7("practitioner-role", kind.role)],
            "specialty": [concept(kind.text, coding(SNOMED, kind.snomed, kind.display))],
            "location": [self.dice.pick(site.places["office"]).reference()],
            "availableTime": [{"daysOfWeek": ["mon", "tue", "wed", "thu", "fri"],
                               "availableStartTime": "07:00:00", "availableEndTime": "16:30:00"}],
        })  # fmt: skip

    def build(self) -> Facility:
        facility = self.facility
        for position, name in enumerate(INSURERS):
            city = CITIES[position]
            facility.insurers.append(self.organization(name, ("ins", "Insurance Company"), city))
        hospitals = {at: self.site(name, CITIES[at], hospital=True) for at, name in _HOSPITALS.items()}
        for position, name in enumerate(_CLINICS):
            facility.clinics.append(self.site(name, CITIES[position], hospital=False))
            facility.hospitals.append(hospitals[position % len(hospitals)])
        return facility


def nit(dice: Dice) -> str:
    """A Colombian tax number with its check digit."""
    number = "9" + dice.digits(8)
    weights = (3, 7, 13, 17, 19, 23, 29, 37, 41)
    rest = sum(int(digit) * weight for digit, weight in zip(reversed(number), weights, strict=True)) % 11
    return f"{number}-{rest if rest < 2 else 11 - rest}"


def street_address(dice: Dice, city: City, use: str) -> Resource:
    """An Address in that city."""
    line = f"{dice.pick(STREETS)} {dice.between(1, 170)} # {dice.between(1, 99)}-{dice.between(1, 98):02d}"
    district = dice.pick(city.districts)
    return {
        "use": use,
        "type": "both",
        "text": f"{line}, {district}, {city.name}",
        "line": [line],
        "city": city.name,
        "district": district,
        "state": city.department,
        "postalCode": f"{city.code[:2]}{dice.digits(4)}",
        "country": "CO",
    }


def _slug(text: str) -> str:
    plain = text.lower().translate(str.maketrans("áéíóúñü ", "aeiounu-"))
    return "".join(letter for letter in plain if letter.isalnum() or letter == "-")


@lru_cache(maxsize=4)
def shared(seed: int) -> Facility:
    """The facility of that seed. Cached: its resources must not be changed."""
    return _Builder(seed).build()
