"""The charts that the bench works on: patients with vital signs, the same ones in every run."""

from __future__ import annotations

import random
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

SEED = 20240501
ENTRIES = 100
START = datetime(2019, 1, 7, 8, tzinfo=UTC)

# LOINC code, name, UCUM unit, lowest and highest value
VITAL_SIGNS = (
    ("8867-4", "Heart rate", "/min", 52, 118),
    ("9279-1", "Respiratory rate", "/min", 10, 28),
    ("8310-5", "Body temperature", "Cel", 35, 39),
    ("29463-7", "Body weight", "kg", 45, 120),
    ("8302-2", "Body height", "cm", 148, 195),
    ("2708-6", "Oxygen saturation", "%", 88, 100),
    ("8480-6", "Systolic blood pressure", "mm[Hg]", 95, 180),
    ("8462-4", "Diastolic blood pressure", "mm[Hg]", 55, 105),
    ("39156-5", "Body mass index", "kg/m2", 18, 38),
)
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
CATEGORIES = "http://terminology.hl7.org/CodeSystem/observation-category"
IDENTIFIERS = "https://example.org/bench/patients"
FAMILIES = ("García", "Rodríguez", "Muñoz", "Ñáñez", "Pérez", "Quispe", "Restrepo", "Zapata")
GIVEN = ("Ana", "Luis", "Carmen", "José", "Laura", "Pablo", "Elena", "Diego")


def patient(rng: random.Random) -> dict[str, Any]:
    """A Patient with an identifier of its own."""
    return {
        "resourceType": "Patient",
        "identifier": [{"system": IDENTIFIERS, "value": f"{rng.getrandbits(64):016x}"}],
        "active": True,
        "name": [{"use": "official", "family": rng.choice(FAMILIES), "given": [rng.choice(GIVEN)]}],
        "telecom": [{"system": "phone", "value": f"+57 3{rng.randrange(10**9):09d}"}],
        "gender": rng.choice(("male", "female")),
        "birthDate": f"{rng.randint(1935, 2012)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}",
        "address": [{"line": [f"Calle {rng.randint(1, 180)}"], "city": "Medellín", "country": "CO"}],
    }


def observation(rng: random.Random, subject: str, number: int) -> dict[str, Any]:
    """The `number`-th vital sign of a chart: its code goes round VITAL_SIGNS, its time is its own."""
    code, name, unit, low, high = VITAL_SIGNS[number % len(VITAL_SIGNS)]
    at = START + timedelta(days=7 * number, minutes=rng.randrange(600))
    return {
        "resourceType": "Observation",
        "status": "final",
        "category": [{"coding": [{"system": CATEGORIES, "code": "vital-signs", "display": "Vital Signs"}]}],
        "code": {"coding": [{"system": LOINC, "code": code, "display": name}], "text": name},
        "subject": {"reference": subject},
        "effectiveDateTime": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "issued": at.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "valueQuantity": {"value": rng.randint(low * 10, high * 10) / 10, "unit": unit, "system": UCUM, "code": unit},
        "referenceRange": [
            {
                "low": {"value": low, "unit": unit, "system": UCUM, "code": unit},
                "high": {"value": high, "unit": unit, "system": UCUM, "code": unit},
            }
        ],
    }


def chart(rng: random.Random, entries: int = ENTRIES) -> dict[str, Any]:
    """A transaction of one Patient and `entries` - 1 Observations that refer to it by urn:uuid."""
    subject = _urn(rng)
    resources = [(subject, patient(rng))]
    resources += [(_urn(rng), observation(rng, subject, number)) for number in range(entries - 1)]
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {"fullUrl": urn, "resource": resource, "request": {"method": "POST", "url": resource["resourceType"]}}
            for urn, resource in resources
        ],
    }


def _urn(rng: random.Random) -> str:
    return f"urn:uuid:{uuid.UUID(int=rng.getrandbits(128), version=4)}"
