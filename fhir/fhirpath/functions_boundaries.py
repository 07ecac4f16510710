"""Precision and boundaries of values (FHIRPath 2.1: https://hl7.org/fhirpath/#boundaries; FHIR uses them already)."""

from __future__ import annotations

from calendar import monthrange
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Any

from fhir.fhirpath.environment import Environment
from fhir.fhirpath.exceptions import FhirPathEvaluationError
from fhir.fhirpath.registry import collection, integer_argument, wrap
from fhir.fhirpath.temporal import Moment, moment
from fhir.fhirpath.values import Items, family, only, system_type

_DIGITS = 8  # decimals of a boundary, unless asked otherwise
_CONTEXT = Context(prec=60)
_LOWEST = (1, 1, 1, 0, 0, Decimal("0.000"))
_HIGHEST = (9999, 12, 31, 23, 59, Decimal("59.999"))
_DATE_PRECISION = {4: 1, 6: 2, 8: 3, 10: 4, 12: 5, 14: 6, 17: 6}  # digits written → number of fields
_CLOCK_PRECISION = {2: 1, 4: 2, 6: 3, 9: 3}
_DEFAULT = {"date": 8, "dateTime": 17, "time": 9}


def _decimal_boundary(value: int | Decimal, digits: int, upper: bool) -> Decimal | None:
    if not 0 <= digits <= 28:
        return None
    exponent = Decimal(value).as_tuple().exponent
    half = Decimal(5).scaleb((exponent if isinstance(exponent, int) else 0) - 1)
    edge = Decimal(value) + half if upper else Decimal(value) - half
    rounding = ROUND_CEILING if upper else ROUND_FLOOR
    return edge.quantize(Decimal(1).scaleb(-digits), rounding, _CONTEXT)


def _moment_boundary(value: Moment, digits: int, upper: bool) -> str | None:
    table = _CLOCK_PRECISION if value.clock else _DATE_PRECISION
    if digits not in table:
        return None
    length = table[digits]
    offset = 3 if value.clock else 0
    extreme = (_HIGHEST if upper else _LOWEST)[offset:]
    fields: list[Any] = [*value.fields, *extreme[len(value.fields) :]][:length]
    if not value.clock and length > 2 and len(value.fields) < 3 and upper:
        fields[2] = monthrange(int(fields[0]), int(fields[1]))[1]
    text = _written(fields, value.clock, milliseconds=digits in (17, 9))
    if value.clock or length < 4:
        return text
    return text + (_zone(value.zone) if value.zone is not None else "-12:00" if upper else "+14:00")


def _written(fields: list[Any], clock: bool, *, milliseconds: bool) -> str:
    separators = [":", ":"] if clock else ["-", "-", "T", ":", ":"]
    text = f"{int(fields[0]):0{2 if clock else 4}}"
    for index, number in enumerate(fields[1:]):
        seconds = milliseconds and index == len(separators) - 1
        text += separators[index] + (f"{Decimal(number):06.3f}" if seconds else f"{int(number):02}")
    return text


def _zone(minutes: int) -> str:
    sign = "-" if minutes < 0 else "+"
    return f"{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


def _boundary(items: Items, precision: Items | None, upper: bool) -> Items:
    item = only(items)
    digits = integer_argument(precision) if precision else None
    if item is None or item[1] is None:
        return []
    kind = family(item[0])
    if kind == "number":
        return wrap("System.Decimal", _decimal_boundary(item[1], _DIGITS if digits is None else digits, upper))
    if kind == "quantity":
        edge = _decimal_boundary(item[1]["value"], _DIGITS if digits is None else digits, upper)
        return [] if edge is None else [(item[0], item[1] | {"value": edge}, None)]
    if kind in _DEFAULT:
        when = moment(item[1], kind == "time")
        length = _DEFAULT[kind] if digits is None else digits
        return [] if when is None else wrap(system_type(item[0]), _moment_boundary(when, length, upper))
    raise FhirPathEvaluationError(f"{item[0]} has no boundaries")


@collection("lowBoundary", (0, 1))
def low_boundary(environment: Environment, items: Items, precision: Items | None = None) -> Items:
    return _boundary(items, precision, False)


@collection("highBoundary", (0, 1))
def high_boundary(environment: Environment, items: Items, precision: Items | None = None) -> Items:
    return _boundary(items, precision, True)


@collection("precision", result="System.Integer")
def precision_(environment: Environment, items: Items) -> Items:
    item = only(items)
    if item is None or item[1] is None:
        return []
    kind = family(item[0])
    if kind == "number":
        exponent = Decimal(item[1]).as_tuple().exponent
        return wrap("System.Integer", max(0, -exponent) if isinstance(exponent, int) else 0)
    if kind not in _DEFAULT:
        raise FhirPathEvaluationError(f"{item[0]} has no precision")
    text = str(item[1]).split("Z")[0]
    clock = text.partition("T")[2] if "T" in text else text if kind == "time" else ""
    date = "" if kind == "time" else text.partition("T")[0]
    digits = [c for c in date + clock.split("+")[0].split("-")[0] if c.isdigit()]
    return wrap("System.Integer", len(digits))
