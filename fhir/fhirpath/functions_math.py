"""Math functions and arithmetic operators (https://hl7.org/fhirpath/N1/#math). Decimal arithmetic is exact."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Any

from fhir.fhirpath import temporal, units
from fhir.fhirpath.environment import Environment
from fhir.fhirpath.exceptions import FhirPathEvaluationError
from fhir.fhirpath.registry import bounded, collection, integer_argument, scalar, wrap
from fhir.fhirpath.values import Item, Items, family, only, quantity, system_type, unit_of

DECIMAL, INTEGER = "System.Decimal", "System.Integer"
Number = int | Decimal

_CONTEXT = Context(prec=60)
_QUOTIENT = Context(prec=28)
_INTEGER_RANGE = (-(2**31), 2**31 - 1)


def number(value: Number | None) -> Items:
    """A number as items: empty where it overflows an integer."""
    if value is None:
        return []
    if isinstance(value, int):
        return [(INTEGER, value, None)] if _INTEGER_RANGE[0] <= value <= _INTEGER_RANGE[1] else []
    return [(DECIMAL, value, None)]


@collection("abs", result="input")
def absolute(environment: Environment, items: Items) -> Items:
    item = only(items)
    if item is None or item[1] is None:
        return []
    if family(item[0]) == "quantity":
        return [(item[0], item[1] | {"value": abs(item[1]["value"])}, None)]
    value = _number(item, "abs")
    return number(value if value >= 0 else -value)


def _number(item: Item, name: str) -> Number:
    if family(item[0]) != "number":
        raise FhirPathEvaluationError(f"{name}() does not work on {item[0]}")
    value: Number = item[1]
    return value


@scalar("ceiling", "number", result=INTEGER)
def ceiling(value: Number) -> int:
    return int(Decimal(value).to_integral_value(ROUND_CEILING))


@scalar("floor", "number", result=INTEGER)
def floor(value: Number) -> int:
    return int(Decimal(value).to_integral_value(ROUND_FLOOR))


@scalar("truncate", "number", result=INTEGER)
def truncate(value: Number) -> int:
    return int(value)


@collection("round", (0, 1), DECIMAL)
def round_(environment: Environment, items: Items, precision: Items | None = None) -> Items:
    item = only(items)
    digits = integer_argument(precision) if precision is not None else 0
    if item is None or item[1] is None or digits is None:
        return []
    if digits < 0:
        raise FhirPathEvaluationError("round() needs a precision of 0 or more")
    value = Decimal(_number(item, "round"))
    return wrap(DECIMAL, value.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP, _CONTEXT))


@scalar("exp", "number", result=DECIMAL)
def exp(value: Number) -> Decimal:
    return _QUOTIENT.exp(Decimal(value))


@scalar("ln", "number", result=DECIMAL)
def ln(value: Number) -> Decimal | None:
    return _QUOTIENT.ln(Decimal(value)) if value > 0 else None


@scalar("log", "number", (1, 1), DECIMAL)
def log(value: Number, base: Number) -> Decimal | None:
    if value <= 0 or base <= 0 or base == 1:
        return None
    exact = Context(prec=40)
    quotient = exact.divide(exact.ln(Decimal(value)), exact.ln(Decimal(base)))
    return _QUOTIENT.plus(quotient.quantize(Decimal("1E-20"), ROUND_HALF_UP)).normalize()


@collection("power", (1, 1), "input")
def power(environment: Environment, items: Items, exponent: Items) -> Items:
    base, other = only(items), only(exponent)
    if base is None or other is None:
        return []
    x, y = _number(base, "power"), _number(other, "power")
    if isinstance(x, int) and isinstance(y, int) and 0 <= y <= 64:
        return number(x**y)
    try:
        return number(_QUOTIENT.power(Decimal(x), Decimal(y)))
    except InvalidOperation:
        return []


@scalar("sqrt", "number", result=DECIMAL)
def sqrt(value: Number) -> Decimal | None:
    return _QUOTIENT.sqrt(Decimal(value)) if value >= 0 else None


def polarity(operator: str, items: Items) -> Items:
    """`-items` or `+items`; a string keeps its place in `sort(-name)`, nowhere else."""
    item = only(items)
    if item is None:
        return []
    if family(item[0]) == "quantity":
        value = item[1]["value"]
        return [(item[0], item[1] | {"value": -value if operator == "-" else value}, None)]
    if family(item[0]) != "number":
        raise FhirPathEvaluationError(f"{operator} does not work on {item[0]}")
    return [(system_type(item[0]), -item[1] if operator == "-" else item[1], None)]


def arithmetic(operator: str, left: Items, right: Items) -> Items:
    """`left operator right` for + - * / div mod and &. Raises FhirPathEvaluationError for types it cannot join."""
    a, b = only(left), only(right)
    if operator == "&":
        return wrap("System.String", joined(_text(a), _text(b)))
    if a is None or b is None or a[1] is None or b[1] is None:
        return []
    x, y = family(a[0]), family(b[0])
    if x == "number" == y:
        return number(numeric(operator, a[1], b[1]))
    if x == "string" == y and operator == "+":
        return wrap("System.String", joined(a[1], b[1]))
    if x in ("date", "dateTime", "time") and y == "quantity" and operator in "+-":
        return _move(a, b[1], operator)
    if {x, y} <= {"quantity", "number"}:
        return _quantities(operator, a, b)
    raise FhirPathEvaluationError(f"{a[0]} {operator} {b[0]} means nothing")


def joined(a: str | None, b: str | None) -> str:
    """Two texts as one, None as nothing."""
    return bounded((a or "") + (b or ""))


def _text(item: Item | None) -> str:
    if item is None or item[1] is None:
        return ""
    if not isinstance(item[1], str):
        raise FhirPathEvaluationError(f"& does not work on {item[0]}")
    return item[1]


def numeric(operator: str, a: Number, b: Number) -> Number | None:
    """Arithmetic of numbers; None for a division by zero."""
    if operator in ("/", "div", "mod") and b == 0:
        return None
    both_integers = isinstance(a, int) and isinstance(b, int)
    x, y = Decimal(a), Decimal(b)
    match operator:
        case "+":
            result = _CONTEXT.add(x, y)
        case "-":
            result = _CONTEXT.subtract(x, y)
        case "*":
            result = _CONTEXT.multiply(x, y)
        case "/":
            return _QUOTIENT.divide(x, y)
        case "div":
            return int(_CONTEXT.divide(x, y).to_integral_value(ROUND_DOWN))
        case _:
            result = _CONTEXT.remainder(x, y)
    return int(result) if both_integers else result


def _move(item: Item, amount: dict[str, Any], operator: str) -> Items:
    unit, calendar = unit_of(amount)
    word = unit if calendar else units.CALENDAR_UNIT.get(unit, unit)
    word = word.removesuffix("s")
    if word not in ("year", "month", *units.CALENDAR_UNIT.values()):
        raise FhirPathEvaluationError(f"A date cannot be moved by {unit!r}")
    kind = system_type(item[0])
    by = Decimal(amount["value"])
    return wrap(kind, temporal.add(item[1], kind, by if operator == "+" else -by, word))


def _quantities(operator: str, a: Item, b: Item) -> Items:
    left = a if family(a[0]) == "quantity" else ("System.Quantity", {"value": a[1], "code": "1"}, None)
    right = b if family(b[0]) == "quantity" else ("System.Quantity", {"value": b[1], "code": "1"}, None)
    p, q = quantity(left), quantity(right)
    if p is None or q is None:
        return []
    x, y = left[1]["value"], right[1]["value"]
    if operator in "*/":
        value = numeric(operator, x, y)
        unit = _compound(operator, p[2], q[2])
        return [] if value is None else [_quantity(Decimal(value), unit)]
    if operator not in "+-" or p[1] is None or q[1] is None or p[1][0] != q[1][0]:
        return []
    if p[2] != q[2]:
        exact = q[0] * q[1][1] / p[1][1]
        y = Decimal(exact.numerator) / Decimal(exact.denominator)
    result = numeric(operator, x, y)
    return [] if result is None else [("System.Quantity", left[1] | {"value": result}, None)]


def _quantity(value: Decimal, unit: str) -> Item:
    return ("System.Quantity", {"value": value, "system": units.UCUM, "code": unit}, None)


def _compound(operator: str, a: str, b: str) -> str:
    if b == "1":
        return a
    if operator == "/":
        return "1" if a == b else f"{'' if a == '1' else a}/{b}"
    return b if a == "1" else f"{a}.{b}"
