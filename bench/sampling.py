"""The values that the queries ask for: patients at random among all that are loaded, with what their charts hold."""

from __future__ import annotations

import random
from typing import Any

from .population import SEED, long_chart

SAMPLES = 100
# Where the few charts of a small run have none.
CONDITION, PROCEDURE = "http://snomed.info/sct|59621000", "http://snomed.info/sct|80146002"
Values = dict[str, str]


def samples(patients: int, count: int = SAMPLES) -> list[Values]:
    """Values for the placeholders of bench.queries, one set for each of `count` patients of the first `patients`."""
    rng = random.Random(SEED + patients)
    indexes = rng.sample(range(patients), min(count, patients))
    charts = [long_chart(index) for index in indexes]
    procedures = [_token(r) for chart in charts for r in chart if r["resourceType"] == "Procedure"]
    return [_values(chart, rng, procedures) for chart in charts]


def _values(chart: list[dict[str, Any]], rng: random.Random, procedures: list[str]) -> Values:
    patient = chart[0]
    identifier = patient["identifier"][0]
    encounter = rng.choice([r for r in chart if r["resourceType"] == "Encounter" and r.get("location")])
    own = [_token(r) for r in chart if r["resourceType"] == "Condition"]
    return {
        "patient": patient["id"],
        "identifier": f"{identifier['system']}|{identifier['value']}",
        "family": patient["name"][0]["family"],
        "condition_code": rng.choice(own or [CONDITION]),
        "procedure_code": rng.choice(procedures or [PROCEDURE]),
        "practitioner": encounter["participant"][0]["individual"]["reference"].split("/")[1],
        "location": encounter["location"][0]["location"]["reference"].split("/")[1],
    }


def _token(resource: dict[str, Any]) -> str:
    coding = resource["code"]["coding"][0]
    return f"{coding['system']}|{coding['code']}"
