"""Sound resources pass; each of them broken in one place is refused, wherever the place is.

The places are drawn by hypothesis from official examples where they are at hand, else from a few of our own.
"""

from __future__ import annotations

import copy
import gzip
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fhir import json
from fhir.definitions.structure import Element, TypeDefinition, type_definition
from fhir.definitions.value_sets import codes
from fhir.validation import validate

EXAMPLES = (
    Path(os.environ.get("FHIR_SHARED", Path(settings.BASE_DIR).parent / "shared"))
    / "data"
    / "examples"
    / "r4-examples-dev.ndjson.gz"
)
OWN = [
    {
        "resourceType": "Patient",
        "active": True,
        "identifier": [{"system": "http://example.org", "value": "1"}],
        "name": [{"family": "García", "given": ["Ana"]}],
        "gender": "female",
        "birthDate": "1980-02-29",
        "deceasedBoolean": False,
        "contact": [{"name": {"text": "x"}, "period": {"start": "2020-01-01"}}],
    },
    {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "x"}]},
        "effectiveDateTime": "2020-01-01T00:00:00Z",
        "valueQuantity": {"value": 1, "comparator": "<"},
        "component": [{"code": {"text": "x"}, "valueString": "x"}],
    },
]
RELAXED = {"linkId"}


@cache
def sound() -> list[dict[str, Any]]:
    if not EXAMPLES.exists():
        return OWN
    lines = gzip.decompress(EXAMPLES.read_bytes()).splitlines()
    resources = [json.loads(line) for line in lines if len(line) < 6_000]
    return [r for r in resources if validate(r) == []]


@dataclass(frozen=True)
class Place:
    """An element that is present in a resource: its object, JSON key, definition and type."""

    node: dict[str, Any]
    owner: TypeDefinition
    key: str
    element: Element
    kind: str

    @property
    def primitive(self) -> bool:
        return type_definition(self.kind).kind == "primitive"

    @property
    def many(self) -> bool:
        return self.element.max is None


def places(node: dict[str, Any], kind: str) -> Iterator[Place]:
    definition = type_definition(kind)
    for element in definition.elements.values():
        for key, of in element.keys():  # noqa: SIM118 - a method of Element
            if key not in node:
                continue
            yield Place(node, definition, key, element, of)
            if type_definition(of).kind != "primitive":
                for value in node[key] if element.max is None else [node[key]]:
                    yield from places(value, value["resourceType"] if of == "Resource" else of)


Mutator = Callable[[Place], bool]
MUTATORS: dict[str, Mutator] = {}


def mutator(function: Mutator) -> Mutator:
    """A function that breaks a place; False where that is not possible there."""
    MUTATORS[function.__name__] = function
    return function


@mutator
def delete_required(place: Place) -> bool:
    if not place.element.min or place.key in RELAXED or "_" + place.key in place.node:
        return False
    del place.node[place.key]
    return True


@mutator
def add_unknown(place: Place) -> bool:
    place.node["unknownElement"] = "x"
    return True


@mutator
def set_null(place: Place) -> bool:
    place.node[place.key] = None
    return True


@mutator
def empty_list(place: Place) -> bool:
    place.node[place.key] = []
    return True


@mutator
def empty_object(place: Place) -> bool:
    place.node[place.key] = [{}] if place.many else {}
    return True


@mutator
def list_for_single(place: Place) -> bool:
    if not place.many:
        place.node[place.key] = [place.node[place.key]]
    return not place.many


@mutator
def single_for_list(place: Place) -> bool:
    if place.many:
        place.node[place.key] = place.node[place.key][0]
    return place.many


@mutator
def wrong_type(place: Place) -> bool:
    wrong: Any = "true" if place.kind == "boolean" else "1" if place.kind in NUMBERS else 12
    place.node[place.key] = [wrong] if place.many else wrong
    return True


@mutator
def empty_text(place: Place) -> bool:
    if not place.primitive:
        return False
    place.node[place.key] = [" "] if place.many else " "
    return True


@mutator
def second_choice(place: Place) -> bool:
    if not place.element.choice:
        return False
    other = next((key for key, _ in place.element.keys() if key != place.key), None)  # noqa: SIM118
    if other is None:
        return False
    place.node[other] = "x"
    return True


@mutator
def no_such_day(place: Place) -> bool:
    bad = {"date": "2021-02-30", "dateTime": "2021-02-29T10:00:00Z", "instant": "2021-04-31T00:00:00Z"}.get(place.kind)
    if bad:
        place.node[place.key] = [bad] if place.many else bad
    return bool(bad)


@mutator
def bad_code(place: Place) -> bool:
    bound = place.kind == "code" and place.element.binding and codes(place.element.binding)
    if bound:
        place.node[place.key] = ["no-such-code"] if place.many else "no-such-code"
    return bool(bound)


NUMBERS = ("integer", "decimal", "positiveInt", "unsignedInt")
DRAWN = hypothesis_settings(
    max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.filter_too_much]
)


@pytest.mark.parametrize("name", MUTATORS)
@DRAWN
@given(data=st.data())
def test_mutants_are_refused(name: str, data: st.DataObject) -> None:
    resource = copy.deepcopy(data.draw(st.sampled_from(sound())))
    place = data.draw(st.sampled_from(list(places(resource, resource["resourceType"])) or [None]))
    assume(place is not None and MUTATORS[name](place))
    assert validate(resource) != []


@DRAWN
@given(data=st.data())
def test_untouched_copies_pass(data: st.DataObject) -> None:
    assert validate(copy.deepcopy(data.draw(st.sampled_from(sound())))) == []


@DRAWN
@given(
    data=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["resourceType", "id", "name", "entry", "value", "_id", "x"]), inner)
        ),
        max_leaves=12,
    )
)
def test_anything_at_all_gives_issues_and_never_an_exception(data: Any) -> None:
    for resource in (data, {"resourceType": "Patient", "name": data}, {"resourceType": "Bundle", "entry": data}):
        for issue in validate(resource):
            assert str(issue.text)
            assert issue.expression
