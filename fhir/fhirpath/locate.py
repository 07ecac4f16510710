"""Where in a resource the nodes are that an expression selects, for FHIRPath Patch.

https://hl7.org/fhir/R4/fhirpatch.html: paths of elements with where(), first(), [n] and the like; whatever makes new
values instead of selecting nodes has no place and is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhir.fhirpath import navigation, special, values
from fhir.fhirpath.ast import Binary, Call, Expression, ExternalConstant, Indexer, Member, Special, TypeExpression
from fhir.fhirpath.compiler import Typed, compile_typed
from fhir.fhirpath.environment import Environment
from fhir.fhirpath.exceptions import FhirPathEvaluationError, FhirPathTypeError
from fhir.fhirpath.operators import union_parts
from fhir.fhirpath.parser import parse
from fhir.fhirpath.patterns import check_patterns
from fhir.fhirpath.registry import FUNCTIONS, integer_argument
from fhir.fhirpath.tree import Step, actual, conforms, is_primitive, steps
from fhir.fhirpath.values import Item, Items

Steps = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Location:
    """A node: its JSON `steps` from the root (keys and list positions), FHIR `type`, `value` and `sibling`.

    The steps of a primitive are those of its value even where only its extensions (`_name`, in `sibling`) exist.
    """

    steps: Steps
    type: str
    value: Any
    sibling: Any = None

    @property
    def item(self) -> Item:
        """The node as an item of `values`."""
        return (self.type, self.value, self.sibling)


Locations = list[Location]


def locate(expression: str | Expression, resource: Any, context_type: str | None = None) -> Locations:
    """The nodes that an expression selects in a resource (or another node of `context_type`), in order.

    Raises FhirPathSyntaxError, FhirPathLimitError, FhirPathEvaluationError and, for an unknown element
    or for what selects no nodes, FhirPathTypeError.
    """
    node = parse(expression) if isinstance(expression, str) else expression
    check_patterns(node)
    kind = context_type or actual("", resource)
    root = Location((), kind, resource)
    return _Locator(root).select(node, [root])


class _Locator:
    def __init__(self, root: Location) -> None:
        self.root = root
        self.compiled: dict[tuple[int, str], Typed] = {}
        self.environment = Environment(root.value if isinstance(root.value, dict) else None)

    def select(self, e: Expression, this: Locations) -> Locations:
        """The nodes that `e` selects, seen from `this`."""
        match e:
            case Member(base=None) if e.name[0].isupper() and navigation.known_type(e.name):
                return [place for place in this if conforms(place.type, e.name, False)]
            case Member():
                return _members(this if e.base is None else self.select(e.base, this), e.name)
            case Indexer():
                position = integer_argument(self.evaluate(e.index, self.root))
                found = self.select(e.base, this)
                return found[position : position + 1] if position is not None and position >= 0 else []
            case Special(name="this"):
                return this
            case ExternalConstant(name="context" | "resource"):
                return [self.root]
            case TypeExpression(operator="as"):
                wanted = navigation.check_type(e.type)
                return [place for place in self.select(e.operand, this) if conforms(place.type, wanted, True)]
            case Binary(operator="|"):
                return _unique([place for part in union_parts(e) for place in self.select(part, this)])
            case Call():
                return self.call(e, this)
        raise FhirPathTypeError("The expression makes values instead of selecting elements")

    def call(self, e: Call, this: Locations) -> Locations:
        """A function that selects among nodes."""
        _check_call(e)
        found = this if e.base is None else self.select(e.base, this)
        match e.name:
            case "where":
                mixed = len({place.type for place in found}) > 1
                return [place for n, place in enumerate(found) if self.holds(e.arguments[0], place, n, mixed)]
            case "select":
                return [x for place in found for x in self.select(e.arguments[0], [place])]
            case "first" | "last" | "tail":
                return {"first": found[:1], "last": found[-1:], "tail": found[1:]}[e.name]
            case "skip" | "take":
                number = max(integer_argument(self.evaluate(e.arguments[0], self.root)) or 0, 0)
                return found[number:] if e.name == "skip" else found[:number]
            case "single":
                if len(found) > 1:
                    raise FhirPathEvaluationError(f"One item expected, {len(found)} found")
                return found
            case "ofType" | "as":
                wanted = navigation.type_name(e.arguments[0])
                return [place for place in found if conforms(place.type, wanted, True)]
            case "extension":
                url = values.only(self.evaluate(e.arguments[0], self.root))
                return [place for place in _members(found, "extension") if url and place.value.get("url") == url[1]]
            case "children":
                return _children(found)
        return _descendants(found)

    def holds(self, criterion: Expression, location: Location, index: int, mixed: bool) -> bool:
        """Whether a criterion is true of a node. Among nodes of `mixed` types each has elements that others lack."""
        return values.truth(self.evaluate(criterion, location, index, lenient=mixed)) is True

    def evaluate(self, e: Expression, focus: Location, index: int = 0, *, lenient: bool = False) -> Items:
        key = (id(e), focus.type)
        if key not in self.compiled:
            self.compiled[key] = compile_typed(e, focus.type, item=True, lenient=lenient)
        return self.compiled[key](focus.item, self.environment, index)


_CALLS = {
    "where": 1, "select": 1, "first": 0, "last": 0, "tail": 0, "skip": 1, "take": 1, "single": 0, "ofType": 1, "as": 1,
    "extension": 1, "children": 0, "descendants": 0,
}  # fmt: skip


def _check_call(e: Call) -> None:
    if e.name not in _CALLS:
        if e.name in special.SPECIAL or e.name in FUNCTIONS:
            raise FhirPathTypeError(f"{e.name}() makes values instead of selecting elements")
        raise FhirPathTypeError(f"Unknown function {e.name}()")
    if len(e.arguments) != _CALLS[e.name]:
        raise FhirPathTypeError(f"{e.name}() takes {_CALLS[e.name]} arguments, not {len(e.arguments)}")


def _unique(found: Locations) -> Locations:
    return list({place.steps: place for place in found}.values())


def _members(base: Locations, name: str) -> Locations:
    if base and not any(name in steps(place.type) for place in base):
        raise FhirPathTypeError(f"Unknown element {name} of {base[0].type}")
    return [x for place in base for step in steps(place.type).get(name, ()) for x in _at(place, step)]


def _children(base: Locations) -> Locations:
    return [x for place in base for group in steps(place.type).values() for step in group for x in _at(place, step)]


def _descendants(base: Locations) -> Locations:
    found: Locations = []
    level = _children(base)
    while level:
        found += level
        level = _children(level)
    return found


def _at(parent: Location, step: Step) -> Locations:
    """The nodes under one key of a node."""
    primitive = is_primitive(parent.type)
    node = parent.sibling if primitive else parent.value
    if not isinstance(node, dict):
        return []
    at = _sibling_steps(parent.steps) if primitive else parent.steps
    value = node.get(step.key)
    sibling = node.get(f"_{step.key}") if step.primitive else None
    if not step.many:
        if value is None and sibling is None:
            return []
        return [Location((*at, step.key), actual(step.type, value), value, sibling)]
    values_, siblings = value or [], sibling or []
    return [
        Location((*at, step.key, n), actual(step.type, v), v, s)
        for n in range(max(len(values_), len(siblings)))
        for v, s in [(values_[n] if n < len(values_) else None, siblings[n] if n < len(siblings) else None)]
        if v is not None or s is not None
    ]


def _sibling_steps(path: Steps) -> Steps:
    """Where the extensions of a primitive are: `birthDate` → `_birthDate`, `given, 1` → `_given, 1`."""
    if path and isinstance(path[-1], int):
        return (*path[:-2], f"_{path[-2]}", path[-1])
    return (*path[:-1], f"_{path[-1]}")
