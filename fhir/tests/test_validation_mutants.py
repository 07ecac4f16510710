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
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fhir import json
from fhir.definitions.structure import Element, type_definition
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
MAY_WAIT = {"linkId"}  # on some items of a draft: a warning


@cache
def sound() -> list[dict[str, Any]]:
    if not EXAMPLES.exists():
        return OWN
    lines = gzip.decompress(EXAMPLES.read_bytes()).splitlines()
    resources = [json.loads(line) for line in lines if len(line) < 6_000]
    return [r for r in resources if validate(r) == []]


@dataclass(frozen=True)
class Place:
    """An element that is present in a resource: its object and the type of that, its JSON key, definition and type."""

    node: dict[str, Any]
    owner: str
    key: str
    element: Element
    kind: str

    @property
    def primitive(self) -> bool:
        return type_definition(self.kind).kind == "primitive"

    @property
    def many(self) -> bool:
        return self.element.max is None


@cache
def elements(kind: str) -> dict[str, tuple[Element, str]]:
    """JSON key → (element, type) of a type."""
    found = type_definition(kind).elements.values()
    return {key: (element, of) for element in found for key, of in element.keys()}  # noqa: SIM118


def places(node: dict[str, Any], kind: str) -> Iterator[Place]:
    for key in node:
        if key not in elements(kind):
            continue
        element, of = elements(kind)[key]
        yield Place(node, kind, key, element, of)
        if type_definition(of).kind != "primitive":
            for value in node[key] if element.max is None else [node[key]]:
                yield from places(value, value["resourceType"] if of == "Resource" else of)


Fits = Callable[[Place], Any]
Breaks = Callable[[Place], None]
MUTATORS: dict[str, tuple[Fits, Breaks]] = {}

NUMBERS = ("integer", "decimal", "positiveInt", "unsignedInt")
BAD_DAYS = {"date": "2021-02-30", "dateTime": "2021-02-29T10:00:00Z", "instant": "2021-04-31T00:00:00Z"}


def mutator(fits: Fits) -> Callable[[Breaks], Breaks]:
    """Registers a function that breaks a place, and where it can."""

    def register(breaks: Breaks) -> Breaks:
        MUTATORS[breaks.__name__] = (fits, breaks)
        return breaks

    return register


def put(place: Place, value: Any) -> None:
    place.node[place.key] = [value] if place.many else value


def is_required(place: Place) -> bool:
    return bool(place.element.min) and place.key not in MAY_WAIT and "_" + place.key not in place.node


@mutator(is_required)
def delete_required(place: Place) -> None:
    del place.node[place.key]


@mutator(lambda place: True)
def add_unknown(place: Place) -> None:
    place.node["unknownElement"] = "x"


@mutator(lambda place: True)
def set_null(place: Place) -> None:
    place.node[place.key] = None


@mutator(lambda place: True)
def empty_list(place: Place) -> None:
    place.node[place.key] = []


@mutator(lambda place: True)
def empty_object(place: Place) -> None:
    put(place, {})


@mutator(lambda place: not place.many)
def list_for_single(place: Place) -> None:
    place.node[place.key] = [place.node[place.key]]


@mutator(lambda place: place.many)
def single_for_list(place: Place) -> None:
    place.node[place.key] = place.node[place.key][0]


@mutator(lambda place: True)
def wrong_type(place: Place) -> None:
    put(place, "true" if place.kind == "boolean" else "1" if place.kind in NUMBERS else 12)


@mutator(lambda place: place.primitive)
def empty_text(place: Place) -> None:
    put(place, " ")


@mutator(lambda place: place.element.choice and len(place.element.types) > 1)
def second_choice(place: Place) -> None:
    forms = [key for key, (element, _) in elements(place.owner).items() if element is place.element]
    place.node[next(key for key in forms if key != place.key)] = "x"


@mutator(lambda place: place.kind in BAD_DAYS)
def no_such_day(place: Place) -> None:
    put(place, BAD_DAYS[place.kind])


@mutator(lambda place: place.kind == "code" and place.element.binding and codes(place.element.binding))
def bad_code(place: Place) -> None:
    put(place, "no-such-code")


DRAWN = hypothesis_settings(
    max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


def fitting(resource: dict[str, Any], fits: Fits) -> list[Place]:
    return [place for place in places(resource, resource["resourceType"]) if fits(place)]


@pytest.mark.parametrize("name", MUTATORS)
def test_mutants_are_refused(name: str) -> None:
    fits, breaks = MUTATORS[name]
    candidates = [resource for resource in sound() if fitting(resource, fits)]

    @DRAWN
    @given(data=st.data())
    def refuses(data: st.DataObject) -> None:
        resource = copy.deepcopy(data.draw(st.sampled_from(candidates)))
        breaks(data.draw(st.sampled_from(fitting(resource, fits))))
        assert validate(resource) != []

    refuses()


@DRAWN
@given(data=st.data())
def test_untouched_copies_pass(data: st.DataObject) -> None:
    assert validate(copy.deepcopy(data.draw(st.sampled_from(sound())))) == []


JUNK: tuple[Any, ...] = (
    "", "x", "#", " ", 5, -1, 1.5, True, None, [], {}, [None], [{}], ["x"], [[]], {"x": 1}, {"id": "a"}, "2021-99-99",
    "\0", "\ud800", 10**40, {"resourceType": "Patient"}, {"resourceType": "Nope"}, {"resourceType": []},
)  # fmt: skip


def slots(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key or index) of a JSON value."""
    for key in node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
        yield node, key
        yield from slots(node[key])


@hypothesis_settings(DRAWN, max_examples=400)
@given(data=st.data())
def test_junk_in_any_place_gives_issues_and_never_an_exception(data: st.DataObject) -> None:
    resource = copy.deepcopy(data.draw(st.sampled_from(sound())))
    container, key = data.draw(st.sampled_from(list(slots(resource))))
    if isinstance(container, dict) and data.draw(st.booleans()):
        key = data.draw(st.sampled_from([f"_{key}", f"{key}x", "id", "extension", "contained", "resourceType"]))
    container[key] = copy.deepcopy(data.draw(st.sampled_from(JUNK)))
    for issue in validate(resource, warnings=True):
        assert str(issue.text)
        assert issue.expression


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
