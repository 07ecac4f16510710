"""Conversion functions (https://hl7.org/fhirpath/N1/#conversion): `toX()` and `convertsToX()`."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from fhir.fhirpath import units
from fhir.fhirpath.environment import Environment
from fhir.fhirpath.exceptions import FhirPathEvaluationError
from fhir.fhirpath.parser import CALENDAR_UNITS
from fhir.fhirpath.registry import FUNCTIONS, RuntimeFunction, string_argument, wrap
from fhir.fhirpath.temporal import moment
from fhir.fhirpath.values import Item, Items, family, only, quantity, unit_of

_TRUE = ("true", "t", "yes", "y", "1", "1.0")
_FALSE = ("false", "f", "no", "n", "0", "0.0")
_INTEGER = re.compile(r"[+-]?\d+")
_DECIMAL = re.compile(r"[+-]?\d+(?:\.\d+)?")
_QUANTITY = re.compile(r"([+-]?\d+(?:\.\d+)?)\s*(?:'([^']+)'|([A-Za-z]+))?")


def _to_boolean(value: Any, kind: str, type_name: str) -> bool | None:
    match kind:
        case "boolean":
            return bool(value)
        case "number" if value in (0, 1):
            return bool(value)
        case "string":
            return True if value.lower() in _TRUE else False if value.lower() in _FALSE else None
    return None


def _to_integer(value: Any, kind: str, type_name: str) -> int | None:
    match kind:
        case "boolean":
            return int(value)
        case "number" if isinstance(value, int):
            return value
        case "string" if _INTEGER.fullmatch(value):
            return int(value)
    return None


def _to_decimal(value: Any, kind: str, type_name: str) -> Decimal | None:
    match kind:
        case "boolean" | "number":
            return Decimal(value)
        case "string" if _DECIMAL.fullmatch(value):
            return Decimal(value)
    return None


def _to_date(value: Any, kind: str, type_name: str) -> str | None:
    if kind in ("string", "date", "dateTime"):
        date = value.split("T")[0] if kind == "dateTime" else value
        when = moment(date)
        return date if when and len(when.fields) <= 3 and "T" not in date else None
    return None


def _to_date_time(value: Any, kind: str, type_name: str) -> str | None:
    if kind in ("string", "date", "dateTime") and moment(value):
        return str(value).removesuffix("T")
    return None


def _to_time(value: Any, kind: str, type_name: str) -> str | None:
    if kind in ("string", "time"):
        time = value.removeprefix("T")
        return time if moment(time, True) else None
    return None


def _to_string(value: Any, kind: str, type_name: str) -> str | None:
    match kind:
        case "boolean":
            return "true" if value else "false"
        case "number":
            return f"{value:f}" if isinstance(value, Decimal) else str(value)
        case "quantity":
            if value.get("value") is None:
                return None
            unit, calendar = unit_of(value)
            return f"{Decimal(value['value']):f} " + (unit if calendar else f"'{unit}'")
        case "complex":
            return None
    return str(value)


def _to_quantity(value: Any, kind: str, type_name: str) -> dict[str, Any] | None:
    match kind:
        case "quantity":
            return dict(value)
        case "boolean" | "number":
            return {"value": Decimal(value), "system": units.UCUM, "code": "1"}
        case "string":
            return _read_quantity(value)
    return None


def _read_quantity(text: str) -> dict[str, Any] | None:
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        return None
    number, code, word = match.groups()
    if word is None:
        return {"value": Decimal(number), "system": units.UCUM, "code": code or "1"}
    unit = word.removesuffix("s")
    return {"value": Decimal(number), "unit": unit} if unit in CALENDAR_UNITS else None


def _convert(to: Callable[[Any, str, str], Any], items: Items) -> Any:
    item = only(items)
    return None if item is None or item[1] is None else to(item[1], family(item[0]), item[0])


def _register(name: str, to: Callable[[Any, str, str], Any]) -> None:
    result = f"System.{name}"

    def convert(environment: Environment, items: Items) -> Items:
        return wrap(result, _convert(to, items))

    def converts(environment: Environment, items: Items) -> Items:
        return wrap("System.Boolean", _convert(to, items) is not None) if items else []

    FUNCTIONS[f"to{name}"] = RuntimeFunction(f"to{name}", convert, 0, 0, result, ())
    FUNCTIONS[f"convertsTo{name}"] = RuntimeFunction(f"convertsTo{name}", converts, 0, 0, "System.Boolean", ())


for _name, _to in (
    ("Boolean", _to_boolean),
    ("Integer", _to_integer),
    ("Decimal", _to_decimal),
    ("Date", _to_date),
    ("DateTime", _to_date_time),
    ("Time", _to_time),
    ("String", _to_string),
):
    _register(_name, _to)


def _quantity_in(item: Item, unit: str) -> Item | None:
    """The quantity in another unit, or None where the two do not measure the same."""
    amount = quantity(item)
    measure = units.measure(unit, unit.removesuffix("s") in CALENDAR_UNITS)
    if amount is None:
        return None
    if amount[2] == unit:
        return item
    if measure is None or amount[1] is None or amount[1][0] != measure[0]:
        return None
    exact = amount[0] * amount[1][1] / measure[1]
    value = {"value": Decimal(exact.numerator) / Decimal(exact.denominator), "system": units.UCUM, "code": unit}
    return ("System.Quantity", value, None)


def _quantity_items(items: Items, unit: Items | None) -> Items:
    value = _convert(_to_quantity, items)
    wanted = string_argument(unit) if unit else None
    if value is None:
        return []
    item: Item | None = ("System.Quantity", value, None)
    if item is not None and wanted is not None:
        item = _quantity_in(item, wanted)
    return [] if item is None else [item]


def _to_quantity_function(environment: Environment, items: Items, unit: Items | None = None) -> Items:
    return _quantity_items(items, unit)


def _converts_to_quantity(environment: Environment, items: Items, unit: Items | None = None) -> Items:
    return wrap("System.Boolean", bool(_quantity_items(items, unit))) if items else []


FUNCTIONS["toQuantity"] = RuntimeFunction("toQuantity", _to_quantity_function, 0, 1, "System.Quantity", ())
FUNCTIONS["convertsToQuantity"] = RuntimeFunction(
    "convertsToQuantity", _converts_to_quantity, 0, 1, "System.Boolean", ()
)


def comparable(a: Items, b: Items) -> bool | None:
    """Whether two quantities measure the same thing."""
    x, y = only(a), only(b)
    if x is None or y is None:
        return None
    if family(x[0]) != "quantity" or family(y[0]) != "quantity":
        raise FhirPathEvaluationError("comparable() works on quantities")
    p, q = quantity(x), quantity(y)
    if p is None or q is None:
        return None
    return p[2] == q[2] or (p[1] is not None and q[1] is not None and p[1][0] == q[1][0])


def _comparable(environment: Environment, items: Items, other: Items) -> Items:
    return wrap("System.Boolean", comparable(items, other))


FUNCTIONS["comparable"] = RuntimeFunction("comparable", _comparable, 1, 1, "System.Boolean", ())
