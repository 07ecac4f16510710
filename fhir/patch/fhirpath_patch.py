"""FHIRPath Patch (https://hl7.org/fhir/R4/fhirpatch.html): add, insert, delete, replace and move by FHIRPath."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

from accounts.texts import lazy_text
from fhir.exceptions import InvalidRequest, Unprocessable
from fhir.fhirpath.ast import Expression, Member
from fhir.fhirpath.exceptions import FhirPathError, FhirPathSyntaxError
from fhir.fhirpath.locate import locate
from fhir.fhirpath.parser import parse

from . import guards, values
from .parameters import Operation, operations
from .places import Item, Node, Slot, Unsuitable, node_at, prune

Resource = dict[str, Any]


def apply(resource: Resource, parameters: Any) -> Resource:
    """The resource after all operations of a FHIRPath Patch, in order; the inputs stay as they are.

    Raises InvalidRequest where `parameters` is not a FHIRPath Patch or a path is not FHIRPath, Unprocessable where an
    operation does not fit the resource, TooLarge beyond the limits. Each issue says which operation it is about.
    """
    result: Resource = guards.copied(resource)
    for operation in operations(parameters):
        _apply(result, operation)
    guards.check_depth(result)
    guards.check_identity(resource, result)
    return result


def _apply(resource: Resource, operation: Operation) -> None:
    try:
        _OPERATIONS[operation.type](resource, operation)
    except FhirPathSyntaxError as error:
        text = lazy_text(
            _("“%(path)s” is not FHIRPath: see character %(position)d."),
            path=operation.path,
            position=error.position + 1,
        )
        raise InvalidRequest(text, expression=operation.expression) from None
    except (FhirPathError, RecursionError):
        # RecursionError: a path may be nested deeper than Python can follow.
        text = lazy_text(_("“%(path)s” cannot be evaluated on this resource."), path=operation.path)
        raise Unprocessable(text, code="processing", expression=operation.expression) from None
    except Unsuitable as error:
        raise Unprocessable(error.text, code="processing", expression=operation.expression) from None


# --- the five types of operation


def _add(resource: Resource, operation: Operation) -> None:
    node = _only(resource, operation)
    element = values.element_named(node.type, operation.name)
    target = _object(resource, node)
    values.add(target, element, values.read(_value(operation), element))


def _insert(resource: Resource, operation: Operation) -> None:
    slot = _list(resource, operation)
    items = slot.items()
    _check_index(operation, "index", operation.index, len(items) + 1)
    items.insert(operation.index, values.read(_value(operation), slot.element).item)
    slot.write(items)


def _delete(resource: Resource, operation: Operation) -> None:
    nodes = _nodes(resource, operation.path)
    if not nodes:
        return
    node = _single(nodes, operation)
    slot = _replaceable(node, operation)
    items = slot.items()
    del items[node.index]
    slot.write(items)
    prune(resource, node.steps)


def _replace(resource: Resource, operation: Operation) -> None:
    node = _only(resource, operation)
    slot = _replaceable(node, operation)
    value = values.read(_value(operation), slot.element)
    items: list[Item] = slot.items()
    items[node.index] = value.item
    _rename(slot, value.key)
    Slot(slot.container, value.key, slot.element).write(items)


def _move(resource: Resource, operation: Operation) -> None:
    slot = _list(resource, operation)
    items = slot.items()
    _check_index(operation, "source", operation.source, len(items))
    _check_index(operation, "destination", operation.destination, len(items))
    items.insert(operation.destination, items.pop(operation.source))
    slot.write(items)


_OPERATIONS: Mapping[str, Callable[[Resource, Operation], None]] = {
    "add": _add,
    "insert": _insert,
    "delete": _delete,
    "replace": _replace,
    "move": _move,
}


# --- what a path selects


def _nodes(resource: Resource, path: str | Expression) -> list[Node]:
    found = locate(path, resource, str(resource["resourceType"]))
    return [node_at(resource, location.steps) for location in found]


def _only(resource: Resource, operation: Operation) -> Node:
    return _single(_nodes(resource, operation.path), operation)


def _single(nodes: list[Node], operation: Operation) -> Node:
    if len(nodes) == 1:
        return nodes[0]
    if nodes:
        text = _("“%(path)s” selects %(count)d elements; it must select one.")
    else:
        text = _("“%(path)s” selects nothing in this resource.")
    raise Unsuitable(text, path=operation.path, count=len(nodes))


def _replaceable(node: Node, operation: Operation) -> Slot:
    if node.slot is None:
        raise Unsuitable(_("“%(path)s” is the resource itself."), path=operation.path)
    return node.slot


def _list(resource: Resource, operation: Operation) -> Slot:
    """The list that a path names. It may be empty, so it is found through the element that holds it."""
    path = parse(operation.path)
    if not isinstance(path, Member):
        raise Unsuitable(_("“%(path)s” must end in the name of a list."), path=operation.path)
    nodes = [Node((), str(resource["resourceType"]))]
    if path.base is not None:
        nodes = _nodes(resource, path.base)
    if len(nodes) != 1:
        raise Unsuitable(_("“%(path)s” does not name one list in this resource."), path=operation.path)
    element = values.element_named(nodes[0].type, path.name)
    if element.max == 1:
        raise Unsuitable(_("%(element)s does not repeat."), element=element.path)
    return Slot(_object(resource, nodes[0]), element.name, element)


def _check_index(operation: Operation, name: str, index: int, limit: int) -> None:
    if not 0 <= index < limit:
        raise Unsuitable(
            _("%(name)s is %(index)d; in “%(path)s” it must be from 0 to %(last)d."),
            name=name,
            index=index,
            path=operation.path,
            last=limit - 1,
        )


# --- changing what was selected


def _value(operation: Operation) -> dict[str, Any]:
    """A copy of the value: a later operation may change what it became."""
    value: dict[str, Any] = guards.copied(operation.value)
    return value


def _object(resource: Resource, node: Node) -> dict[str, Any]:
    """The JSON object that holds the children of a node; for a primitive that is in `_name`, made where needed."""
    slot = node.slot
    if slot is None:
        return resource
    items = slot.items()
    value, beside = items[node.index]
    if isinstance(value, dict):
        return value
    if beside is None:
        beside = {}
        items[node.index] = (value, beside)
        slot.write(items)
    children: dict[str, Any] = beside
    return children


def _rename(slot: Slot, key: str) -> None:
    """Give a choice element another of its keys, where it stands."""
    if key == slot.key:
        return
    renamed = {
        (key if each == slot.key else each): value for each, value in slot.container.items() if each != slot.sibling
    }
    slot.container.clear()
    slot.container.update(renamed)
