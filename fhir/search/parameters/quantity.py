"""Quantities: a number with a unit (https://hl7.org/fhir/R4/search.html#quantity).

The unit is compared as it is written: by system and code, by code or human unit in any system, or not at all.
"""

from __future__ import annotations

import math
from typing import Any

from django.utils.translation import gettext_lazy as _

from fhir.search import hashing
from fhir.search.catalogue import Parameter
from fhir.search.clauses import Clause
from fhir.search.comparison import Test
from fhir.search.rows import Ranges

from . import number
from .text import bad_modifier, bad_value, split, unescape

Row = tuple[int | None, float, float]  # unit, lo, hi
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
    point = float(amount)
    lo, hi = {"<": (-math.inf, point), "<=": (-math.inf, point), ">": (point, math.inf), ">=": (point, math.inf)}.get(
        value.get("comparator", ""), (point, point)
    )
    return _unit(value), lo, hi


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


def units(text: str, system: str | None) -> tuple[tuple[int, int], ...]:
    """The ways in which a stored unit can be the one asked for: (mask, bits) each; () for any unit."""
    if not text:
        return ((hashing.SYSTEM_MASK, hashing.unit_system_bits(system)),) if system else ()
    code = hashing.unit_code_bits(text)
    if system:
        return ((hashing.CODE_MASK | hashing.SYSTEM_MASK, code | hashing.unit_system_bits(system)),)
    return (hashing.CODE_MASK, code), (hashing.HUMAN_MASK, hashing.unit_human_bits(text))


def test(code: str, value: str) -> Test:
    """The comparison of `[prefix]number`, `number|system|code` or `number||code`. Raises InvalidRequest."""
    parts = [unescape(part) for part in split(value, "|")]
    if len(parts) not in (1, 3):
        message = _("“%(value)s” is not a quantity that can be searched for in “%(code)s”: write number, "
                    "number|system|code or number||unit.")  # fmt: skip
        raise bad_value(code, value, message)
    asked = units(parts[2], parts[1]) if len(parts) == 3 else ()
    return number.test(code, parts[0], asked)


def parse(parameter: Parameter, modifier: str | None, values: list[str]) -> Clause:
    """The clause of one repetition; values come with their escapes. Raises InvalidRequest."""
    if modifier is not None:
        raise bad_modifier(parameter.code, modifier, ("missing",))
    numbers = tuple(hashing.parameter_number(parameter.resource_type, code) for code in parameter.stored_as)
    return Ranges(numbers, tuple(test(parameter.code, value) for value in values), parameter.code)
