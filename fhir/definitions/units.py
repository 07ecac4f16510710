"""Units of UCUM: what they measure, and by which factor and offset (https://ucum.org/ucum).

Factors are exact fractions, so that equal amounts in different units are equal numbers. The mole is a dimension of its
own here, which keeps amounts of substance apart from counts; logarithmic and arbitrary units equal only themselves.
ucum.json is written by scripts/generate_units.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

SYSTEM = "http://unitsofmeasure.org"
# The unit in which amounts of a dimension are compared: the one that charts use most.
PREFERRED = (
    "mm[Hg]", "Cel", "cm", "kg", "kg/m2", "/min", "mg/dL", "mmol/L", "10*3/uL", "%", "U/L", "d", "mL", "mL/min",
    "[iU]/L", "mosm/kg",
)  # fmt: skip
_DEEPEST = 20
_LONGEST = 200
_COMPONENT = re.compile(r"(10[*^]|\d+(?![*^])|(?:[^\[\]{}()./\d+\-*^\s]|\[[^\]\s]*\])+)([+-]?\d{1,2})?")
_ANNOTATION = re.compile(r"\{[^{}]*\}")


@dataclass(frozen=True, slots=True)
class Unit:
    """An amount x of the unit is x · factor + offset in the base units that `dimension` multiplies."""

    dimension: tuple[tuple[str, int], ...]
    factor: Fraction
    offset: Fraction = Fraction(0)


@dataclass(frozen=True, slots=True)
class Conversion:
    """An amount x is x · factor + offset in the unit `code`, the same one for all units of a dimension."""

    code: str
    factor: Fraction
    offset: Fraction

    def of(self, amount: Any) -> Fraction:
        """The amount in the unit `code`; `amount` is an int, Decimal or Fraction."""
        return Fraction(amount) * self.factor + self.offset


class UnknownUnit(ValueError):
    """Not a unit of UCUM."""


@lru_cache(maxsize=4096)
def conversion(code: str) -> Conversion | None:
    """To the unit in which its dimension is compared; None for what is no unit."""
    try:
        unit = parse(code)
    except (UnknownUnit, ZeroDivisionError, OverflowError):
        return None
    preferred = _preferred().get(unit.dimension)
    if preferred is None:
        name = ".".join(f"{base}{power}" for base, power in unit.dimension)
        return Conversion(f"={name}", unit.factor, unit.offset)
    name, into = preferred
    return Conversion(name, unit.factor / into.factor, (unit.offset - into.offset) / into.factor)


@cache
def _preferred() -> Mapping[tuple[tuple[str, int], ...], tuple[str, Unit]]:
    return {unit.dimension: (code, unit) for code in PREFERRED for unit in (parse(code),)}


def parse(code: str) -> Unit:
    """What a code stands for. Raises UnknownUnit."""
    if not code or len(code) > _LONGEST:
        raise UnknownUnit(code)
    alone = _offset_unit(code)
    if alone is not None:
        return alone
    reader = _Reader(code)
    powers, factor = reader.term()
    if reader.at != len(reader.text):
        raise UnknownUnit(code)
    return Unit(tuple(sorted((base, power) for base, power in powers.items() if power)), factor)


@cache
def _table() -> Mapping[str, Any]:
    table = json.loads(Path(__file__).with_name("ucum.json").read_text(encoding="utf-8"))
    table["units"]["mol"] = [True]
    return table  # type: ignore[no-any-return]


def _offset_unit(code: str) -> Unit | None:
    """A temperature that stands alone: only then its zero counts."""
    found = _atom(_ANNOTATION.sub("", code))
    if found is None or len(found[1]) != 4:
        return None
    prefix, (_metric, value, base, offset) = found
    powers, factor = _Reader(base).term()
    factor *= Fraction(value)
    return Unit(tuple(powers.items()), prefix * factor, Fraction(offset) * factor)


@lru_cache(maxsize=2048)
def _atom(text: str) -> tuple[Fraction, list[Any]] | None:
    """(factor of the prefix, entry of the table)."""
    table = _table()
    if text in table["units"]:
        return Fraction(1), table["units"][text]
    if text in table["base"]:
        return Fraction(1), [True]
    for length in (1, 2):
        rest = text[length:]
        prefix = table["prefixes"].get(text[:length])
        if prefix is not None and (rest in table["base"] or table["units"].get(rest, (False,))[0]):
            return Fraction(prefix), table["units"].get(rest, [True])
    return None


Powers = dict[str, int]


class _Reader:
    """A term: components with exponents, joined by `.` and `/`, in brackets; annotations say nothing."""

    def __init__(self, code: str, depth: int = 0) -> None:
        self.text, self.at, self.depth = _ANNOTATION.sub("\x1f", code), 0, depth
        if depth > _DEEPEST:
            raise UnknownUnit(code)

    def _accept(self, character: str) -> bool:
        if self.text.startswith(character, self.at):
            self.at += 1
            return True
        return False

    def term(self) -> tuple[Powers, Fraction]:
        powers: Powers = {}
        factor = Fraction(1)
        sign = -1 if self._accept("/") else 1
        while True:
            found, by = self._component()
            for base, power in found.items():
                powers[base] = powers.get(base, 0) + sign * power
            factor *= by**sign
            if self._accept("."):
                sign = 1
            elif self._accept("/"):
                sign = -1
            else:
                return powers, factor

    def _component(self) -> tuple[Powers, Fraction]:
        if self._accept("("):
            self.depth += 1
            if self.depth > _DEEPEST:
                raise UnknownUnit(self.text)
            found = self.term()
            if not self._accept(")"):
                raise UnknownUnit(self.text)
        elif self._accept("\x1f"):
            return {}, Fraction(1)
        else:
            found = self._simple()
        self._accept("\x1f")
        return found

    def _simple(self) -> tuple[Powers, Fraction]:
        match = _COMPONENT.match(self.text, self.at)
        if match is None:
            raise UnknownUnit(self.text)
        self.at = match.end()
        name, exponent = match[1], int(match[2] or 1)
        if name.isdigit():
            if match[2]:
                raise UnknownUnit(self.text)
            return {}, Fraction(int(name))
        powers, factor = self._base(name)
        return {base: power * exponent for base, power in powers.items()}, factor**exponent

    def _base(self, name: str) -> tuple[Powers, Fraction]:
        found = _atom(name)
        if found is None:
            raise UnknownUnit(name)
        prefix, entry = found
        if len(entry) == 1:
            own = name if name in _table()["units"] or name in _table()["base"] else name[1:]
            if own not in _table()["units"] and own not in _table()["base"]:
                own = name[2:]
            return {own: 1}, prefix
        reader = _Reader(entry[2], self.depth + 1)
        powers, factor = reader.term()
        return powers, factor * Fraction(entry[1]) * prefix
