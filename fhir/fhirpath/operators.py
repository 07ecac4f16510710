"""Code for operators (https://hl7.org/fhirpath/N1/#operations).

Where both sides are single strings, numbers or booleans the code is Python's own operator; everything else goes
through `values` and `functions_math` on items.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhir.fhirpath import functions_collections, functions_math, logic, temporal, tree, values
from fhir.fhirpath.ast import Binary, Call, Expression, Literal, Polarity
from fhir.fhirpath.emitter import Branch, Branches, Mode, Scope, Shape
from fhir.fhirpath.exceptions import FhirPathTypeError
from fhir.fhirpath.functions_fhir import refers_to
from fhir.fhirpath.navigation import check_type, is_open, narrow
from fhir.fhirpath.tree import conforms
from fhir.fhirpath.values import Items, family

if TYPE_CHECKING:
    from fhir.fhirpath.generator import Generator

BOOLEAN = "System.Boolean"
_ORDER = ("<", ">", "<=", ">=")
_ARITHMETIC = ("+", "-", "*", "/", "div", "mod", "&")


def binary(g: Generator, e: Binary, scope: Scope, mode: Mode) -> Branches:
    """`left operator right`"""
    if e.operator == "|":
        return _union(g, e, scope, mode)
    if e.operator in logic.LOGIC:
        return logic.boolean(g, e, scope)
    if e.operator in _ARITHMETIC:
        return _arithmetic(g, e, scope)
    left, right = g.generate(e.left, scope), g.generate(e.right, scope)
    code = _comparison(g, e.operator, left, right)
    return [Branch(BOOLEAN, g.emitter.variable(code), Shape.ONE, sure=e.operator in ("~", "!~"))]


def union_parts(e: Expression) -> list[Expression]:
    """`a | b | c` as its parts."""
    return [*union_parts(e.left), *union_parts(e.right)] if isinstance(e, Binary) and e.operator == "|" else [e]


def _union(g: Generator, e: Binary, scope: Scope, mode: Mode) -> Branches:
    keep = mode is Mode.PRESENCE
    parts = [g.generate(part, scope, mode if keep else Mode.ELEMENTS) for part in union_parts(e)]
    return [b for part in parts for b in part] if keep else union_of(g, parts)


def union_of(g: Generator, parts: list[Branches]) -> Branches:
    """The items of all parts, equal ones once."""
    branches = [b for part in parts for b in part]
    if not branches:
        return []
    types = {b.type for b in branches}
    code = f"{g.runtime(functions_collections.unique)}({g.items(branches, elements=True)})"
    return [Branch(types.pop() if len(types) == 1 else "", g.emitter.variable(code), Shape.ITEMS)]


def polarity(g: Generator, e: Polarity, scope: Scope) -> Branches:
    """`-operand`"""
    operand = g.generate(e.operand, scope)
    simple = g.simple(operand)
    if isinstance(e.operand, Literal) and simple is not None and family(simple.type) == "number":
        return [Branch(simple.type, f"({e.operator}{simple.code})", Shape.ONE, sure=True)]
    if simple is not None and family(simple.type) != "number":
        raise FhirPathTypeError(f"{e.operator} does not work on {simple.type}")
    code = f"{g.runtime(functions_math.polarity)}({e.operator!r}, {g.items(operand)})"
    static = values.system_type(simple.type) if simple else ""
    return [Branch(static, g.emitter.variable(code), Shape.ITEMS, single=True)]


def _arithmetic(g: Generator, e: Binary, scope: Scope) -> Branches:
    left, right = g.generate(e.left, scope), g.generate(e.right, scope)
    a, b = g.simple(left), g.simple(right)
    if e.operator == "&" and a and b and family(a.type) == "string" == family(b.type):
        code = f"{g.runtime(functions_math.joined)}({a.code}, {b.code})"
        return [Branch("System.String", code, Shape.ONE, sure=True)]
    if e.operator == "+" and a and b and family(a.type) == "string" == family(b.type):
        x, y = g.emitter.variable(a.code), g.emitter.variable(b.code)
        code = f"({g.runtime(functions_math.joined)}({x}, {y}) if {x} is not None and {y} is not None else None)"
        return [Branch("System.String", code, Shape.ONE, sure=a.sure and b.sure)]
    if a and b and _is_small(e):
        return [Branch("System.Integer", f"({a.code} {e.operator} {b.code})", Shape.ONE, sure=True)]
    _check_arithmetic(e.operator, left, right)
    code = f"{g.runtime(functions_math.arithmetic)}({e.operator!r}, {g.items(left)}, {g.items(right)})"
    return [Branch(_result_type(e.operator, left, right), g.emitter.variable(code), Shape.ITEMS, single=True)]


def _is_small(e: Expression) -> bool:
    """Whether an expression is a sum of counts, which is there and does not overflow."""
    if isinstance(e, Binary):
        return e.operator == "+" and _is_small(e.left) and _is_small(e.right)
    return isinstance(e, Call) and e.name == "count" and not e.arguments


def _families(branches: Branches) -> set[str]:
    return {family(b.type) if b.type and not is_open(b.type) else "open" for b in branches}


def _check_arithmetic(operator: str, left: Branches, right: Branches) -> None:
    x, y = _families(left), _families(right)
    if x <= {"date", "dateTime", "time"} and x and y == {"number"}:
        raise FhirPathTypeError(f"A date {operator} a number means nothing: give the number a unit")


def _result_type(operator: str, left: Branches, right: Branches) -> str:
    if operator == "&":
        return "System.String"
    if len(left) != 1 or len(right) != 1 or not left[0].type or not right[0].type:
        return ""
    x, y = values.system_type(left[0].type), values.system_type(right[0].type)
    numbers = ("System.Integer", "System.Decimal")
    if x not in numbers or y not in numbers:
        return x if operator in "+-" and x == "System.String" else ""
    if operator == "div" or (x == y == "System.Integer" and operator != "/"):
        return "System.Integer"
    return "System.Decimal"


def _comparison(g: Generator, operator: str, left: Branches, right: Branches) -> str:
    """Code of True, False or None."""
    a, b = g.simple(left), g.simple(right)
    same = a is not None and b is not None and family(a.type) == family(b.type)
    if a is not None and b is not None and same and operator in ("=", "!=", *_ORDER):
        x, y = g.emitter.variable(a.code) if not a.sure else a.code, b.code
        y = g.emitter.variable(y) if not b.sure else y
        nulls = [f"{c} is None" for c, side in ((x, a), (y, b)) if not side.sure]
        code = f"{x} {'==' if operator == '=' else operator} {y}"
        return f"(None if {' or '.join(nulls)} else {code})" if nulls else f"({code})"
    if operator in ("in", "contains"):
        element, container = (left, right) if operator == "in" else (right, left)
        return f"{g.runtime(functions_collections.contains)}({g.items(container)}, {g.items(element)})"
    function = {"=": values.equal, "!=": unequal, "~": values.equivalent, "!~": not_equivalent}.get(operator)
    if function is not None:
        return f"{g.runtime(function)}({g.items(left)}, {g.items(right)})"
    _check_order(operator, left, right)
    dates = [b for b in (*left, *right) if b.shape is Shape.ONE and b.type and family(b.type) in ("date", "dateTime")]
    if len(dates) == 2 and len(left) == len(right) == 1:
        return f"{g.runtime(dates_ordered)}({operator!r}, {dates[0].code}, {dates[1].code})"
    return f"{g.runtime(ordered)}({operator!r}, {g.items(left)}, {g.items(right)})"


def _check_order(operator: str, left: Branches, right: Branches) -> None:
    if left and right and (_families(left) == {"complex"} or _families(right) == {"complex"}):
        raise FhirPathTypeError(f"{operator} needs values that have an order")


def unequal(a: Items, b: Items) -> bool | None:
    """`a != b`"""
    same = values.equal(a, b)
    return None if same is None else not same


def not_equivalent(a: Items, b: Items) -> bool:
    """`a !~ b`"""
    return not values.equivalent(a, b)


def ordered(operator: str, a: Items, b: Items) -> bool | None:
    """`a operator b` for < > <= >="""
    return _satisfies(operator, values.order(values.only(a), values.only(b)))


def dates_ordered(operator: str, a: str | None, b: str | None) -> bool | None:
    """`a operator b` for the texts of two dates or dateTimes."""
    if a is None or b is None:
        return None
    if len(a) == len(b) == 10:
        return _satisfies(operator, (a > b) - (a < b))
    x, y = temporal.moment(a), temporal.moment(b)
    return None if x is None or y is None else _satisfies(operator, temporal.compare(x, y))


def _satisfies(operator: str, order: int | None) -> bool | None:
    if order is None:
        return None
    match operator:
        case "<":
            return order < 0
        case ">":
            return order > 0
        case "<=":
            return order <= 0
    return order >= 0


def truth(g: Generator, e: Binary, scope: Scope, *, wanted: bool) -> str | None:
    """Code for "is true" (or "is false") of a comparison, where it is shorter than its value; else None."""
    if e.operator in ("in", "contains"):
        return _membership(g, e, scope, wanted)
    if e.operator not in ("=", "!=", *_ORDER):
        return None
    left, right = g.generate(e.left, scope), g.generate(e.right, scope)
    a, b = g.simple(left), g.simple(right)
    if a is None or b is None or family(a.type) != family(b.type):
        code = _comparison(g, e.operator, left, right)
        return f"({code} is {wanted})"
    operator = "==" if e.operator == "=" else e.operator
    plain = f"{a.code} {operator} {b.code}" if wanted else f"not {a.code} {operator} {b.code}"
    if (operator == "==") == wanted and operator in ("==", "!=") and (a.sure or b.sure):
        return f"({plain})"  # None equals nothing that is sure to be there
    nulls = [f"{side.code} is not None" for side in (a, b) if not side.sure]
    return "(" + " and ".join([*nulls, plain]) + ")"


def _membership(g: Generator, e: Binary, scope: Scope, wanted: bool) -> str | None:
    """`code in ('a' | 'b')` is a look-up in a set."""
    element, container = (e.left, e.right) if e.operator == "in" else (e.right, e.left)
    literals = [p for p in union_parts(container) if isinstance(p, Literal) and p.type == "System.String"]
    a = g.simple(g.generate(element, scope))
    if a is None or family(a.type) != "string" or len(literals) != len(union_parts(container)):
        return None
    names = g.emitter.constant(frozenset(p.value for p in literals))
    if wanted:
        return f"({a.code} in {names})"
    return f"({a.code} not in {names})" if a.sure else f"({a.code} is not None and {a.code} not in {names})"


def type_operator(g: Generator, operator: str, operand: Expression, wanted: str, scope: Scope, mode: Mode) -> Branches:
    """`operand is wanted`, `operand as wanted`"""
    if operator == "is":
        return _is(g, operand, wanted, scope)
    base = g.generate(operand, scope, mode, wanted)
    return [b for branch in base for b in narrow(g, branch, wanted, exact=True)]


def _is(g: Generator, operand: Expression, wanted: str, scope: Scope) -> Branches:
    yes = is_truth(g, operand, wanted, scope, wanted=True)
    no = is_truth(g, operand, wanted, scope, wanted=False)
    return [Branch(BOOLEAN, g.emitter.variable(f"(True if {yes} else False if {no} else None)"), Shape.ONE)]


def is_truth(g: Generator, operand: Expression, type_: str, scope: Scope, *, wanted: bool) -> str:
    """Code for "`operand is type_` is true" (or false)."""
    check_type(type_)
    if isinstance(operand, Call) and operand.name == "resolve" and not operand.arguments:
        base = scope.this if operand.base is None else g.generate(operand.base, scope)
        if len(base) == 1 and base[0].shape is Shape.ONE and base[0].type:
            name = type_.removeprefix("FHIR.")
            return f"({g.runtime(refers_to)}(env, {base[0].code}, {name!r}) is {wanted})"
    return branches_are(g, g.generate(operand, scope, Mode.ELEMENTS), type_, wanted=wanted)


def branches_are(g: Generator, branches: Branches, type_: str, *, wanted: bool) -> str:
    """Code for "the one item is of `type_`" being true (or false)."""
    if any(b.shape is not Shape.ONE or is_open(b.type) for b in branches):
        only = f"{g.runtime(values.only)}({g.items(branches, elements=True)})"
        return f"({g.runtime(tree.is_type)}({only}, {type_!r}) is {wanted})"
    found = [g.presence(b) for b in branches if conforms(b.type, type_, False) == wanted]
    return "(" + " or ".join(found) + ")" if found else "False"
