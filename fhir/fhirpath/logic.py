"""Boolean logic without three-valued detours: code for "is true" and for "is false".

https://hl7.org/fhirpath/N1/#boolean-logic
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fhir.fhirpath import operators, special, values
from fhir.fhirpath.ast import Binary, Call, EmptyCollection, Expression, Literal, TypeExpression
from fhir.fhirpath.emitter import Branch, Branches, Scope, Shape

if TYPE_CHECKING:
    from fhir.fhirpath.generator import Generator

BOOLEAN = "System.Boolean"
LOGIC = ("and", "or", "xor", "implies")
_SURE = frozenset(
    [
        "exists",
        "empty",
        "all",
        "allTrue",
        "anyTrue",
        "allFalse",
        "anyFalse",
        "subsetOf",
        "supersetOf",
        "isDistinct",
        "hasValue",
        "count",
    ]
)
Code = Callable[[], str]


def is_sure(e: Expression) -> bool:
    """Whether an expression gives a boolean whatever the data: never empty."""
    match e:
        case Literal():
            return e.type == BOOLEAN
        case Call():
            return e.name in _SURE or (e.name == "not" and e.base is not None and is_sure(e.base))
        case Binary():
            return e.operator in LOGIC and is_sure(e.left) and is_sure(e.right)
    return False


def both(g: Generator, left: Code, right: Code) -> str:
    """Code of `left and right`; what the right needs is done only after a true left."""
    return _join(g, left, right, "and", "if {}:")


def either(g: Generator, left: Code, right: Code) -> str:
    """Code of `left or right`."""
    return _join(g, left, right, "or", "if not {}:")


def _join(g: Generator, left: Code, right: Code, word: str, guard: str) -> str:
    first = left()
    if (word, first) in (("and", "False"), ("or", "True")):
        return first
    with g.emitter.captured() as lines:
        second = right()
    if not lines:
        return f"({first} {word} {second})"
    result = g.emitter.name()
    g.emitter.emit(f"{result} = {first}")
    g.emitter.emit(guard.format(result))
    g.emitter.lines += lines
    with g.emitter.block():
        g.emitter.emit(f"{result} = {second}")
    return result


def true(g: Generator, e: Expression, scope: Scope) -> str:
    """Code that is truthy when `e` is true."""
    match e:
        case Binary(operator="and"):
            return both(g, lambda: true(g, e.left, scope), lambda: true(g, e.right, scope))
        case Binary(operator="or"):
            return either(g, lambda: true(g, e.left, scope), lambda: true(g, e.right, scope))
        case Binary(operator="implies"):
            return either(g, lambda: false(g, e.left, scope), lambda: true(g, e.right, scope))
        case Binary(operator="xor"):
            return f"({_value(g, e.left, scope)}, {_value(g, e.right, scope)}) in ((True, False), (False, True))"
        case Binary():
            code = operators.truth(g, e, scope, wanted=True)
            if code is not None:
                return code
        case Call():
            code = special.truth(g, e, scope, wanted=True)
            if code is not None:
                return code
        case TypeExpression(operator="is"):
            return operators.is_truth(g, e.operand, e.type, scope, wanted=True)
        case EmptyCollection():
            return "False"
    return _true(g, g.generate(e, scope))


def false(g: Generator, e: Expression, scope: Scope) -> str:
    """Code that is truthy when `e` is false."""
    match e:
        case Binary(operator="and"):
            return either(g, lambda: false(g, e.left, scope), lambda: false(g, e.right, scope))
        case Binary(operator="or"):
            return both(g, lambda: false(g, e.left, scope), lambda: false(g, e.right, scope))
        case Binary(operator="implies"):
            return both(g, lambda: true(g, e.left, scope), lambda: false(g, e.right, scope))
        case Binary(operator="xor"):
            return f"({_value(g, e.left, scope)}, {_value(g, e.right, scope)}) in ((True, True), (False, False))"
        case Binary():
            code = operators.truth(g, e, scope, wanted=False)
            if code is not None:
                return code
        case Call():
            code = special.truth(g, e, scope, wanted=False)
            if code is not None:
                return code
        case TypeExpression(operator="is"):
            return operators.is_truth(g, e.operand, e.type, scope, wanted=False)
        case EmptyCollection():
            return "False"
    return _false(g, g.generate(e, scope))


def _true(g: Generator, branches: Branches) -> str:
    if not branches:
        return "False"
    if len(branches) == 1 and branches[0].shape is Shape.ONE:
        b = branches[0]
        return b.code if _is_boolean(b) else "True" if b.sure else f"({b.code} is not None)"
    return f"({g.runtime(values.truth)}({g.items(branches)}) is True)"


def _false(g: Generator, branches: Branches) -> str:
    if not branches:
        return "False"
    if len(branches) == 1 and branches[0].shape is Shape.ONE:
        b = branches[0]
        if not _is_boolean(b):
            return "False"
        return f"(not {b.code})" if b.sure else f"({b.code} is False)"
    return f"({g.runtime(values.truth)}({g.items(branches)}) is False)"


def _is_boolean(b: Branch) -> bool:
    return bool(b.type) and values.family(b.type) == "boolean"


def _value(g: Generator, e: Expression, scope: Scope) -> str:
    """Code of True, False or None."""
    if is_sure(e):
        return f"bool({true(g, e, scope)})"
    return f"(True if {true(g, e, scope)} else False if {false(g, e, scope)} else None)"


def boolean(g: Generator, e: Expression, scope: Scope) -> Branches:
    """An expression of logic as a collection."""
    return [Branch(BOOLEAN, g.emitter.variable(_value(g, e, scope)), Shape.ONE, sure=is_sure(e))]
