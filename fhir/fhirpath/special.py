"""Code for function calls: the ones that need types or laziness, and the way to all the others.

https://hl7.org/fhirpath/N1/#functions and https://hl7.org/fhir/R4/fhirpath.html#functions
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from fhir.fhirpath import (  # noqa: F401 - the functions_* modules register themselves
    functions_boundaries,
    functions_collections,
    functions_conversion,
    functions_fhir,
    functions_math,
    functions_strings,
    iteration,
    logic,
    navigation,
    operators,
)
from fhir.fhirpath.ast import Binary, Call, Expression, ExternalConstant, Indexer, Literal, Member
from fhir.fhirpath.emitter import Branch, Branches, Mode, Scope, Shape
from fhir.fhirpath.exceptions import FhirPathTypeError
from fhir.fhirpath.registry import FUNCTIONS, RuntimeFunction, string_argument
from fhir.fhirpath.tree import is_primitive
from fhir.fhirpath.values import family, only

if TYPE_CHECKING:
    from fhir.fhirpath.generator import Generator

BOOLEAN, INTEGER = "System.Boolean", "System.Integer"
Special = Callable[["Generator", Call, Scope, Mode], Branches]


def base_of(g: Generator, e: Call, scope: Scope, mode: Mode, only: str | None = None) -> Branches:
    """What a function works on: its base, or the focus."""
    return scope.this if e.base is None else g.generate(e.base, scope, mode, only)


def call(g: Generator, e: Call, scope: Scope, mode: Mode) -> Branches:
    """Any function call. Raises FhirPathTypeError for an unknown name or a wrong number of arguments."""
    if e.name in SPECIAL:
        minimum, maximum, generate = SPECIAL[e.name]
        _check_arguments(e, minimum, maximum)
        return generate(g, e, scope, mode)
    function = FUNCTIONS.get(e.name)
    if function is None:
        raise FhirPathTypeError(f"Unknown function {e.name}()")
    _check_arguments(e, function.minimum, function.maximum)
    return _runtime_call(g, e, function, scope)


def _check_arguments(e: Call, minimum: int, maximum: int) -> None:
    if not minimum <= len(e.arguments) <= maximum:
        raise FhirPathTypeError(f"{e.name}() takes {minimum} to {maximum} arguments, not {len(e.arguments)}")


def _runtime_call(g: Generator, e: Call, function: RuntimeFunction, scope: Scope) -> Branches:
    if e.name in ("skip", "take", "tail"):
        check_ordered(g, e.base)
    base = base_of(g, e, scope, Mode.ELEMENTS)
    arguments = [g.generate(a, scope) for a in e.arguments]
    if function.accepts and base and all(b.type and not _accepted(b, function) for b in base):
        raise FhirPathTypeError(f"{e.name}() does not work on {base[0].type}")
    direct = _direct_call(g, function, base, arguments)
    if direct is not None:
        return [direct]
    codes = ["env", g.items(base, elements=True), *(g.items(a) for a in arguments)]
    result = function.result or ""
    if result == "input":
        types = {b.type for b in base}
        result = types.pop() if len(types) == 1 else ""
    code = f"{g.runtime(function.call)}({', '.join(codes)})"
    return [Branch(result, g.emitter.variable(code), Shape.ITEMS, single=bool(function.accepts))]


def check_ordered(g: Generator, base: Expression | None) -> None:
    """Refuse, if strict, to pick by position what has no order."""
    if g.strict and isinstance(base, Call) and base.name in ("children", "descendants"):
        raise FhirPathTypeError(f"The result of {base.name}() has no order")


def _accepted(b: Branch, function: RuntimeFunction) -> bool:
    return navigation.is_open(b.type) or family(b.type) in function.accepts


def _direct_call(g: Generator, function: RuntimeFunction, base: Branches, arguments: list[Branches]) -> Branch | None:
    """A call on bare values, where the input is one of them and the arguments are sure."""
    value = g.simple(base)
    if function.value is None or function.result is None or value is None or not _accepted(value, function):
        return None
    given = [g.simple(a) for a in arguments]
    codes = [a.code for a, kind in zip(given, function.takes, strict=False) if a and a.sure and family(a.type) == kind]
    if len(codes) != len(arguments):
        return None
    text = g.emitter.variable(value.code)
    code = f"{g.runtime(function.value)}({', '.join([text, *codes])})"
    shape = Shape.LIST if function.value.__annotations__["return"].startswith("list") else Shape.ONE
    sure = value.sure and "None" not in function.value.__annotations__["return"]
    return Branch(function.result, code if value.sure else f"(None if {text} is None else {code})", shape, sure=sure)


def indexer(g: Generator, e: Indexer, scope: Scope, mode: Mode) -> Branches:
    """`base[index]`"""
    check_ordered(g, e.base)
    base = g.generate(e.base, scope, Mode.ELEMENTS)
    if isinstance(e.index, Literal) and type(e.index.value) is int:
        return _at(g, base, e.index.value, f"[{e.index.value}:{e.index.value + 1}]")
    code = f"{g.runtime(functions_collections.index)}({g.items(base, elements=True)}, "
    code += f"{g.items(g.generate(e.index, scope))})"
    return [Branch(_common_type(base), g.emitter.variable(code), Shape.ITEMS, single=True)]


def _common_type(base: Branches) -> str:
    types = {b.type for b in base}
    return types.pop() if len(types) == 1 else ""


def _at(g: Generator, base: Branches, position: int, cut: str) -> Branches:
    """One place of a collection; -1 is the last."""
    if not base:
        return []
    if len(base) == 1 and base[0].shape is Shape.ONE:
        return base if position in (0, -1) else []
    if len(base) == 1 and base[0].shape is Shape.LIST:
        b = base[0]
        values = g.emitter.variable(b.code)
        enough = values if position in (0, -1) else f"{values} and len({values}) > {position}"
        return [Branch(b.type, f"({values}[{position}] if {enough} else None)", Shape.ONE)]
    return [Branch(_common_type(base), f"{g.items(base, elements=True)}{cut}", Shape.ITEMS, single=True)]


def _first(g: Generator, e: Call, scope: Scope, mode: Mode) -> Branches:
    check_ordered(g, e.base)
    return _at(g, base_of(g, e, scope, Mode.ELEMENTS), 0, "[:1]")


def _last(g: Generator, e: Call, scope: Scope, mode: Mode) -> Branches:
    check_ordered(g, e.base)
    return _at(g, base_of(g, e, scope, Mode.ELEMENTS), -1, "[-1:]")


def _of_type(g: Generator, e: Call, scope: Scope, mode: Mode) -> Branches:
    wanted = navigation.type_name(e.arguments[0])
    base = base_of(g, e, scope, mode, wanted)
    if e.name == "as" and g.strict and any(b.shape is not Shape.ONE and not b.single for b in base):
        g.emitter.emit(f"{g.runtime(only)}({g.items(base)})")
    return [b for branch in base for b in navigation.narrow(g, branch, wanted, exact=True)]


def _is(g: Generator, e: Call, scope: Scope, mode: Mode) -> Branches:
    wanted = navigation.type_name(e.arguments[0])
    if e.base is not None:
        return operators.type_operator(g, "is", e.base, wanted, scope, mode)
    yes = operators.branches_are(g, scope.this, wanted, wanted=True)
    no = operators.branches_are(g, scope.this, wanted, wanted=False)
    return [Branch(BOOLEAN, f"(True if {yes} else False if {no} else None)", Shape.ONE)]


def _presence(g: Generator, e: Call, scope: Scope) -> str:
    """Code that is truthy when the base (filtered, if there is a criterion) is not empty."""
    if e.name == "exists" and e.arguments:
        branches = iteration.where(g, e, scope, Mode.PRESENCE)
    else:
        branches = base_of(g, e, scope, Mode.PRESENCE)
    found = [g.presence(b) for b in branches]
    return found[0] if len(found) == 1 else f"({' or '.join(found)})" if found else "False"


def _exists(g: Generator, e: Call, scope: Scope, mode: Mode) -> Branches:
    code = f"bool({_presence(g, e, scope)})" if e.name == "exists" else f"(not {_presence(g, e, scope)})"
    return [Branch(BOOLEAN, g.emitter.variable(code), Shape.ONE, sure=True)]


def _count(g: Generator, e: Call, scope: Scope, mode: Mode) -> Branches:
    counts = []
    for b in base_of(g, e, scope, Mode.ELEMENTS):
        if b.shape is Shape.ONE:
            counts.append(f"(1 if {g.presence(b)} else 0)")
        else:
            counts.append(f"len({b.code} or ())")
    return [Branch(INTEGER, f"({' + '.join(counts) or '0'})", Shape.ONE, sure=True)]


def _has_value(g: Generator, e: Call, scope: Scope, mode: Mode) -> Branches:
    base = base_of(g, e, scope, Mode.ELEMENTS)
    if len(base) == 1 and base[0].shape is Shape.ONE and base[0].type:
        b = base[0]
        plain = b.type.startswith("System.") or is_primitive(b.type)
        code = "True" if b.sure else f"({b.code} is not None)"
        return [Branch(BOOLEAN, code if plain else "False", Shape.ONE, sure=True)]
    code = f"{g.runtime(functions_fhir.has_value)}(env, {g.items(base, elements=True)})[0][1]"
    return [Branch(BOOLEAN, g.emitter.variable(code), Shape.ONE, sure=True)]


def _get_value(g: Generator, e: Call, scope: Scope, mode: Mode) -> Branches:
    base = base_of(g, e, scope, Mode.ELEMENTS)
    if len(base) == 1 and base[0].shape is Shape.ONE and base[0].type and not base[0].type.startswith("System."):
        return navigation.as_system(g, base[0]) if is_primitive(base[0].type) else []
    code = f"{g.runtime(functions_fhir.get_value)}(env, {g.items(base, elements=True)})"
    return [Branch("", g.emitter.variable(code), Shape.ITEMS, single=True)]


def _extension(g: Generator, e: Call, scope: Scope, mode: Mode) -> Branches:
    """`extension(url)` is `extension.where(url = …)`; the argument belongs to the outer focus."""
    url: Expression = e.arguments[0]
    extensions = navigation.step(g, base_of(g, e, scope, Mode.ELEMENTS), "extension", mode)
    if not isinstance(url, (Literal, ExternalConstant)):
        value = g.emitter.variable(f"{g.runtime(string_argument)}({g.items(g.generate(url, scope))})")
        outer = Branch("System.String", value, Shape.ONE)
        return [f for b in extensions for f in iteration.keep(g, b, lambda s: _has_url(s, outer), scope, mode)]
    criterion = Binary(e.position, "=", Member(e.position, None, "url"), url)
    return [f for b in extensions for f in iteration.filtered(g, b, criterion, scope, mode)]


def _has_extension(g: Generator, e: Call, scope: Scope, mode: Mode) -> Branches:
    found = _extension(g, e, scope, Mode.PRESENCE)
    code = " or ".join(g.presence(b) for b in found) or "False"
    return [Branch(BOOLEAN, g.emitter.variable(f"bool({code})"), Shape.ONE, sure=True)]


def _has_url(inner: Scope, url: Branch) -> str:
    return f"({inner.this[0].code}.get('url') == {url.code})"


def _not(g: Generator, e: Call, scope: Scope, mode: Mode) -> Branches:
    if e.base is None:
        code = f"{g.runtime(functions_collections.negate)}(env, {g.items(scope.this)})"
        return [Branch(BOOLEAN, g.emitter.variable(code), Shape.ITEMS, single=True)]
    sure = logic.is_sure(e.base)
    if sure:
        return [Branch(BOOLEAN, f"(not {g.true(e.base, scope)})", Shape.ONE, sure=True)]
    code = f"(True if {g.false(e.base, scope)} else False if {g.true(e.base, scope)} else None)"
    return [Branch(BOOLEAN, g.emitter.variable(code), Shape.ONE)]


def _trace(g: Generator, e: Call, scope: Scope, mode: Mode) -> Branches:
    base = [replace(b, code=g.emitter.variable(b.code)) for b in base_of(g, e, scope, Mode.ELEMENTS)]
    name = g.items(g.generate(e.arguments[0], scope))
    projected = "None"
    if len(e.arguments) > 1:
        projected = g.items(iteration.project(g, base, e.arguments[1], scope, mode))
    g.emitter.emit("if env.trace is not None:")
    with g.emitter.block():
        g.emitter.emit(f"{g.runtime(functions_fhir.trace)}(env, {g.items(base)}, {name}, {projected})")
    return base


def _union(g: Generator, e: Call, scope: Scope, mode: Mode) -> Branches:
    return operators.union_of(
        g, [base_of(g, e, scope, Mode.ELEMENTS), g.generate(e.arguments[0], scope, Mode.ELEMENTS)]
    )


def _combine(g: Generator, e: Call, scope: Scope, mode: Mode) -> Branches:
    return base_of(g, e, scope, mode) + g.generate(e.arguments[0], scope, mode)


SPECIAL: dict[str, tuple[int, int, Special]] = {
    "where": (1, 1, iteration.where),
    "select": (1, 1, iteration.select),
    "all": (1, 1, iteration.all_),
    "repeat": (1, 1, iteration.repeat),
    "aggregate": (1, 2, iteration.aggregate),
    "iif": (2, 3, iteration.iif),
    "sort": (0, 8, iteration.sort),
    "exists": (0, 1, _exists),
    "empty": (0, 0, _exists),
    "not": (0, 0, _not),
    "count": (0, 0, _count),
    "first": (0, 0, _first),
    "last": (0, 0, _last),
    "ofType": (1, 1, _of_type),
    "as": (1, 1, _of_type),
    "is": (1, 1, _is),
    "hasValue": (0, 0, _has_value),
    "getValue": (0, 0, _get_value),
    "extension": (1, 1, _extension),
    "hasExtension": (1, 1, _has_extension),
    "trace": (1, 2, _trace),
    "union": (1, 1, _union),
    "combine": (1, 1, _combine),
}


def truth(g: Generator, e: Call, scope: Scope, *, wanted: bool) -> str | None:
    """Code for "is true" (or "is false") of a call, where it is shorter than its value; else None."""
    if e.name in ("exists", "empty") and len(e.arguments) <= (e.name == "exists"):
        code = _presence(g, e, scope)
        return f"(not {code})" if (e.name == "exists") != wanted else code
    if e.name == "not" and e.base is not None and not e.arguments:
        return g.false(e.base, scope) if wanted else g.true(e.base, scope)
    if e.name == "is" and e.base is not None and len(e.arguments) == 1:
        return operators.is_truth(g, e.base, navigation.type_name(e.arguments[0]), scope, wanted=wanted)
    if e.name == "all" and len(e.arguments) == 1:
        code = iteration.counterexample(g, e, scope)
        return f"(not {code})" if wanted else code
    return None
