"""Parameters with rules of their own: `near` (https://hl7.org/fhir/R4/location.html#positional-searching-near)."""

from __future__ import annotations

import re
from typing import Any

from django.utils.translation import gettext_lazy as _

from fhir.search.catalogue import Parameter
from fhir.search.clauses import AnyOf, Clause
from fhir.search.hashing import parameter_number
from fhir.search.rows import Near

from .text import bad_modifier, bad_value, split

_METRES = {"km": 1000.0, "m": 1.0, "mi": 1609.344, "[mi_us]": 1609.347219, "[mi_i]": 1609.344, "ft": 0.3048, "": 1000.0}
_DEFAULT_KILOMETRES = 50.0
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


def position(value: Any) -> tuple[float, float] | None:
    """(latitude, longitude) of Location.position."""
    if type(value) is not dict or "latitude" not in value or "longitude" not in value:
        return None
    return float(value["latitude"]), float(value["longitude"])


def parse(parameter: Parameter, modifier: str | None, values: list[str]) -> Clause:
    """The clause of one repetition: `latitude|longitude`, then `|distance|unit` if wanted. Raises InvalidRequest."""
    if modifier is not None:
        raise bad_modifier(parameter.code, modifier, ("missing",))
    return AnyOf(tuple(_near(parameter, value) for value in values))


def _near(parameter: Parameter, value: str) -> Near:
    parts = split(value, "|")
    numbers = parts[:3] if len(parts) > 2 and parts[2] else parts[:2]
    unit = parts[3] if len(parts) > 3 else ""
    if not 2 <= len(parts) <= 4 or unit not in _METRES or not all(_NUMBER.fullmatch(n) for n in numbers):
        message = _("“%(value)s” cannot be searched for in “%(code)s”: write latitude|longitude|distance|unit, "
                    "the unit one of km, m, mi, ft.")  # fmt: skip
        raise bad_value(parameter.code, value, message)
    distance = float(numbers[2]) if len(numbers) == 3 else _DEFAULT_KILOMETRES
    latitude, longitude = float(numbers[0]), float(numbers[1])
    return Near(
        parameter_number(parameter.resource_type, parameter.code), latitude, longitude, distance * _METRES[unit]
    )
