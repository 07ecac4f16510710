"""Places in a resource where JSON and FHIR differ: repeating elements, choices, primitives with extensions.

https://hl7.org/fhir/R4/json.html#primitive: `birthDate` holds the value and `_birthDate` its id and extensions; in a
list both are arrays of the same length, with null where there is nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from accounts.texts import lazy_text
from fhir.definitions.structure import Element, type_definition

# A value and, for primitives, what `_name` holds for it.
Item = tuple[Any, Any]
Step = str | int


class Unsuitable(Exception):
    """The operation does not fit the resource; `text` is for people."""

    def __init__(self, text: Any, **values: Any) -> None:
        self.text = lazy_text(text, **values)
        super().__init__(str(text))


@lru_cache(maxsize=4096)
def form(type_name: str, key: str) -> tuple[Element, str] | None:
    """The element that a JSON key of a type stands for, and the type it then has."""
    for element in type_definition(type_name).elements.values():
        kind = dict(element.keys()).get(key)
        if kind is not None:
            return element, kind
    return None


@dataclass(frozen=True, slots=True)
class Slot:
    """All values of one element of one object, as a list whether it repeats or not."""

    container: dict[str, Any]
    key: str
    element: Element

    @property
    def sibling(self) -> str:
        """The key of ids and extensions of primitives."""
        return "_" + self.key

    def items(self) -> list[Item]:
        """The values with what `_key` holds for each; as many as the longer of the two lists."""
        value, beside = self.container.get(self.key), self.container.get(self.sibling)
        if self.element.max == 1:
            return [] if value is None and beside is None else [(value, beside)]
        values, others = value or [], beside or []
        length = max(len(values), len(others))
        return list(zip(_padded(values, length), _padded(others, length), strict=True))

    def write(self, items: Sequence[Item]) -> None:
        """Put these values in place of those that are there."""
        self._put(self.key, [value for value, _beside in items])
        self._put(self.sibling, [beside for _value, beside in items])

    def _put(self, key: str, column: list[Any]) -> None:
        if all(value is None for value in column):
            self.container.pop(key, None)
        else:
            self.container[key] = column[0] if self.element.max == 1 else column


def _padded(values: list[Any], length: int) -> list[Any]:
    return values + [None] * (length - len(values))


@dataclass(frozen=True, slots=True)
class Node:
    """An element that is there: the steps to it, and its type. `slot` is None for the resource itself."""

    steps: tuple[Step, ...]
    type: str
    slot: Slot | None = None
    index: int = 0


def node_at(resource: dict[str, Any], steps: Sequence[Step]) -> Node:
    """The element at these keys and positions of a resource. Raises KeyError where there is none.

    The steps of a primitive end in its own key, also where only `_key` is there.
    """
    current: Any = resource
    type_name, slot, index = str(resource["resourceType"]), None, 0
    for step in steps:
        if isinstance(step, int):
            index = step
        else:
            key = step.removeprefix("_")
            found = form(type_name, key)
            if found is None or not isinstance(current, dict):
                raise KeyError(step)
            element, type_name = found
            slot, index = Slot(current, key, element), 0
        current = _child(current, step)
        if isinstance(current, dict) and isinstance(current.get("resourceType"), str):
            type_name = current["resourceType"]
    return Node(tuple(steps), type_name, slot, index)


def prune(resource: dict[str, Any], steps: Sequence[Step]) -> None:
    """Take away objects and arrays on the way to `steps` that were left empty: FHIR has none."""
    chain: list[Any] = [resource]
    for step in steps[:-1]:
        child = _child(chain[-1], step)
        if child is None:
            break
        chain.append(child)
    for depth in range(len(chain) - 1, 0, -1):
        if _holds_something(chain[depth]):
            return
        parent, step = chain[depth - 1], steps[depth - 1]
        if isinstance(parent, dict):
            parent.pop(step, None)
        elif str(steps[depth - 2]).startswith("_"):
            parent[step] = None
            _drop_extensions(node_at(resource, steps[:depth]))
        else:
            del parent[step]


def _drop_extensions(node: Node) -> None:
    """Of an item in a list of primitives leave the value, and nothing where there is none."""
    if node.slot is not None:
        items = node.slot.items()
        value, _beside = items[node.index]
        items[node.index : node.index + 1] = [] if value is None else [(value, None)]
        node.slot.write(items)


def _child(parent: Any, step: Step) -> Any:
    if isinstance(parent, dict):
        return parent.get(step)
    return parent[step] if isinstance(step, int) and isinstance(parent, list) and step < len(parent) else None


def _holds_something(value: Any) -> bool:
    return any(item is not None for item in value) if isinstance(value, list) else value != {}
