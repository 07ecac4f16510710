"""From syntax tree to Python source: the dispatch, and the conversions between the shapes of a collection."""

from __future__ import annotations

from itertools import count
from typing import Any

from fhir.definitions.structure import type_definition
from fhir.fhirpath import logic, navigation, operators, special, tree
from fhir.fhirpath.ast import (
    Binary,
    Call,
    EmptyCollection,
    Expression,
    ExternalConstant,
    Indexer,
    Literal,
    Member,
    Polarity,
    Special,
    TypeExpression,
)
from fhir.fhirpath.emitter import Branch, Branches, Emitter, Mode, Scope, Shape
from fhir.fhirpath.exceptions import FhirPathLimitError, FhirPathTypeError
from fhir.fhirpath.functions_fhir import constant, variable
from fhir.fhirpath.navigation import is_open
from fhir.fhirpath.tree import is_primitive
from fhir.fhirpath.values import Items, family

_INLINE = (bool, int, str)
# Logic inside comparisons inside logic makes code grow fast; the largest official function needs some hundred steps.
_STEPS = 50_000


class Generator:
    """Generates code for expressions on one context type; `node` and `env` are the names of the inputs.

    `strict`: a path that starts with another type than the context's is an error and not empty. `lenient`: an unknown
    element is empty and not an error (a few official invariants name elements that R4 does not have).
    """

    def __init__(self, context_type: str, *, strict: bool = False, lenient: bool = False) -> None:
        self.emitter = Emitter()
        self.context_type = context_type
        self.strict = strict
        self.lenient = lenient
        self.steps = 0
        self.root = self.typed(context_type, "node", sure=True)

    def typed(self, type_name: str, code: str, *, sure: bool) -> Branch:
        """A bare value of a type that may be open (then as items)."""
        if not type_name or type_name in ("Element", "BackboneElement"):
            return Branch("", f"{self.runtime(wrap_node)}({code})", Shape.ITEMS, single=True)
        sibling = "None" if type_name and is_primitive(type_name) else None
        return Branch(type_name, code, Shape.ONE, sibling=sibling, sure=sure)

    def focus_item(self, type_name: str) -> Branch:
        """The focus where the function gets an item and not a bare node."""
        if is_open(type_name):
            return Branch("", "[node]", Shape.ITEMS, single=True)
        sibling = "node[2]" if is_primitive(type_name) else "None"
        return Branch(type_name, "node[1]", Shape.ONE, sibling=sibling, sure=sibling == "None")

    def runtime(self, function: Any) -> str:
        """The name under which generated code calls a function of the run time."""
        base = f"f_{function.__module__.rpartition('.')[2]}_{function.__name__}"
        # Functions that a decorator has made share their name.
        names = (f"{base}_{number}" if number else base for number in count())
        name = next(n for n in names if self.emitter.constants.get(n, function) is function)
        self.emitter.constants[name] = function
        return name

    # -- expressions to branches

    def generate(self, e: Expression, scope: Scope, mode: Mode = Mode.VALUES, only: str | None = None) -> Branches:
        """The branches of an expression. Raises FhirPathTypeError."""
        self.steps += 1
        if self.steps > _STEPS:
            raise FhirPathLimitError("The expression is too complex")
        match e:
            case Member():
                return navigation.member(self, e, scope, mode, only)
            case Call():
                return special.call(self, e, scope, mode)
            case Literal():
                return [self.literal(e)]
            case Special():
                return self.special(e, scope)
            case Binary():
                return operators.binary(self, e, scope, mode)
            case TypeExpression():
                navigation.check_type(e.type)
                return operators.type_operator(self, e.operator, e.operand, e.type, scope, mode)
            case Indexer():
                return special.indexer(self, e, scope, mode)
            case ExternalConstant():
                return self.external(e)
            case Polarity():
                return operators.polarity(self, e, scope)
            case EmptyCollection():
                return []
        raise FhirPathTypeError(f"Cannot compile {type(e).__name__}")

    def literal(self, e: Literal) -> Branch:
        code = repr(e.value) if isinstance(e.value, _INLINE) else self.emitter.constant(e.value)
        return Branch(e.type, code, Shape.ONE, sure=True)

    def special(self, e: Special, scope: Scope) -> Branches:
        if e.name == "this":
            return scope.this
        if e.name == "index":
            return [Branch("System.Integer", scope.index, Shape.ONE, sure=True)] if scope.index else []
        return scope.total or []

    def external(self, e: ExternalConstant) -> Branches:
        fixed = constant(e.name)
        if fixed is not None:
            return [Branch("System.String", repr(fixed), Shape.ONE, sure=True)]
        match e.name:
            case "context":
                return [self.root]
            case "resource":
                return [Branch(self.resource_type(), "env.resource", Shape.ONE)]
            case "rootResource":
                return [Branch("Resource", "env.root", Shape.ONE)]
        return [Branch("", f"{self.runtime(variable)}(env, {e.name!r})", Shape.ITEMS)]

    def resource_type(self) -> str:
        """The static type of `%resource`: certain where the context is a resource or lies inside one."""
        first = self.context_type.partition(".")[0]
        known = bool(first) and navigation.known_type(first) and type_definition(first).kind == "resource"
        return first if known else "Resource"

    # -- branches to Python expressions

    def items(self, branches: Branches, *, elements: bool = False) -> str:
        """Code of the list of items. With `elements`, primitives without a value are kept."""
        if not branches:
            return "[]"
        parts = [self._items(b, elements) for b in branches]
        return parts[0] if len(parts) == 1 else "[" + ", ".join(f"*{p}" for p in parts) + "]"

    def _items(self, b: Branch, elements: bool) -> str:
        if b.shape is Shape.ITEMS:
            item = self.emitter.name("i")
            bare = not elements and (not b.type or is_primitive(b.type))
            return f"[{item} for {item} in {b.code} if {item}[1] is not None]" if bare else b.code
        kind = repr(b.type)
        if b.shape is Shape.LIST:
            node = self.emitter.name("n")
            tag = f"{self.runtime(tree.actual)}({kind}, {node})" if is_open(b.type) else kind
            return f"[({tag}, {node}, None) for {node} in {b.code} or ()]"
        if b.sure:
            tag = f"{self.runtime(tree.actual)}({kind}, {b.code})" if is_open(b.type) else kind
            return f"[({tag}, {b.code}, {b.sibling})]"
        if is_primitive(b.type) and elements and b.sibling not in (None, "None"):
            return f"{self.runtime(one_primitive)}({kind}, {b.code}, {b.sibling})"
        return f"{self.runtime(one)}({kind}, {b.code}, {b.sibling})"

    def presence(self, b: Branch) -> str:
        """Code that is truthy when the branch is not empty."""
        if b.shape is not Shape.ONE:
            return b.code
        if b.sure:
            return "True"
        if b.sibling in (None, "None"):
            return f"{b.code} is not None"
        return f"({b.code} is not None or {b.sibling} is not None)"

    def simple(self, branches: Branches) -> Branch | None:
        """The one bare string, number or boolean that a collection is, if that is known now."""
        if len(branches) != 1 or branches[0].shape is not Shape.ONE or not branches[0].type:
            return None
        return branches[0] if family(branches[0].type) in ("string", "number", "boolean") else None

    # -- truth

    def true(self, e: Expression, scope: Scope) -> str:
        """Code that is truthy exactly when the expression is true."""
        return logic.true(self, e, scope)

    def false(self, e: Expression, scope: Scope) -> str:
        """Code that is truthy exactly when the expression is false (and not empty)."""
        return logic.false(self, e, scope)


def one(kind: str, value: Any, sibling: Any) -> Items:
    """A single value that may be None, as items."""
    return [] if value is None else [(tree.actual(kind, value), value, sibling)]


def one_primitive(kind: str, value: Any, sibling: Any) -> Items:
    """A single primitive that may have only extensions, as items."""
    return [] if value is None and sibling is None else [(kind, value, sibling)]


def wrap_node(node: Any) -> Items:
    """A node of unknown type as items: a resource says what it is."""
    return [] if node is None else [(tree.actual("Element", node), node, None)]
