"""Walking items whose type is known only at run time (https://hl7.org/fhirpath/N1/#tree-navigation)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fhir.definitions.structure import is_subtype, type_definition
from fhir.fhirpath.environment import Environment
from fhir.fhirpath.registry import collection
from fhir.fhirpath.values import Item, Items


@dataclass(frozen=True, slots=True)
class Step:
    """One JSON key of a type: the element it belongs to, its type, and what it holds."""

    key: str
    element: str
    type: str
    many: bool
    primitive: bool
    open: bool = False  # a resource of any type


@lru_cache(maxsize=4096)
def is_primitive(type_name: str) -> bool:
    """Whether a FHIR type is primitive, so that its extensions are under `_name`."""
    if type_name.startswith("System."):
        return False
    return type_definition(type_name).kind == "primitive"


@lru_cache(maxsize=4096)
def steps(type_name: str) -> dict[str, tuple[Step, ...]]:
    """Element name to the JSON keys it may have; the System types and unknown ones have none."""
    if type_name.startswith("System."):
        return {}
    return {
        element.name: tuple(
            Step(key, element.name, kind, element.max != 1, is_primitive(kind), kind == "Resource")
            for key, kind in element.keys()  # noqa: SIM118
        )
        for element in type_definition(type_name).elements.values()
    }


@lru_cache(maxsize=4096)
def _all_steps(type_name: str) -> dict[str, Step]:
    """JSON key (both `name` and `_name` of primitives) to its step."""
    found: dict[str, Step] = {}
    for group in steps(type_name).values():
        for step in group:
            found[step.key] = step
            if step.primitive:
                found[f"_{step.key}"] = step
    return found


def actual(type_name: str, value: Any) -> str:
    """The type of a value declared as `type_name`: a resource says itself what it is."""
    if isinstance(value, dict) and isinstance(value.get("resourceType"), str):
        name: str = value["resourceType"]
        return name
    return type_name


def step_items(node: dict[str, Any], step: Step) -> Items:
    """The items under one key of a node."""
    value = node.get(step.key)
    if not step.primitive:
        if value is None:
            return []
        if step.many:
            return [(actual(step.type, v), v, None) for v in value]
        return [(actual(step.type, value), value, None)]
    sibling = node.get(f"_{step.key}")
    if not step.many:
        return [] if value is None and sibling is None else [(step.type, value, sibling)]
    return primitives(step.type, value, sibling)


def primitives(type_name: str, values: list[Any] | None, siblings: list[Any] | None) -> Items:
    """A repeating primitive with its extensions as items; a place with neither is left out."""
    if siblings is None:
        return [(type_name, v, None) for v in values or () if v is not None]
    values = values or []
    length = max(len(values), len(siblings))
    return [
        (type_name, v, s)
        for v, s in zip(
            values + [None] * (length - len(values)), siblings + [None] * (length - len(siblings)), strict=True
        )
        if v is not None or s is not None
    ]


def elements(nodes: list[dict[str, Any]], key: str, type_name: str, many: bool) -> Items:
    """The items of a primitive element of several nodes of one type, with extensions."""
    step = Step(key, key, type_name, many, True)
    return [item for node in nodes for item in step_items(node, step)]


def choice(nodes: list[dict[str, Any]], keys: tuple[tuple[str, str, bool], ...]) -> Items:
    """The items of a choice element of several nodes: `keys` are (JSON key, type, whether primitive)."""
    found: Items = []
    for node in nodes:
        for key, type_name, primitive in keys:
            if key in node:
                found.append((type_name, node[key], node.get(f"_{key}") if primitive else None))
                break
            if primitive and f"_{key}" in node:
                found.append((type_name, None, node[f"_{key}"]))
                break
    return found


def _node(item: Item) -> dict[str, Any] | None:
    """The object whose keys are the children of an item: for a primitive that of its extensions."""
    node = item[1] if isinstance(item[1], dict) else item[2]
    return node if isinstance(node, dict) else None


def member(items: Items, name: str) -> Items:
    """`items.name` for items of any type."""
    found: Items = []
    for item in items:
        node = _node(item)
        if node is None:
            continue
        if item[0] == "System.TypeInfo":
            found += [("System.String", node[name], None)] if name in node else []
            continue
        for step in steps(item[0]).get(name, ()):
            found += step_items(node, step)
    return found


def children(items: Items) -> Items:
    """All child items, in the order of their keys."""
    found: Items = []
    for type_name, value, sibling in items:
        node = value if isinstance(value, dict) else sibling
        if node is None:
            continue
        known = _all_steps(type_name)
        for key, child in node.items():
            step = known.get(key)
            if step is None:
                continue
            if step.primitive or step.open:
                if key == step.key or step.key not in node:
                    found += step_items(node, step)
            elif step.many:
                kind = step.type
                found += [(kind, v, None) for v in child]
            else:
                found.append((step.type, child, None))
    return found


def descendants(items: Items, environment: Environment) -> Items:
    """All items below, level by level; remembered for one item, since invariants ask for them again and again."""
    memo = ("descendants", id(items[0][1])) if len(items) == 1 else None
    if memo is not None and memo in environment.memo:
        found: Items = environment.memo[memo][1]
        return found
    found = []
    level = children(items)
    while level:
        found += level
        level = children(level)
    if memo is not None:
        environment.memo[memo] = (items, found)  # the items are kept so that the id stays theirs
    return found


@collection("children")
def _children(environment: Environment, items: Items) -> Items:
    return children(items)


@collection("descendants")
def _descendants(environment: Environment, items: Items) -> Items:
    return descendants(items, environment)


@lru_cache(maxsize=8192)
def conforms(type_name: str, wanted: str, exact: bool) -> bool:
    """Whether an item of a type passes `is` (subtypes pass), or with `exact` `ofType` and `as`.

    `gender.ofType(string)` is empty although code specializes string: for primitives, HL7's tests ask for the type
    itself. `wanted` is "FHIR.x", "System.x" or an unqualified name, which may be either.
    """
    namespace, _, name = wanted.rpartition(".") if wanted.split(".")[0] in ("FHIR", "System") else ("", "", wanted)
    if type_name.startswith("System."):
        return namespace != "FHIR" and type_name == f"System.{name}"
    if namespace == "System":
        return False
    if exact and is_primitive(type_name):
        return type_name == name
    return is_subtype(type_name, name)


def of_type(items: Items, wanted: str) -> Items:
    """`items.ofType(wanted)`"""
    return [item for item in items if conforms(item[0], wanted, True)]


def is_type(item: Item | None, wanted: str) -> bool | None:
    """`item is wanted`"""
    return None if item is None else conforms(item[0], wanted, False)
