"""Items at run time, and when two of them are equal, equivalent or ordered.

An item is a triple `(type, value, sibling)`: the FHIR type ("Quantity", "date", "Observation.component") or System
type ("System.Integer"); the value as `fhir.json.loads` gives it (None where a primitive has only extensions); and for
a FHIR primitive the object under its `_name` key, else None. System dates and times are their texts, a System
quantity is `{"value", "system", "code"}` (UCUM) or `{"value", "unit"}` (calendar unit).

https://hl7.org/fhirpath/N1/#equality
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any

from fhir.definitions.structure import is_subtype, type_definition
from fhir.fhirpath import temporal, units
from fhir.fhirpath.exceptions import FhirPathEvaluationError

Item = tuple[str, Any, Any]
Items = list[Item]

_FAMILIES = {
    "boolean": "boolean",
    "integer": "number",
    "decimal": "number",
    "date": "date",
    "dateTime": "dateTime",
    "instant": "dateTime",
    "time": "time",
    "Boolean": "boolean",
    "Integer": "number",
    "Decimal": "number",
    "Date": "date",
    "DateTime": "dateTime",
    "Time": "time",
    "Quantity": "quantity",
    "String": "string",
}
_MOMENT = ("date", "dateTime", "time")
_SYSTEM_MOMENT = {"date": "System.Date", "dateTime": "System.DateTime", "time": "System.Time"}


@lru_cache(maxsize=2048)
def family(type_name: str) -> str:
    """boolean, number, string, date, dateTime, time, quantity or complex."""
    if type_name.startswith("System."):
        return _FAMILIES.get(type_name[7:], "complex")
    try:
        definition = type_definition(type_name)
    except KeyError:
        return "complex"
    if definition.kind != "primitive":
        return "quantity" if is_subtype(type_name, "Quantity") else "complex"
    name: str | None = type_name
    while name is not None and name not in _FAMILIES:
        name = type_definition(name).base
    return _FAMILIES[name] if name else "string"


@lru_cache(maxsize=2048)
def system_type(type_name: str) -> str:
    """The System type that a FHIR primitive converts to (https://hl7.org/fhir/R4/fhirpath.html#types)."""
    if type_name.startswith("System."):
        return type_name
    kind = family(type_name)
    if kind == "number":
        return "System.Integer" if is_subtype(type_name, "integer") else "System.Decimal"
    if kind == "quantity":
        return "System.Quantity"
    return _SYSTEM_MOMENT.get(kind) or ("System.Boolean" if kind == "boolean" else "System.String")


def moment(item: Item) -> temporal.Moment | None:
    """The moment of a date, dateTime or time item."""
    return temporal.moment(item[1], family(item[0]) == "time") if isinstance(item[1], str) else None


def quantity(item: Item) -> tuple[Fraction, units.Measure | None, str] | None:
    """(value, measure of the unit, text of the unit) of a quantity item; None without a value."""
    value = item[1].get("value")
    if value is None:
        return None
    unit, calendar = unit_of(item[1])
    return Fraction(value), units.measure(unit, calendar), unit


def unit_of(value: dict[str, Any]) -> tuple[str, bool]:
    """(unit, whether it is a calendar word) of a quantity."""
    if value.get("system") == units.UCUM or "code" in value:
        return str(value.get("code") or "1"), False
    unit = str(value.get("unit") or "1")
    return unit, unit.removesuffix("s") in units.CALENDAR_UNIT.values() or unit in ("month", "year", "months", "years")


def key(item: Item) -> Hashable:
    """Two items of one key are equal: the form in which sets of items are kept."""
    kind = family(item[0])
    value = item[1]
    if kind in _MOMENT:
        when = moment(item)
        return (kind == "time", when.utc, when.zone is None) if when else ("string", value)
    if kind == "quantity":
        amount = quantity(item)
        if amount is not None:
            number, measure, unit = amount
            return ("quantity", measure[0], number * measure[1]) if measure else ("quantity", unit, number)
    return (kind, _freeze(value))


def _freeze(value: Any) -> Hashable:
    if isinstance(value, dict):
        return frozenset((name, _freeze(child)) for name, child in value.items())
    if isinstance(value, list):
        return tuple(map(_freeze, value))
    return (bool, value) if isinstance(value, bool) else value


def item_equal(a: Item, b: Item) -> bool | None:
    """`a = b` for single items; None where precision or units leave it open."""
    x, y = family(a[0]), family(b[0])
    if x == "string" == y or x == "number" == y:
        return bool(a[1] == b[1])
    if x in _MOMENT and y in _MOMENT:
        p, q = moment(a), moment(b)
        if p is None or q is None:
            return bool(a[1] == b[1])
        if p.clock != q.clock:
            return False
        order = temporal.compare(p, q)
        return None if order is None else order == 0
    if {x, y} <= {"quantity", "number"}:
        return _quantities_equal(_as_quantity(a, x), _as_quantity(b, y))
    return x == y and key(a) == key(b)


def _as_quantity(item: Item, kind: str) -> Item:
    return item if kind == "quantity" else ("System.Quantity", {"value": item[1], "code": "1"}, None)


def _quantities_equal(a: Item, b: Item) -> bool | None:
    p, q = quantity(a), quantity(b)
    if p is None or q is None:
        return bool(a[1] == b[1])
    if p[2] == q[2] and (p[1] is None) == (q[1] is None):
        return p[0] == q[0]
    if p[1] is None or q[1] is None or p[1][0] != q[1][0]:
        return None
    return p[0] * p[1][1] == q[0] * q[1][1]


def equal(a: Items, b: Items) -> bool | None:
    """`a = b` for collections, in order."""
    if not a or not b:
        return None
    if len(a) != len(b):
        return False
    result: bool | None = True
    for x, y in zip(a, b, strict=True):
        same = item_equal(x, y)
        if same is False:
            return False
        if same is None:
            result = None
    return result


def item_equivalent(a: Item, b: Item) -> bool:
    """`a ~ b` for single items: case and white space of strings, trailing precision of decimals do not count."""
    x, y = family(a[0]), family(b[0])
    if x == "string" == y:
        return _plain(a[1]) == _plain(b[1])
    if x == "number" == y:
        return _round_alike(a[1], b[1])
    if x in _MOMENT and y in _MOMENT:
        return item_equal(a, b) is True
    if {x, y} <= {"quantity", "number"}:
        return _quantities_equivalent(_as_quantity(a, x), _as_quantity(b, y))
    if x == "complex" == y:
        return _equivalent_json(a[1], b[1])
    return x == y and key(a) == key(b)


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text.strip()).casefold()


