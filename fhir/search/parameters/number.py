"""Numbers (https://hl7.org/fhir/R4/search.html#number): 100 stands for [99.5, 100.5) unless a prefix compares it."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from fractions import Fraction
from typing import Any

from django.utils.translation import gettext_lazy as _

from fhir.definitions.units import Conversion
from fhir.search.catalogue import Parameter
from fhir.search.clauses import Clause
from fhir.search.comparison import PREFIXES, Test
from fhir.search.hashing import parameter_number
from fhir.search.rows import Ranges

from .text import bad_modifier, bad_value, first_in

_FORM = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d{1,3})?")
_APPROXIMATELY = Decimal("0.1")
Interval = tuple[float, float]


def of_value(_fhir_type: str, value: Any) -> Interval | None:
    """A point for a number, the ends for a Range; None where it says nothing."""
    if isinstance(value, Decimal | int) and not isinstance(value, bool):
        return float(value), float(value)
    if type(value) is dict:
        lo, hi = (value.get(key, {}).get("value") for key in ("low", "high"))
        if lo is not None or hi is not None:
            return (-math.inf if lo is None else float(lo), math.inf if hi is None else float(hi))
    return None


def precision(number: Decimal) -> Decimal:
    """Half of the last digit that is written; of 1e2, by the example in the specification, 5."""
    written = number.as_tuple()
    exponent = int(written.exponent)
    return Decimal(5).scaleb(exponent - 2 if exponent > 0 and len(written.digits) == 1 else exponent - 1)


def _around(number: Decimal | Fraction, lo: Decimal | Fraction, hi: Decimal | Fraction) -> tuple[float, float]:
    """The interval, never empty: of numbers with more digits than a double holds it is the double itself."""
    return float(lo), max(float(hi), math.nextafter(float(number), math.inf))


def test(code: str, value: str, units: tuple[tuple[int, int], ...] = (), conversion: Conversion | None = None) -> Test:
    """The comparison that a value with its prefix asks for, in another unit if one is given. Raises InvalidRequest."""
    prefix, text = first_in(value, PREFIXES)
    # A plus in a query string is read as a space.
    if not _FORM.fullmatch(text.strip()):
        message = _("“%(value)s” is not a number that can be searched for in “%(code)s”: write a number such as 100, "
                    "5.40 or 1.2e-3, after one of eq ne gt lt ge le sa eb ap or nothing.")  # fmt: skip
        raise bad_value(code, value, message)
    number = Decimal(text.strip())
    half = abs(number) * _APPROXIMATELY if prefix == "ap" else precision(number)
    ends: tuple[Decimal | Fraction, ...] = (number, number - half, number + half)
    if conversion is not None:
        ends = tuple(conversion.of(end) for end in ends)
    return Test(prefix, *_around(*ends), float(ends[0]), units)


def parse(parameter: Parameter, modifier: str | None, values: list[str]) -> Clause:
    """The clause of one repetition. Raises InvalidRequest."""
    if modifier is not None:
        raise bad_modifier(parameter.code, modifier, ("missing",))
    numbers = tuple(parameter_number(parameter.resource_type, code) for code in parameter.stored_as)
    return Ranges(numbers, tuple(test(parameter.code, value) for value in values), parameter.code)
