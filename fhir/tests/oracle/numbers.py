"""Numbers and quantities: https://hl7.org/fhir/R4/search.html#number, #quantity and #prefix."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from .values import Value, plain, split

INFINITY = Decimal("Infinity")


@dataclass(frozen=True)
class Range:
    """From `lo` to `hi`; an end that is open does not belong to it."""

    lo: Decimal
    hi: Decimal
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
        return Range(-INFINITY if lo is None else Decimal(lo), INFINITY if hi is None else Decimal(hi))
    if value.type in ("decimal", "integer"):
        return Range(Decimal(value.value), Decimal(value.value))
    if "value" not in value.value:
        return None
    number = Decimal(value.value["value"])
    return {
        "<": Range(-INFINITY, number, hi_open=True),
        "<=": Range(-INFINITY, number),
        ">": Range(number, INFINITY, lo_open=True),
        ">=": Range(number, INFINITY),
    }.get(value.value.get("comparator", ""), Range(number, number))


def implied(text: str) -> tuple[Decimal, Decimal]:
    """[lo, hi) of all numbers that are this one when rounded to its significant digits (#number, table).

    1.5e2 has two digits: [145, 155). 1e2 is [95, 105) in the table, though it has one.
    """
    number = Decimal(text)
    _sign, digits, exponent = number.as_tuple()
    half = Decimal(5).scaleb(exponent - 1)
    if exponent > 0 and len(digits) == 1:
        half /= 10
    return number - half, number + half


def compare(stored: Range, prefix: str, text: str) -> bool:
    """`[prefix]number`: precision counts for eq and ne; for the others the number is exact; `ap` is 10 % around it."""
    x = Decimal(text)
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


def _overlap(stored: Range, lo: Decimal, hi: Decimal) -> bool:
    below = stored.hi < lo or (stored.hi == lo and stored.hi_open)
    above = stored.lo > hi or (stored.lo == hi and stored.lo_open)
    return not below and not above


def unit_matches(quantity: dict[str, Any], system: str, code: str) -> bool:
    """`number|system|code`, `number||code`: code or human unit in any system; `number|system|`: any of the system."""
    if system and code:
        return quantity.get("system") == system and quantity.get("code") == code
    if code:
        return code in (quantity.get("code"), quantity.get("unit"))
    return not system or quantity.get("system") == system


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
    return stored is not None and unit_matches(unit_of(value), system, code) and compare(stored, prefix, number)
