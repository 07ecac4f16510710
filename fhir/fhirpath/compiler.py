"""The public face: expressions of a known context type become Python functions.

Generated functions take a node (JSON as `fhir.json.loads` gives it, structurally valid for the context type) and an
`Environment`. https://hl7.org/fhirpath/N1/ , https://hl7.org/fhir/R4/fhirpath.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from fhir.fhirpath.ast import Expression
from fhir.fhirpath.emitter import Branch, Branches, Scope, Shape
from fhir.fhirpath.environment import Environment
from fhir.fhirpath.exceptions import FhirPathLimitError, FhirPathTypeError
from fhir.fhirpath.generator import Generator
from fhir.fhirpath.navigation import is_open
from fhir.fhirpath.operators import union_parts
from fhir.fhirpath.parser import parse
from fhir.fhirpath.tree import actual
from fhir.fhirpath.values import Items

Values = Callable[[Any, Environment], list[Any]]
Typed = Callable[..., Items]
Test = Callable[[Any, Environment], bool]
Extraction = Callable[[Any, Environment], dict[str, list[tuple[str, Any]]]]
Failures = Callable[[Any, Environment], list[str]]


def compile_expression(expression: str | Expression, context_type: str, *, strict: bool = False) -> Values:
    """The values of an expression: `f(node, environment) -> list`. Primitives that have only extensions are left out.

    `context_type` is the FHIR type of the node ("Patient", "Observation.component", "Quantity"), or "" for one known
    only at run time. With `strict`, a path that starts with another type's name is an error and not empty.
    Raises FhirPathSyntaxError, FhirPathLimitError and FhirPathTypeError; the function raises FhirPathEvaluationError.
    """
    typed = compile_typed(expression, context_type, strict=strict)

    def values(node: Any, environment: Environment) -> list[Any]:
        return [value for _, value, _ in typed(node, environment)]

    return values


def compile_typed(
    expression: str | Expression,
    context_type: str,
    *,
    strict: bool = False,
    lenient: bool = False,
    item: bool = False,
) -> Typed:
    """As `compile_expression`, with types: the function gives items `(type, value, extensions)`.

    With `item`, the function takes an item instead of a bare node (so that extensions of a primitive focus are seen),
    and a third parameter for `$index`. With `lenient`, an unknown element is empty instead of an error.
    """
    g = Generator(context_type, strict=strict, lenient=lenient)
    scope = Scope([g.root])
    if item:
        g.root = g.focus_item(context_type)
        scope = Scope([g.root], index="index")
    branches = _guarded(expression, lambda: g.generate(_parsed(expression), scope))
    g.emitter.emit(f"return {g.items(branches)}")
    return _function(g, str(expression), "node, env, index" if item else "node, env")  # type: ignore[no-any-return]


def _parsed(expression: str | Expression) -> Expression:
    return parse(expression) if isinstance(expression, str) else expression


def compile_boolean(expression: str | Expression, context_type: str, *, empty: bool = False) -> Test:
    """Whether an invariant holds: `f(node, environment) -> bool`.

    True passes and false fails. An empty result fails, since a constraint "must evaluate to true"
    (https://hl7.org/fhir/R4/elementdefinition-definitions.html#ElementDefinition.constraint.expression), unless `empty`
    says that it passes: several R4 rules, written for an engine where `{}.startsWith('#')` was false, come out empty
    on sound resources. The context type must be concrete: ele-1 is to be compiled for each type it is meant for.
    """
    g = Generator(context_type, lenient=True)
    code = _guarded(expression, lambda: _holds(g, expression, empty))
    g.emitter.emit(f"return bool({code})")
    return _function(g, str(expression))  # type: ignore[no-any-return]


def _holds(g: Generator, expression: str | Expression, empty: bool) -> str:
    scope = Scope([g.root])
    tree = _parsed(expression)
    return f"(not {g.false(tree, scope)})" if empty else g.true(tree, scope)


def compile_booleans(
    expressions: Mapping[str, str | Expression], context_type: str, *, empty: bool = False
) -> Failures:
    """All invariants of a type in one function: `f(node, environment) -> names of those that do not hold`.

    `empty` as in `compile_boolean`.
    """
    g = Generator(context_type, lenient=True)
    g.emitter.emit("failed = []")
    for name, expression in expressions.items():
        code = _guarded(expression, lambda e=expression: _holds(g, e, empty))  # type: ignore[misc]
        g.emitter.emit(f"if not {code}: failed.append({name!r})")
    g.emitter.emit("return failed")
    return _function(g, f"{context_type} invariants")  # type: ignore[no-any-return]


def compile_many(expressions: Mapping[str, str | Expression], context_type: str) -> Extraction:
    """Many expressions of one type in one straight-line function, for search.

    `f(node, environment) -> {name: [(FHIR type, value), …]}` with the names that have values only. The values of a
    union are not made distinct, since an index does that.
    """
    g = Generator(context_type, lenient=True)
    g.emitter.emit("found = {}")
    for name, expression in expressions.items():
        _collect(g, name, _guarded(expression, lambda e=expression: _all_parts(g, e)))  # type: ignore[misc]
    g.emitter.emit("return found")
    return _function(g, f"{context_type} search")  # type: ignore[no-any-return]


def _all_parts(g: Generator, expression: str | Expression) -> Branches:
    """The branches of every part of a union."""
    scope = Scope([g.root])
    return [b for part in union_parts(_parsed(expression)) for b in g.generate(part, scope)]


def _collect(g: Generator, name: str, branches: Branches) -> None:
    emit = g.emitter.emit
    if len(branches) == 1 and branches[0].shape is Shape.ONE:
        code = g.emitter.variable(branches[0].code)
        condition = "True" if branches[0].sure else f"{code} is not None"
        emit(f"if {condition}: found[{name!r}] = [({_tag(g, branches[0], code)}, {code})]")
    elif len(branches) == 1 and branches[0].shape is Shape.LIST:
        code = g.emitter.variable(branches[0].code)
        emit(f"if {code}: found[{name!r}] = {_pairs(g, branches[0], code)}")
    elif branches:
        values = g.emitter.name()
        emit(f"{values} = []")
        for branch in branches:
            code = g.emitter.variable(branch.code)
            if branch.shape is Shape.ONE:
                condition = "True" if branch.sure else f"{code} is not None"
                emit(f"if {condition}: {values}.append(({_tag(g, branch, code)}, {code}))")
            else:
                emit(f"if {code}: {values} += {_pairs(g, branch, code)}")
        emit(f"if {values}: found[{name!r}] = {values}")


def _tag(g: Generator, branch: Branch, code: str) -> str:
    return f"{g.runtime(actual)}({branch.type!r}, {code})" if is_open(branch.type) else repr(branch.type)


def _pairs(g: Generator, branch: Branch, code: str) -> str:
    item = g.emitter.name("i")
    if branch.shape is Shape.ITEMS:
        return f"[{item}[:2] for {item} in {code} if {item}[1] is not None]"
    return f"[({_tag(g, branch, item)}, {item}) for {item} in {code}]"


def _guarded(expression: str | Expression, generate: Callable[[], Any]) -> Any:
    try:
        return generate()
    except RecursionError as error:
        raise FhirPathLimitError("The expression is nested too deeply") from error
    except FhirPathTypeError as error:
        raise FhirPathTypeError(f"{error} in: {expression}") from error


def _function(g: Generator, label: str, parameters: str = "node, env") -> Any:
    source = "\n".join([f"def compiled({parameters}):", *g.emitter.body()])
    names: dict[str, Any] = {"EMPTY": {}, **g.emitter.constants}
    try:
        exec(compile(source, f"<fhirpath {label[:60]}>", "exec"), names)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise FhirPathLimitError(f"Too complex: {label[:60]}") from error
    function = names["compiled"]
    function.source = source
    return function


@lru_cache(maxsize=1024)
def _cached(expression: str | Expression, context_type: str) -> Values:
    return compile_expression(expression, context_type)


def evaluate(
    expression: str,
    resource: dict[str, Any],
    context_type: str | None = None,
    variables: Mapping[str, Any] | None = None,
) -> list[Any]:
    """The values of an expression on a resource (or, with `context_type`, any node). Compiled forms are remembered."""
    kind = context_type if context_type is not None else str(resource.get("resourceType", ""))
    return _cached(expression, kind)(resource, Environment(resource, variables=variables))
