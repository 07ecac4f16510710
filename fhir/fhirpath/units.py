"""Enough of UCUM to tell whether two units measure the same thing, and by which factor (https://ucum.org/ucum).

Terms of units, metric prefixes, exponents, `.` and `/`, and annotations are read; special units with an offset
(degrees Celsius) only equal themselves. Calendar words (`year`, `month`) follow
https://hl7.org/fhirpath/N1/#time-valued-quantities: equal to the UCUM unit from the week down, not above.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

UCUM = "http://unitsofmeasure.org"

_PREFIXES = {
    "Y": 24, "Z": 21, "E": 18, "P": 15, "T": 12, "G": 9, "M": 6, "k": 3, "h": 2, "da": 1, "d": -1, "c": -2, "m": -3,
    "u": -6, "n": -9, "p": -12, "f": -15, "a": -18, "z": -21, "y": -24,
}  # fmt: skip
# Metric units: base dimensions and factor. Metre, gram, second, mole stand for themselves; the rest derive from them.
_METRIC: dict[str, tuple[dict[str, int], str]] = {
    **{base: ({base: 1}, "1") for base in ("m", "g", "s", "mol", "A", "K", "cd", "rad", "eq", "[iU]", "[arb'U]")},
    "l": ({"m": 3}, "0.001"), "L": ({"m": 3}, "0.001"), "Hz": ({"s": -1}, "1"), "U": ({"mol": 1, "s": -1}, "1E-6"),
    "kat": ({"mol": 1, "s": -1}, "1"), "N": ({"g": 1, "m": 1, "s": -2}, "1000"),
    "Pa": ({"g": 1, "m": -1, "s": -2}, "1000"), "bar": ({"g": 1, "m": -1, "s": -2}, "1E8"),
    "J": ({"g": 1, "m": 2, "s": -2}, "1000"), "W": ({"g": 1, "m": 2, "s": -3}, "1000"),
    "cal": ({"g": 1, "m": 2, "s": -2}, "4184"), "V": ({"g": 1, "m": 2, "s": -3, "A": -1}, "1000"),
    "Cel": ({"Cel": 1}, "1"), "osm": ({"mol": 1}, "1"), "t": ({"g": 1}, "1E6"), "B": ({"B": 1}, "1"),
    "m[Hg]": ({"g": 1, "m": -1, "s": -2}, "133322000"), "m[H2O]": ({"g": 1, "m": -1, "s": -2}, "9806650"),
    "Gy": ({"m": 2, "s": -2}, "1"), "Sv": ({"m": 2, "s": -2}, "1"), "Bq": ({"s": -1}, "1"), "ar": ({"m": 2}, "100"),
}  # fmt: skip
_PLAIN: dict[str, tuple[dict[str, int], str]] = {
    "min": ({"s": 1}, "60"), "h": ({"s": 1}, "3600"), "d": ({"s": 1}, "86400"), "wk": ({"s": 1}, "604800"),
    "mo": ({"s": 1}, "2629800"), "a": ({"s": 1}, "31557600"), "%": ({}, "0.01"), "[ppth]": ({}, "1E-3"),
    "[ppm]": ({}, "1E-6"), "[in_i]": ({"m": 1}, "0.0254"), "[ft_i]": ({"m": 1}, "0.3048"),
    "[yd_i]": ({"m": 1}, "0.9144"), "[mi_i]": ({"m": 1}, "1609.344"), "[lb_av]": ({"g": 1}, "453.59237"),
    "[oz_av]": ({"g": 1}, "28.349523125"), "[gr]": ({"g": 1}, "0.06479891"), "[degF]": ({"[degF]": 1}, "1"),
    "[foz_us]": ({"m": 3}, "0.0000295735295625"), "deg": ({"rad": 1}, "0.017453292519943295"),
}  # fmt: skip
_CALENDAR: dict[str, tuple[dict[str, int], str]] = {
    "millisecond": ({"s": 1}, "0.001"), "second": ({"s": 1}, "1"), "minute": ({"s": 1}, "60"),
    "hour": ({"s": 1}, "3600"), "day": ({"s": 1}, "86400"), "week": ({"s": 1}, "604800"),
    "month": ({"month": 1}, "1"), "year": ({"month": 1}, "12"),
}  # fmt: skip
CALENDAR_UNIT = {"ms": "millisecond", "s": "second", "min": "minute", "h": "hour", "d": "day", "wk": "week"}
_COMPONENT = re.compile(r"(?:(10)[*^]([+-]?\d+)|((?:[^\[\]{}()./\d+-]|\[[^\]]*\])+)([+-]?\d+)?|(\d+))?(?:\{[^}]*\})?")

Measure = tuple[tuple[tuple[str, int], ...], Fraction]


def measure(unit: str, calendar: bool) -> Measure | None:
    """(dimensions, factor to their base) of a unit, or None where it is not understood. "" and "1" have none."""
    if calendar:
        word = _CALENDAR.get(unit.removesuffix("s"))
        return (tuple(word[0].items()), Fraction(word[1])) if word else None
    return _ucum(unit)


@lru_cache(maxsize=2048)
def _ucum(unit: str) -> Measure | None:
    dimensions: dict[str, int] = {}
    factor = Fraction(1)
    parts = re.split(r"([./])(?![^\[{]*[\]}])", unit)
    sign = 1
    for index, part in enumerate(parts):
        if index % 2:
            sign = -1 if part == "/" else 1
            continue
        found = _component(part)
        if found is None:
            return None
        for name, exponent in found[0].items():
            dimensions[name] = dimensions.get(name, 0) + sign * exponent
        factor *= found[1] ** sign
    return tuple(sorted((n, e) for n, e in dimensions.items() if e)), factor


def _component(text: str) -> tuple[dict[str, int], Fraction] | None:
    match = _COMPONENT.fullmatch(text)
    if match is None:
        return None
    ten, power, symbol, exponent, number = match.groups()
    if ten:
        return {}, Fraction(10) ** int(power)
    if symbol is None:
        return {}, Fraction(number or 1)
    unit = _symbol(symbol)
    if unit is None:
        return None
    times = int(exponent or 1)
    return {name: e * times for name, e in unit[0].items()}, unit[1] ** times


def _symbol(symbol: str) -> tuple[dict[str, int], Fraction] | None:
    found = _PLAIN.get(symbol) or _METRIC.get(symbol)
    if found:
        return found[0], Fraction(found[1])
    for length in (1, 2):
        found = _METRIC.get(symbol[length:])
        if found and symbol[:length] in _PREFIXES:
            return found[0], Fraction(found[1]) * Fraction(10) ** _PREFIXES[symbol[:length]]
    return None
