"""Formats of primitive values (https://hl7.org/fhir/R4/datatypes.html#primitive)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from fhir import json
from fhir.validation import validate

GOOD: dict[str, list[Any]] = {
    "boolean": [True, False],
    "integer": [0, -1, 2147483647, -2147483648],
    "positiveInt": [1, 2147483647],
    "unsignedInt": [0, 2147483647],
    "decimal": [0, -3, Decimal("1.00"), Decimal("1E+3"), Decimal("0.1234567890123456789")],
    "string": ["x", " x ", "a\nb\tc\r", "no\u00a0break", "日本", "\u3000x"],
    "markdown": ["# x\n\ny"],
    "code": ["a", "a b", "a-b.c"],
    "id": ["a", "A-1.b", "x" * 64],
    "uri": ["http://example.org/a?b=c", "urn:x", "a", "mailto:a@example.org"],
    "url": ["http://example.org"],
    "canonical": ["http://example.org|1.0"],
    "oid": ["urn:oid:1.2.3", "urn:oid:2.16.840.1.113883.4.642"],
    "uuid": ["urn:uuid:c757873d-ec9a-4326-a141-556f43239520"],
    "base64Binary": ["aGVsbG8=", "aGVs\nbG8=", "AAAA", " AAAA "],
    "date": ["2020", "2020-02", "2020-02-29", "1999-12-31", "0001", "2000-02-29"],
    "dateTime": [
        "2020",
        "2020-02",
        "2020-02-29",
        "2020-02-29T00:00:00Z",
        "2015-06-30T23:59:60Z",
        "2020-02-29T10:20:30.123456789+05:30",
        "2020-02-29T10:20:30-14:00",
    ],
    "instant": ["2020-02-29T10:20:30Z", "2020-02-29T10:20:30.1+01:00"],
    "time": ["00:00:00", "23:59:60", "10:20:30.5"],
}

BAD: dict[str, list[Any]] = {
    "boolean": ["true", 1, 0, "", None, [True], {}],
    "integer": [2147483648, -2147483649, Decimal("1.0"), 1.5, "1", True, None, [1]],
    "positiveInt": [0, -1, 2147483648, "1", True],
    "unsignedInt": [-1, 2147483648, "0", False],
    "decimal": ["1.0", True, None, [1], {}],
    "string": ["", " ", "\t\n", "a\0b", "a\x0bc", "a\ud800", 1, True, None, ["x"], {"x": 1}, "x" * (1024 * 1024 + 1)],
    "markdown": ["", "  ", 1],
    "code": ["", " a", "a ", "a  b", 1],
    "id": ["", "a_b", "a b", "x" * 65, "ñ", "a/b", 1],
    "uri": ["", "has space", "http://example.org/a b", "a\nb", "a\0", "a\udfff", 1],
    "url": ["a b", ""],
    "canonical": ["a b", ""],
    "oid": ["1.2.3", "urn:oid:3.1", "urn:oid:1.02", "urn:oid:1"],
    "uuid": ["urn:uuid:C757873D-EC9A-4326-A141-556F43239520", "c757873d-ec9a-4326-a141-556f43239520", "urn:uuid:x"],
    "base64Binary": ["@@@", "abc", "", "aGVsbG8=é", "a-_b", 1],
    "date": [
        "0000",
        "2021-02-29",
        "1900-02-29",
        "2021-02-30",
        "2021-04-31",
        "2021-13",
        "2021-00",
        "2021-1-1",
        "20210101",
        "21",
        "2021-01-01T00:00:00Z",
        "yesterday",
        "",
        2021,
        " 2021",
        "2021\n",
        "٢٠٢١",
    ],
    "dateTime": [
        "2021-02-30",
        "2021-02-30T00:00:00Z",
        "2021-01-01T00:00:00",
        "2021-01-01T00:00Z",
        "2021-01-01T24:00:00Z",
        "2021-01-01T00:61:00Z",
        "2021-01-01T00:00:00+15:00",
        "2021-01-01 00:00:00Z",
        "2021-01T00:00:00Z",
    ],
    "instant": ["2021", "2021-01-01", "2021-01-01T00:00:00", "2021-02-31T00:00:00Z"],
    "time": ["24:00:00", "10:20", "10:20:61", "10:20:30Z"],
}


def extension(kind: str, value: Any) -> dict[str, Any]:
    key = "value" + kind[0].upper() + kind[1:]
    return {"resourceType": "Basic", "code": {"text": "x"}, "extension": [{"url": "http://example.org/x", key: value}]}


def cases(table: dict[str, list[Any]]) -> list[Any]:
    return [pytest.param(k, v, id=f"{k}-{str(v)[:40]!r}") for k, values in table.items() for v in values]


@pytest.mark.parametrize(("kind", "value"), cases(GOOD))
def test_accepted(kind: str, value: Any) -> None:
    assert [str(issue.text) for issue in validate(extension(kind, value))] == []


@pytest.mark.parametrize(("kind", "value"), cases(BAD))
def test_refused(kind: str, value: Any) -> None:
    (issue,) = validate(extension(kind, value))
    assert issue.expression == ("Basic.extension[0].value",)
    assert issue.code in ("value", "structure")


def test_numbers_are_judged_as_they_were_written() -> None:
    def patient(number: str) -> Any:
        return json.loads('{"resourceType":"Patient","multipleBirthInteger":' + number + "}")

    assert validate(patient("2")) == []
    assert len(validate(patient("2.0"))) == 1
    assert len(validate(patient("2e0"))) == 1


def test_a_long_value_is_quoted_short() -> None:
    (issue,) = validate(extension("uri", "a b" * 1000))
    assert len(str(issue.text)) < 250


def test_megabytes_of_base64_are_judged() -> None:
    assert validate(extension("base64Binary", "AAAA" * 1_000_000)) == []
    assert len(validate(extension("base64Binary", "AAAA" * 1_000_000 + "@"))) == 1
