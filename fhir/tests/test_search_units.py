"""Quantities in commensurable units of UCUM are compared as amounts: https://hl7.org/fhir/R4/search.html#quantity."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from fhir.definitions import units

UCUM = units.SYSTEM


@pytest.mark.parametrize(
    ("amount", "code", "into", "expected"),
    [
        ("1", "g", "mg", "1000"),
        ("5.5", "mmol/L", "umol/mL", "5.5"),
        ("98.6", "[degF]", "Cel", "37"),
        ("310.15", "K", "Cel", "37"),
        ("16", "kPa", "mm[Hg]", None),
        ("4.2", "10*6/uL", "{cells}/pL", "4.2"),
        ("2", "h", "min", "120"),
        ("1", "mL/min/{1.73_m2}", "L/h", "0.06"),
    ],
)
def test_amounts_are_equal_in_either_unit(amount: str, code: str, into: str, expected: str | None) -> None:
    first, second = units.conversion(code), units.conversion(into)
    assert first is not None and second is not None and first.code == second.code
    if expected is not None:
        assert first.of(Decimal(amount)) == second.of(Decimal(expected))


@pytest.mark.parametrize(
    ("one", "other"), [("mg/dL", "mmol/L"), ("mmol/L", "10*3/uL"), ("[iU]/L", "U/L"), ("[pH]", "1"), ("B", "1")]
)
def test_what_measures_something_else_is_compared_apart(one: str, other: str) -> None:
    first, second = units.conversion(one), units.conversion(other)
    assert first is not None and second is not None and first.code != second.code


@pytest.mark.parametrize(
    "code", ["", "mmHg", "mg/", "/", "mg//dL", "(mg", "mg)", "bpm", "mg dL", "m" * 300, "(" * 60, "2mg", "1/0"]
)
def test_what_is_no_unit_is_not_converted(code: str) -> None:
    assert units.conversion(code) is None


@pytest.fixture
def measured(api: Any) -> Any:
    """Observations under a tag, by name: what each weighs, and one with a component."""
    client, tag = api(role="administrator"), f"t{uuid4().hex}"
    made: dict[str, str] = {}

    def make(name: str, value: float, unit: str, system: str | None = UCUM) -> None:
        quantity = {"value": value, "unit": unit} | ({"system": system, "code": unit} if system else {})
        code = {"coding": [{"system": "http://x.example", "code": "dose"}]}
        part = {"coding": [{"system": "http://x.example", "code": "part"}]}
        component = [{"code": part, "valueQuantity": quantity}]
        body = {"resourceType": "Observation", "status": "final", "code": code, "valueQuantity": quantity}
        body |= {"component": component, "meta": {"tag": [{"code": tag}]}}
        answer = client.post("Observation", body)
        assert answer.status_code == 201, answer.content
        made[answer.json()["id"]] = name

    for name, value, unit in (("gram", 1, "g"), ("thousand", 1000, "mg"), ("kilo", 1, "kg"), ("litre", 1, "L")):
        make(name, value, unit)
    make("other", 1000, "mg", "http://units.example")
    make("none", 1000, "mg", None)

    def found(query: str) -> set[str]:
        answer = client.get(f"Observation?_tag={tag}&{query}")
        assert answer.status_code == 200, answer.content
        return {made[entry["resource"]["id"]] for entry in answer.json().get("entry", ())}

    return found


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (f"value-quantity=1|{UCUM}|g", {"gram", "thousand"}),
        (f"value-quantity=1000|{UCUM}|mg", {"gram", "thousand"}),
        (f"value-quantity=0.001|{UCUM}|kg", {"gram", "thousand"}),
        (f"value-quantity=gt1|{UCUM}|g", {"kilo"}),
        (f"value-quantity=ne1|{UCUM}|g", {"kilo"}),
        (f"value-quantity=le1|{UCUM}|kg", {"gram", "thousand", "kilo"}),
        ("value-quantity=1000||mg", {"thousand", "other", "none"}),
        ("value-quantity=1000|http://units.example|mg", {"other"}),
        ("value-quantity=1000", {"thousand", "other", "none"}),
        (f"value-quantity=1|{UCUM}|kg,1000", {"kilo", "thousand", "other", "none"}),
        (f"combo-value-quantity=1|{UCUM}|g", {"gram", "thousand"}),
        (f"code-value-quantity=http://x.example|dose$ge1|{UCUM}|g", {"gram", "thousand", "kilo"}),
        (f"code-value-quantity=dose$1|{UCUM}|g", {"gram", "thousand"}),
        (f"component-code-value-quantity=part$lt1000000|{UCUM}|mg", {"gram", "thousand"}),
        (f"value-quantity=1|{UCUM}|mL", set()),
    ],
)
def test_a_search_finds_the_amount_in_any_unit(measured: Any, query: str, expected: set[str]) -> None:
    assert measured(query) == expected