def _round_alike(a: int | Decimal, b: int | Decimal) -> bool:
    digits = min(decimals(a), decimals(b))
    step = Decimal(1).scaleb(-digits)
    return Decimal(a).quantize(step, ROUND_HALF_UP) == Decimal(b).quantize(step, ROUND_HALF_UP)


def decimals(number: int | Decimal) -> int:
    """Digits after the decimal point, trailing zeros aside."""
    exponent = Decimal(number).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _quantities_equivalent(a: Item, b: Item) -> bool:
    p, q = quantity(a), quantity(b)
    if p is None or q is None:
        return bool(a[1] == b[1])
    words = {"year": "a", "month": "mo"} | {word: code for code, word in units.CALENDAR_UNIT.items()}
    unit_a, unit_b = words.get(p[2].removesuffix("s"), p[2]), words.get(q[2].removesuffix("s"), q[2])
    if unit_a == unit_b:
        return _round_alike(a[1]["value"], b[1]["value"])
    x, y = units.measure(unit_a, False), units.measure(unit_b, False)
    if x is None or y is None or x[0] != y[0]:
        return False
    return _rounds_to(p[0] * x[1] / y[1], b[1]["value"]) or _rounds_to(q[0] * y[1] / x[1], a[1]["value"])


def _rounds_to(amount: Fraction, number: int | Decimal) -> bool:
    exact = Decimal(amount.numerator) / Decimal(amount.denominator)
    return exact.quantize(Decimal(1).scaleb(-decimals(number)), ROUND_HALF_UP) == number


def _equivalent_json(a: Any, b: Any) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        names = (a.keys() | b.keys()) - {"id"}
        return all(name in a and name in b and _equivalent_json(a[name], b[name]) for name in names)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and _matched(a, b, _equivalent_json)
    if isinstance(a, str) and isinstance(b, str):
        return _plain(a) == _plain(b)
    if isinstance(a, (int, Decimal)) and isinstance(b, (int, Decimal)) and not isinstance(a, bool):
        return _round_alike(a, b)
    return bool(a == b)


def _matched(a: list[Any], b: list[Any], same: Any) -> bool:
    rest = list(b)
    for x in a:
        found = next((index for index, y in enumerate(rest) if same(x, y)), None)
        if found is None:
            return False
        del rest[found]
    return True


def equivalent(a: Items, b: Items) -> bool:
    """`a ~ b` for collections, in any order; two empty ones are equivalent."""
    return len(a) == len(b) and _matched(a, b, item_equivalent)


def order(a: Item | None, b: Item | None) -> int | None:
    """-1, 0 or 1 as `a` is less than, equal to or greater than `b`; None where that is open.

    Raises FhirPathEvaluationError for types that have no common order.
    """
    if a is None or b is None or a[1] is None or b[1] is None:
        return None
    x, y = family(a[0]), family(b[0])
    if x == "string" == y or x == "number" == y:
        return int(a[1] > b[1]) - int(a[1] < b[1])
    if x in _MOMENT and y in _MOMENT and (x == "time") == (y == "time"):
        p, q = moment(a), moment(b)
        return None if p is None or q is None else temporal.compare(p, q)
    if {x, y} <= {"quantity", "number"}:
        return _quantity_order(_as_quantity(a, x), _as_quantity(b, y))
    raise FhirPathEvaluationError(f"{a[0]} and {b[0]} have no order")


def _quantity_order(a: Item, b: Item) -> int | None:
    p, q = quantity(a), quantity(b)
    if p is None or q is None:
        return None
    x, y = p[0], q[0]
    if p[2] != q[2]:
        if p[1] is None or q[1] is None or p[1][0] != q[1][0]:
            return None
        x, y = x * p[1][1], y * q[1][1]
    return (x > y) - (x < y)


def only(items: Items) -> Item | None:
    """The single item, or None for none. Raises FhirPathEvaluationError for several."""
    if len(items) > 1:
        raise FhirPathEvaluationError(f"One item expected, {len(items)} found")
    return items[0] if items else None


def truth(items: Items) -> bool | None:
    """A collection as an operand of logic (https://hl7.org/fhirpath/N1/#singleton-evaluation-of-collections)."""
    item = only(items)
    if item is None:
        return None
    return item[1] if isinstance(item[1], bool) else True
