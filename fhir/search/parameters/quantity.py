"""Quantities: a number with a unit (https://hl7.org/fhir/R4/search.html#quantity).

Amounts in units of UCUM are compared as amounts: 1 g is found as 1000 mg. A row in another unit than the one in which
its dimension is compared has a second row in that unit, under the parameter's code with `:canonical` behind it. Other
units are compared as they are written: by system and code, by code or human unit in any system, or not at all.
"""

from __future__ import annotations

import math
from typing import Any

from django.utils.translation import gettext_lazy as _

from fhir.definitions import units
from fhir.search import hashing
from fhir.search.catalogue import Parameter
from fhir.search.clauses import AnyOf, Clause
from fhir.search.comparison import Test
from fhir.search.rows import Ranges

from . import number
from .text import bad_modifier, bad_value, split, unescape

Row = tuple[int | None, float, float]  # unit, lo, hi
CANONICAL = ":canonical"
_CURRENCIES = "urn:iso:std:iso:4217"


def of_value(fhir_type: str, value: Any) -> Row | None:
    """Unit and interval of a Quantity (of any kind), Money, Range or SampledData; None where it says nothing."""
    if type(value) is not dict:
        found = number.of_value(fhir_type, value)
        return None if found is None else (None, *found)
    if fhir_type == "Range":
        return _range(value)
    if fhir_type == "SampledData":
        return _sampled(value)
    if fhir_type == "Money":
        value = {"value": value.get("value"), "system": _CURRENCIES, "code": value.get("currency")}
    amount = value.get("value")
    if amount is None:
        return None
    return _unit(value), *_compared(float(amount), value.get("comparator", ""))


def _compared(point: float, comparator: str) -> number.Interval:
    """From the point, up to it, or the point itself; with < and > the point does not belong to it."""
    return {
        "<": (-math.inf, math.nextafter(point, -math.inf)),
        "<=": (-math.inf, point),
        ">": (math.nextafter(point, math.inf), math.inf),
        ">=": (point, math.inf),
    }.get(comparator, (point, point))


def _unit(value: dict[str, Any]) -> int | None:
    return hashing.unit_number(value.get("system"), value.get("code"), value.get("unit"))


def _range(value: dict[str, Any]) -> Row | None:
    low, high = value.get("low", {}), value.get("high", {})
    lo, hi = low.get("value"), high.get("value")
    if lo is None and hi is None:
        return None
    return _unit(low or high), -math.inf if lo is None else float(lo), math.inf if hi is None else float(hi)


def _sampled(value: dict[str, Any]) -> Row | None:
    """From the lowest to the highest sample; `E`, `U` and `L` in the data are no numbers."""
    origin = value.get("origin", {})
    base, factor = float(origin.get("value", 0)), float(value.get("factor", 1))
    samples = [base + float(s) * factor for s in str(value.get("data", "")).split() if s not in ("E", "U", "L")]
    return (_unit(origin), min(samples), max(samples)) if samples else None


def canonical(fhir_type: str, value: Any) -> Row | None:
    """The same amount in the unit in which its dimension is compared, where that is another unit of UCUM."""
    if type(value) is not dict:
        return None
    measured = value.get("low") or value.get("high") or {} if fhir_type == "Range" else value.get("origin", value)
    if measured.get("system") != units.SYSTEM:
        return None
    unit = units.conversion(measured.get("code") or "")
    row = of_value(fhir_type, value)
    if unit is None or row is None or unit.code == measured["code"]:
        return None
    number = hashing.unit_number(units.SYSTEM, unit.code, None)
    if fhir_type in ("Range", "SampledData"):
        return number, _converted(unit, row[1]), _converted(unit, row[2])
    lo, hi = _compared(_converted(unit, value["value"]), value.get("comparator", ""))
    return number, lo, hi


def _converted(unit: units.Conversion, amount: Any) -> float:
    if isinstance(amount, float) and not math.isfinite(amount):
        return amount
    try:
        return float(unit.of(amount))
    except OverflowError:
        return math.inf if amount > 0 else -math.inf


def asked_units(text: str, system: str | None) -> tuple[tuple[int, int], ...]:
    """The ways in which a stored unit can be the one asked for: (mask, bits) each; () for any unit."""
    if not text:
        return ((hashing.SYSTEM_MASK, hashing.unit_system_bits(system)),) if system else ()
    code = hashing.unit_code_bits(text)
    if system:
        return ((hashing.CODE_MASK | hashing.SYSTEM_MASK, code | hashing.unit_system_bits(system)),)
    return (hashing.CODE_MASK, code), (hashing.HUMAN_MASK, hashing.unit_human_bits(text))


def test(code: str, value: str) -> tuple[Test, bool]:
    """The comparison of `[prefix]number`, `number|system|code` or `number||code`; whether canonical rows count.

    Raises InvalidRequest.
    """
    parts = [unescape(part) for part in split(value, "|")]
    if len(parts) not in (1, 3):
        message = _("“%(value)s” is not a quantity that can be searched for in “%(code)s”: write number, "
                    "number|system|code or number||unit.")  # fmt: skip
        raise bad_value(code, value, message)
    unit = units.conversion(parts[2]) if len(parts) == 3 and parts[1] == units.SYSTEM else None
    if unit is None:
        return number.test(code, parts[0], asked_units(parts[2], parts[1]) if len(parts) == 3 else ()), False
    return number.test(code, parts[0], asked_units(unit.code, units.SYSTEM), unit), True


def parse(parameter: Parameter, modifier: str | None, values: list[str]) -> Clause:
    """The clause of one repetition; values come with their escapes. Raises InvalidRequest."""
    if modifier is not None:
        raise bad_modifier(parameter.code, modifier, ("missing",))
    tests = [test(parameter.code, value) for value in values]
    found: list[Clause] = []
    for wanted in (False, True):
        chosen = tuple(asked for asked, in_canonical in tests if in_canonical is wanted)
        if chosen:
            found.append(Ranges(_numbers(parameter, wanted), chosen, parameter.code))
    return found[0] if len(found) == 1 else AnyOf(tuple(found))


def _numbers(parameter: Parameter, with_canonical: bool) -> tuple[int, ...]:
    codes = [code + end for code in parameter.stored_as for end in ("", CANONICAL)[: 1 + with_canonical]]
    return tuple(hashing.parameter_number(parameter.resource_type, code) for code in codes)
