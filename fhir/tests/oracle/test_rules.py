"""The oracle's own examples: those that the specification gives for each rule."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from fhir.definitions.search_parameters import parameters

from . import codes, dates, numbers, references, texts, tokens
from .judge import World, disorder, judge
from .parameters import COMPARTMENT, PARAMETERS
from .values import Value, escaped, plain, split

BASE = "http://example.org/fhir"
NOW = dates.interval("2024-01-01T00:00:00Z")[0]
FROM_JANUARY = Value("Period", {"start": "2013-01-21"})
FROM_MARCH = Value("Period", {"start": "2013-03-15"})
UNTIL_JANUARY = Value("Period", {"end": "2013-01-21"})


@pytest.mark.parametrize(
    ("stored", "prefix", "asked", "expected"),
    [
        ("2013-01-14T00:00:00-05:00", "eq", "2013-01-14", True),
        ("2013-01-14T10:00:00-05:00", "eq", "2013-01-14", True),
        ("2013-01-15T00:00:00-05:00", "eq", "2013-01-14", False),
        ("2013-01-15T00:00:00-05:00", "ne", "2013-01-14", True),
        ("2013-01-14T10:00:00-05:00", "ne", "2013-01-14", False),
        ("2013-01-14", "lt", "2013-01-14T10:00", True),
        ("2013-01-14", "gt", "2013-01-14T10:00", True),
        ("2013-01-14", "gt", "2013-01-14", False),
        (FROM_JANUARY, "ge", "2013-03-14", True),
        (FROM_JANUARY, "le", "2013-03-14", True),
        (FROM_MARCH, "sa", "2013-03-14", True),
        (FROM_JANUARY, "sa", "2013-03-14", False),
        (UNTIL_JANUARY, "sa", "2013-03-14", False),
        (FROM_MARCH, "eb", "2013-03-14", False),
        (FROM_JANUARY, "eb", "2013-03-14", False),
        (UNTIL_JANUARY, "eb", "2013-03-14", True),
        ("2013-03-14", "ap", "2013-03-14", True),
        ("1999-06-15", "ap", "2013-03-14", False),
        (Value("Period", {"start": "2024-01-01", "end": "2024-12-31"}), "ge", "2024-12-31", True),
        ("2024-02-29", "eq", "2024-02", True),
        ("2024-02", "eq", "2024-02-29", False),
        ("2024-01-01T04:59:59Z", "eq", "2023", True),
        ("9999-12-31", "eq", "9999", True),
    ],
)
def test_dates(settings: Any, stored: Any, prefix: str, asked: str, expected: bool) -> None:
    settings.TIME_ZONE = "America/Bogota"
    value = stored if isinstance(stored, Value) else Value("dateTime", stored)
    assert dates.matches(value, prefix, asked, NOW) is expected


@pytest.mark.parametrize(
    ("asked", "lo", "hi"),
    [
        ("100", "99.5", "100.5"),
        ("100.00", "99.995", "100.005"),
        ("1e2", "95", "105"),
        ("1.5e2", "145", "155"),
        ("5.40e-3", "0.005395", "0.005405"),
        ("-5.4", "-5.45", "-5.35"),
    ],
)
def test_the_precision_of_numbers(asked: str, lo: str, hi: str) -> None:
    assert numbers.implied(asked) == (Decimal(lo), Decimal(hi))


@pytest.mark.parametrize(
    ("comparator", "prefix", "asked", "expected"),
    [
        ("", "ge", "5", True),
        ("", "gt", "5", False),
        ("<", "ge", "5", False),
        ("<=", "ge", "5", True),
        ("<", "lt", "-1000", True),
        ("<", "eb", "5", True),
        (">", "sa", "5", True),
        (">", "eq", "5", False),
    ],
)
def test_comparators_are_ranges(comparator: str, prefix: str, asked: str, expected: bool) -> None:
    quantity = {"value": 5, **({"comparator": comparator} if comparator else {})}
    assert numbers.quantity_matches(Value("Quantity", quantity), prefix, asked) is expected


def test_units() -> None:
    gram = {"value": 1000, "unit": "milligram", "system": numbers.UCUM, "code": "mg"}
    asked = {"1000": True, f"1000|{numbers.UCUM}|mg": True, "1000||milligram": True, "1000||g": False}
    asked |= {"1000|http://other.example|mg": False, f"1000|{numbers.UCUM}|": True, f"1e-6|{numbers.UCUM}|Mg": True}
    assert {text: numbers.quantity_matches(Value("Quantity", gram), "eq", text) for text in asked} == asked


@pytest.mark.parametrize(
    ("stored", "modifier", "asked", "expected"),
    [
        ("Evelyn", None, "eve", True),
        ("Severine", None, "eve", False),
        ("Severine", "contains", "eve", True),
        ("Eve", "exact", "Eve", True),
        ("EVE", "exact", "Eve", False),
        ("José", None, "JOSE", True),
        ("O'Brien", None, "obrien", True),
        ("Pérez-Gómez", None, "perez gom", True),
        ("100%", None, "100_", True),
    ],
)
def test_texts(stored: str, modifier: str | None, asked: str, expected: bool) -> None:
    assert texts.text_matches(stored, modifier, asked) is expected


def test_tokens() -> None:
    coded = Value("CodeableConcept", {"coding": [{"system": "http://a.example", "code": "x|y"}, {"code": "z"}]})
    asked = {r"x\|y": True, r"http://a.example|x\|y": True, "z": True, "|z": True, "http://a.example|z": False}
    asked |= {r"|x\|y": False, "http://a.example|": True, "Z": False, "http://b.example|": False}
    assert {text: tokens.matches(coded, text) for text in asked} == asked
    typed = Value("Identifier", {"value": "446053", "type": {"coding": [{"system": "http://t.example", "code": "MR"}]}})
    assert tokens.of_type_matches(typed, "http://t.example|MR|446053")
    assert not tokens.of_type_matches(typed, "http://t.example|MR|446")


def test_hierarchies_and_sets_of_codes() -> None:
    kind = Value("Coding", {"system": codes.ONE, "code": "b"})
    asked = {("below", "a"): True, ("below", "b"): True, ("below", r"b-1"): False, ("below", "A"): False}
    asked |= {("above", "b-1"): True, ("above", "b"): True, ("above", "a"): False, ("above", r"x\|y"): False}
    assert {(m, code): codes.matches(kind, m, f"{codes.ONE}|{code}") for m, code in asked} == asked
    elsewhere = Value("Coding", {"system": codes.TWO, "code": "b"})
    assert not codes.matches(elsewhere, "below", f"{codes.ONE}|a")
    assert [codes.matches(kind, "in", f"ValueSet/r-set-{n}") for n in range(5)] == [False, True, True, False, False]


def test_references() -> None:
    here = [Value("Reference", {"reference": text}) for text in ("Patient/123", f"{BASE}/Patient/123")]
    for asked in ("123", "Patient/123", f"{BASE}/Patient/123"):
        assert all(references.matches(value, None, asked, BASE) for value in here)
        assert all(references.matches(value, "Patient", asked, BASE) for value in here)
    assert not references.matches(here[0], "Group", "123", BASE)
    assert not references.matches(here[0], None, "Patient/123/_history/1", BASE)
    version = Value("Reference", {"reference": "Patient/123/_history/1"})
    assert references.matches(version, None, "Patient/123", BASE)
    assert not references.matches(version, None, "Patient/123/_history/2", BASE)


def test_addresses() -> None:
    url = Value("uri", "http://acme.org/fhir/ValueSet/123")
    assert references.uri_matches(url, "below", "http://acme.org/fhir/")
    assert references.uri_matches(url, "above", "http://acme.org/fhir/ValueSet/123/_history/5")
    assert not references.uri_matches(url, "below", "http://acme.org/fhir/Value")
    assert not references.uri_matches(Value("uri", "urn:oid:1.2.3"), "below", "urn:oid:1.2")


def test_escapes() -> None:
    for text in ("a,b", "a|b", "a$b", "a\\b", "a\\,b", "\\", "\\\\,", "x"):
        assert plain(escaped(text)) == text
        assert split(escaped(text), ",") == [escaped(text)]
    assert split("a\\,b,c", ",") == ["a\\,b", "c"]


def test_links_and_order() -> None:
    patients = [{"resourceType": "Patient", "id": name, "name": [{"family": name}]} for name in ("b", "a")]
    patients.append({"resourceType": "Patient", "id": "c"})
    code = {"coding": [{"code": "x"}]}
    seen = {"resourceType": "Observation", "id": "o", "subject": {"reference": "Patient/a"}, "code": code}
    world = World([*patients, seen], BASE, NOW)
    assert judge(world, ("Patient",), [("_has:Observation:patient:code", "x")]) == [patients[1]]
    assert judge(world, ("Observation",), [("subject:Patient.family", "A")]) == [seen]
    assert judge(world, ("Observation",), [("patient.family:missing", "true")]) == []
    assert disorder([patients[1], patients[0], patients[2]], "family") is None
    assert disorder([patients[0], patients[1], patients[2]], "-family") is None
    assert disorder(patients, "family") is not None
    assert disorder([patients[2], patients[1]], "-family") is not None


# Parameters that look into extensions, or have a rule of their own.
ELSEWHERE = {"mothersMaidenName", "part-agree", "assessed-condition", "amino-acid-change", "dna-variant"}
ELSEWHERE |= {"gene-amino-acid-change", "gene-dnavariant", "gene-identifier"}


@pytest.mark.parametrize("resource_type", list(PARAMETERS))
def test_no_official_parameter_is_forgotten(resource_type: str) -> None:
    official = {code: p.type for code, p in parameters(resource_type).items() if code not in ELSEWHERE}
    assert {code: p.type for code, p in PARAMETERS[resource_type].items()} == official
    assert set(COMPARTMENT.get(resource_type, ())) <= official.keys()
