"""Numbers and quantities: https://hl7.org/fhir/R4/search.html#number, #quantity and #prefix."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from .values import Value, plain, split

Number = Fraction | float  # float for the infinities only

UCUM = "http://unitsofmeasure.org"
# What is measured and how much of it one is (https://ucum.org/ucum): units of these queries that can be converted.
UNITS = {
    "mg": ("mass", Fraction(1, 1000)),
    "Mg": ("mass", Fraction(10**6)),
    "min": ("time", Fraction(60)),
    "h": ("time", Fraction(3600)),
    "d": ("time", Fraction(86400)),
    "a": ("time", Fraction(86400) * Fraction("365.25")),
}


@dataclass(frozen=True)
class Range:
    """From `lo` to `hi`; an end that is open does not belong to it."""

    lo: Number
    hi: Number
    lo_open: bool = False
    hi_open: bool = False


def target(value: Value) -> Range | None:
    """The range of a stored value: a number is a point, "<5" is everything below 5, a missing end of a Range is open.

    R4 speaks of the precision of what is asked for ("values in the range [99.5 ... 100.5)"), so what is stored counts
    as it is.
    """
    if value.type == "Range":
        lo, hi = (value.value.get(end, {}).get("value") for end in ("low", "high"))
        if lo is None and hi is None:
            return None
        return Range(-math.inf if lo is None else Fraction(lo), math.inf if hi is None else Fraction(hi))
    if value.type in ("decimal", "integer"):
        return Range(Fraction(value.value), Fraction(value.value))
    if "value" not in value.value:
        return None
    number = Fraction(value.value["value"])
    return {
        "<": Range(-math.inf, number, hi_open=True),
        "<=": Range(-math.inf, number),
        ">": Range(number, math.inf, lo_open=True),
        ">=": Range(number, math.inf),
    }.get(value.value.get("comparator", ""), Range(number, number))


def implied(text: str) -> tuple[Fraction, Fraction]:
    """[lo, hi) of all numbers that are this one when rounded to its significant digits (#number, table).

    1.5e2 has two digits: [145, 155). 1e2 is [95, 105) in the table, though it has one.
    """
    number = Decimal(text)
    _sign, digits, exponent = number.as_tuple()
    half = Decimal(5).scaleb(exponent - 1)
    if exponent > 0 and len(digits) == 1:
        half /= 10
    return Fraction(number - half), Fraction(number + half)


def compare(stored: Range, prefix: str, text: str) -> bool:
    """`[prefix]number`: precision counts for eq and ne; for the others the number is exact; `ap` is 10 % around it."""
    x = Fraction(text)
    a, b = implied(text)
    contained = stored.lo >= a and (stored.hi < b or (stored.hi == b and stored.hi_open))
    near = abs(x) / 10
    return {
        "eq": contained,
        "ne": not contained,
        "gt": stored.hi > x,
        "lt": stored.lo < x,
        "ge": stored.hi > x or (stored.hi == x and not stored.hi_open),
        "le": stored.lo < x or (stored.lo == x and not stored.lo_open),
        "sa": stored.lo > x or (stored.lo == x and stored.lo_open),
        "eb": stored.hi < x or (stored.hi == x and stored.hi_open),
        "ap": _overlap(stored, x - near, x + near),
    }[prefix]


def _overlap(stored: Range, lo: Number, hi: Number) -> bool:
    below = stored.hi < lo or (stored.hi == lo and stored.hi_open)
    above = stored.lo > hi or (stored.lo == hi and stored.lo_open)
    return not below and not above


def in_unit(stored: Range, held: dict[str, Any], system: str, code: str) -> Range | None:
    """A stored range in the unit asked for; None if it cannot be compared with it.

    `number|system|code` converts between units of UCUM that measure the same (docs/search.md; R4 leaves it to the
    server); `number||code` is the code or the human unit as it is written, `number|system|` any unit of the system.
    """
    if system == UCUM and held.get("system") == UCUM and code in UNITS and held.get("code") in UNITS:
        (kind, factor), (wanted, into) = UNITS[held["code"]], UNITS[code]
        return replace(stored, lo=stored.lo * factor / into, hi=stored.hi * factor / into) if kind == wanted else None
    if system and code:
        same = held.get("system") == system and held.get("code") == code
    elif code:
        same = code in (held.get("code"), held.get("unit"))
    else:
        same = not system or held.get("system") == system
    return stored if same else None


def unit_of(value: Value) -> dict[str, Any]:
    """The quantity that holds the unit: of a Range its low end, else its high one; Money is in ISO 4217."""
    if value.type == "Range":
        return value.value.get("low") or value.value.get("high")
    if value.type == "Money":
        return {"system": "urn:iso:std:iso:4217", "code": value.value.get("currency")}
    return value.value


def number_matches(value: Value, prefix: str, text: str) -> bool:
    """A stored number or Range against `[prefix]number`."""
    stored = target(value)
    return stored is not None and compare(stored, prefix, text)


def quantity_matches(value: Value, prefix: str, text: str) -> bool:
    """A stored quantity against `[prefix]number` with or without `|system|code`."""
    number, system, code = (*(plain(part) for part in split(text, "|")), "", "")[:3]
    stored = target(value)
    converted = None if stored is None else in_unit(stored, unit_of(value), system, code)
    return converted is not None and compare(converted, prefix, number)
