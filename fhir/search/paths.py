"""What can be known of a search parameter's expression without a resource: branches, element types, targets.

The expressions are those of https://hl7.org/fhir/R4/searchparameter-registry.html: unions of paths, with casts and
filters at some of their steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeGuard

from fhir.definitions.structure import RESOURCE_TYPES, Element, is_subtype, type_definition
from fhir.fhirpath.ast import Binary, Call, Expression, Literal, Member, TypeExpression
from fhir.fhirpath.parser import parse

_ABSTRACT = ("Resource", "DomainResource")
_RESOURCE_TYPES = frozenset(RESOURCE_TYPES)


@dataclass(frozen=True, slots=True)
class Step:
    """One element on the way, with the keys that JSON has for it once casts are applied."""

    keys: tuple[str, ...]
    many: bool


@dataclass(frozen=True, slots=True)
class Branch:
    """One path of a union, for one resource type.

    `node` is its syntax tree without the filter on the type of a reference's target, which is `target` (None: no
    such filter). `types` are the possible FHIR types of the values, () where they are not known; `targets` the types
    that a reference may point to; `steps` the elements from the root, None where there is more than a path.
    """

    node: Expression
    target: str | None
    types: tuple[str, ...]
    targets: tuple[str, ...]
    binding: str | None
    steps: tuple[Step, ...] | None

    @property
    def single(self) -> bool:
        """Whether a resource has at most one value here."""
        return self.steps is not None and not any(step.many for step in self.steps)


def branches(expression: str, resource_type: str) -> tuple[Branch, ...]:
    """The paths of an expression that can find something in a resource type."""
    return tuple(_branch(node, resource_type) for node in _union(parse(expression)) if _is_of(node, resource_type))


def _union(node: Expression) -> Iterator[Expression]:
    if isinstance(node, Binary) and node.operator == "|":
        yield from _union(node.left)
        yield from _union(node.right)
    else:
        yield node


def _is_of(node: Expression, resource_type: str) -> bool:
    root = _root(node)
    return root not in _RESOURCE_TYPES or root == resource_type


def _root(node: Expression) -> str:
    while True:
        if isinstance(node, Member) and node.base is None:
            return node.name
        if isinstance(node, Binary):
            node = node.left
        elif isinstance(node, TypeExpression):
            node = node.operand
        elif isinstance(node, Member | Call) and node.base is not None:
            node = node.base
        else:
            return ""


def _is_call(node: Expression, name: str) -> TypeGuard[Call]:
    return isinstance(node, Call) and node.name == name and node.base is not None and len(node.arguments) == 1


def _target_filter(node: Expression) -> tuple[Expression, str | None]:
    """`x.where(resolve() is Patient)` → (`x`, "Patient")."""
    if _is_call(node, "where") and node.base is not None:
        test = node.arguments[0]
        if (
            isinstance(test, TypeExpression)
            and test.operator == "is"
            and isinstance(test.operand, Call)
            and test.operand.name == "resolve"
        ):
            return node.base, test.type
    return node, None


def _branch(node: Expression, resource_type: str) -> Branch:
    inner, target = _target_filter(node)
    walked = _walk(inner, resource_type)
    if walked is None:
        return Branch(inner, target, (), (target,) if target else (), None, None)
    types, targets, binding, steps = walked
    return Branch(inner, target, types, (target,) if target else targets, binding, steps)


_Walked = tuple[tuple[str, ...], tuple[str, ...], str | None, tuple[Step, ...]]


def _walk(node: Expression, resource_type: str) -> _Walked | None:
    if isinstance(node, Member):
        return _member(node, resource_type)
    if isinstance(node, TypeExpression) and node.operator == "as":
        return _cast(_walk(node.operand, resource_type), node.type)
    if isinstance(node, Call) and node.base is not None and node.name in ("as", "ofType") and len(node.arguments) == 1:
        name = node.arguments[0]
        return _cast(_walk(node.base, resource_type), name.name) if isinstance(name, Member) else None
    return None


def _member(node: Member, resource_type: str) -> _Walked | None:
    if node.base is None:
        if node.name == resource_type or node.name in _ABSTRACT:
            return (resource_type,), (), None, ()
        return _step(((resource_type,), (), None, ()), node.name)
    base = _walk(node.base, resource_type)
    return None if base is None else _step(base, node.name)


def _step(walked: _Walked, name: str) -> _Walked | None:
    found: list[Element] = []
    for owner in walked[0]:
        element = type_definition(owner).elements.get(name)
        if element is not None:
            found.append(element)
    if len(found) != 1:
        return None
    element = found[0]
    keys = tuple(key for key, _type in element.keys())  # noqa: SIM118
    step = Step(keys, element.max != 1)
    return element.types, element.targets + element.canonical_targets, element.binding, (*walked[3], step)


def _cast(walked: _Walked | None, name: str) -> _Walked | None:
    if walked is None:
        return None
    types, targets, binding, steps = walked
    kept = tuple(t for t in types if t.lower() == name.lower() or is_subtype(t, name))
    if not kept or not steps:
        return None
    last = steps[-1]
    if len(last.keys) > 1:
        endings = tuple(t[0].upper() + t[1:] for t in kept)
        last = Step(tuple(key for key in last.keys if key.endswith(endings)), last.many)
    return kept, targets if "Reference" in kept or "canonical" in kept else (), binding, (*steps[:-1], last)


def literal_text(node: Expression) -> str | None:
    """The text of a string constant."""
    return str(node.value) if isinstance(node, Literal) else None
