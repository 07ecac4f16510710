"""References that are read without the rest of a resource are those of the whole expression."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from fhir import charts, json
from fhir.definitions.structure import RESOURCE_TYPES
from fhir.search import catalogue, include, references
from fhir.search.catalogue import parameters
from fhir.search.parameters import reference

from .oracle.resources import Maker

BASE = "https://records.example/fhir/R4"


def evaluated(resource: dict[str, Any], code: str) -> list[str]:
    values = include._values(resource["resourceType"], code, resource)
    texts = (reference.literal(value) for _type, value in values.get(code, ()))
    return sorted({text for text in texts if text is not None})


def compared(resources: list[dict[str, Any]]) -> dict[str, int]:
    """How many references of each parameter were found in the same way by both."""
    found: dict[str, int] = {}
    for resource in resources:
        kind, text = resource["resourceType"], json.dumps(resource).decode()
        for code, parameter in parameters(kind).items():
            if parameter.type == "reference":
                read = references.reader(kind, code, catalogue.generation)
                if read is not None:
                    expected = evaluated(resource, code)
                    assert sorted(set(read(text))) == expected, (kind, code)
                    found[f"{kind}.{code}"] = found.get(f"{kind}.{code}", 0) + len(expected)
    return found


def test_charts() -> None:
    found = compared([*charts.facility(5), *(r for number in range(4) for r in charts.chart(5, number))])
    for name in ("Observation.patient", "Observation.subject", "Encounter.participant", "MedicationRequest.requester"):
        assert found[name], name


def test_awkward_resources() -> None:
    found = compared(Maker(Random(7), "run", BASE, 14).all())
    assert sum(1 for count in found.values() if count) > 20, found


@pytest.mark.parametrize(
    ("subject", "found"),
    [
        ({"reference": "Patient/1"}, ["Patient/1"]),
        ({"reference": "Patient/1/_history/2"}, ["Patient/1/_history/2"]),
        ({"reference": "https://other.example/fhir/Patient/1"}, ["https://other.example/fhir/Patient/1"]),
        ({"reference": "Group/1"}, []),
        ({"reference": "Group/1", "type": "Patient"}, ["Group/1"]),
        ({"reference": "Patient/1", "type": "Group"}, []),
        ({"reference": "#inside"}, []),
        ({"reference": ""}, []),
        ({"type": "Patient", "identifier": {"value": "1"}}, []),
        ({"reference": "urn:uuid:7c7ab1b6-4f4c-4a3b-9d6c-0c4d4b9f3f0a"}, []),
    ],
)
def test_only_references_to_the_type_that_the_parameter_names(subject: dict[str, Any], found: list[str]) -> None:
    contained = [{"resourceType": "Patient", "id": "inside"}]
    resource = {"resourceType": "Observation", "contained": contained, "status": "final", "subject": subject}
    read = references.reader("Observation", "patient", catalogue.generation)
    assert read is not None
    text = json.dumps(resource).decode()
    assert list(read(text)) == found == [each for each in evaluated(resource, "patient") if each[:1] != "#"]


def test_most_parameters_need_no_more_than_their_elements() -> None:
    known = [p for kind in RESOURCE_TYPES for p in parameters(kind).values() if p.type == "reference"]
    plain = [p for p in known if references.reader(p.resource_type, p.code, catalogue.generation) is not None]
    assert len(plain) > 0.8 * len(known)
