"""Conditions judged without SQL, on the index rows of one resource: for resources that lie inside others.

Each rule says what the clause of the same name says in SQL.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from fhir.definitions.structure import TYPE_NAME
from fhir.exceptions import InvalidRequest
from fhir.index_rows import IndexRows

from .clauses import AllOf, AnyOf, Clause, Everything, Ids, Not, Nothing, Present, Terms, Types, Updated
from .comparison import Test
from .hashing import own_term
from .parameters import date
from .rows import CodeValues, Near, Ranges, Strings

_EARTH = 6371008.8
_Ends = tuple[float, float, float, float, float]  # lo and hi of the row, lo, hi and value asked for

_DATE: dict[str, Callable[[_Ends], bool]] = {
    "eq": lambda e: e[0] >= e[2] and e[1] <= e[3],
    "ne": lambda e: e[0] < e[2] or e[1] > e[3],
    "gt": lambda e: e[1] > e[3],
    "lt": lambda e: e[0] < e[2],
    "ge": lambda e: e[1] > e[2],
    "le": lambda e: e[0] < e[3],
    "sa": lambda e: e[0] >= e[3],
    "eb": lambda e: e[1] <= e[2],
    "ap": lambda e: e[0] < e[3] and e[1] > e[2],
    "co": lambda e: e[0] <= e[2] and e[1] >= e[3],
}
_NUMBER: dict[str, Callable[[_Ends], bool]] = {
    "eq": lambda e: e[0] >= e[2] and e[1] < e[3],
    "ne": lambda e: e[0] < e[2] or e[1] >= e[3],
    "gt": lambda e: e[1] > e[4],
    "lt": lambda e: e[0] < e[4],
    "ge": lambda e: e[1] >= e[4],
    "le": lambda e: e[0] <= e[4],
    "sa": lambda e: e[0] > e[4],
    "eb": lambda e: e[1] < e[4],
    "ap": lambda e: e[0] <= e[3] and e[1] >= e[2],
}


@dataclass(frozen=True, slots=True)
class Judged:
    """A resource with its index rows."""

    resource: dict[str, Any]
    rows: IndexRows


def holds(clause: Clause, judged: Judged) -> bool:
    """Whether the resource meets the condition. Raises InvalidRequest for one that looks at other resources."""
    match clause:
        case AllOf():
            return all(holds(each, judged) for each in clause.clauses)
        case AnyOf():
            return any(holds(each, judged) for each in clause.clauses)
        case Not():
            return not holds(clause.clause, judged)
        case Everything():
            return True
        case Nothing():
            return False
        case Types():
            return judged.resource["resourceType"] in {TYPE_NAME[number] for number in clause.numbers}
    return _of_rows(clause, judged)


def _of_rows(clause: Clause, judged: Judged) -> bool:
    rows = judged.rows
    match clause:
        case Terms():
            return not set(clause.hashes).isdisjoint(rows.terms[1:])
        case Ids():
            return own_term(judged.resource["resourceType"], judged.resource["id"]) in clause.own_terms
        case Present():
            return bool(rows.present & clause.mask) == clause.present
        case Updated():
            return _updated(clause.tests, judged.resource)
        case Strings():
            return any(_text(clause, row[1], row[2]) for row in rows.strings if row[0] in clause.params)
        case Ranges():
            groups = (clause.tests, *clause.further)
            found = [row for row in rows.ranges if row[0] in clause.params]
            return any(all(_any(group, *row[1:]) for group in groups) for row in found)
        case CodeValues():
            return any(
                each.first <= row[0] <= each.last and all(passes(test, *row[1:]) for test in each.tests)
                for each in clause.alternatives
                for row in rows.code_values
            )
        case Near():
            return any(_distance(clause, *row[2:]) <= clause.metres for row in rows.ranges if row[0] == clause.param)
    text = _("Conditions on other resources, or on words, cannot be used together with “_contained”.")
    raise InvalidRequest(text, code="not-supported", expression="_contained")


def _any(tests: Iterable[Test], unit: int | None, lo: float, hi: float) -> bool:
    return any(passes(test, unit, lo, hi) for test in tests)


def passes(test: Test, unit: int | None, lo: float, hi: float) -> bool:
    """Whether a row with this unit and interval passes a test."""
    if test.units and (unit is None or all(unit & mask != bits for mask, bits in test.units)):
        return False
    if test.column is not None:
        lo = hi = lo if test.column == "lo" else hi
    rules = _DATE if test.value is None else _NUMBER
    return rules[test.prefix]((lo, hi, test.lo, test.hi, test.value or 0.0))


def _text(clause: Strings, folded: str, exact: str) -> bool:
    for value, as_written in clause.values:
        found = {
            "exact": exact == as_written,
            "contains": value in folded,
            "ends": folded.endswith(value),
            "equal": folded == value,
        }.get(clause.operator, folded.startswith(value))
        if found:
            return True
    return False


def _updated(tests: Iterable[Test], resource: dict[str, Any]) -> bool:
    """Contained resources have no time of their own."""
    text = resource.get("meta", {}).get("lastUpdated")
    if text is None:
        return False
    lo = date.interval(text)[0]
    return any(_DATE[test.prefix]((lo, lo + 1, test.lo, test.hi, 0.0)) for test in tests)


def _distance(near: Near, latitude: float, longitude: float) -> float:
    """Metres along the great circle."""
    one, other = math.radians(near.latitude), math.radians(latitude)
    half = math.sin((other - one) / 2) ** 2
    half += math.cos(one) * math.cos(other) * math.sin(math.radians(longitude - near.longitude) / 2) ** 2
    return 2 * _EARTH * math.asin(min(1.0, math.sqrt(half)))
