"""The value of an operation as the JSON of the element that it goes to (https://hl7.org/fhir/R4/fhirpatch.html).

A value is a `value[x]`, a resource, or, for types that value[x] does not have (backbone elements, extensions), a list
of parts, each named after an element.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.utils.translation import gettext_lazy as _

from fhir.definitions.structure import Element, is_subtype, type_definition

from .places import Item, Slot, Unsuitable

# Whatever may be written where a dateTime is asked for: a date is a dateTime of less precision.
_ALSO = {("dateTime", "date"), ("xhtml", "string")}


@dataclass(frozen=True, slots=True)
class Value:
    """What to store: `key` is the JSON key of the form that the element takes."""

    key: str
    item: Item


@cache
def _value_keys() -> Mapping[str, str]:
    """valueQuantity → Quantity, for every type of Parameters.parameter.value[x]."""
    return dict(type_definition("Parameters.parameter").elements["value"].keys())


def read(part: dict[str, Any], element: Element) -> Value:
    """The value that a part holds for an element. Raises Unsuitable."""
    given = [key for key in part if key.removeprefix("_") in _value_keys()]
    forms = {key.removeprefix("_") for key in given}
    if len(forms) + ("part" in part) + ("resource" in part) != 1:
        raise Unsuitable(_("“%(name)s” needs one value: a value[x], a resource, or parts."), name=part.get("name", ""))
    if forms:
        form = forms.pop()
        key = _key(element, _value_keys()[form])
        return Value(key, (part.get(form), part.get("_" + form)))
    if "resource" in part:
        return Value(_key(element, "Resource"), (part["resource"], None))
    return _of_parts(part["part"], element)


def _key(element: Element, given: str) -> str:
    """The JSON key under which an element takes a value of the type `given`."""
    for key, expected in dict(element.keys()).items():
        if given == expected or (not element.choice and _fits(given, expected)):
            return key
    raise Unsuitable(
        _("%(path)s takes %(types)s, not %(given)s."),
        path=element.path,
        types=", ".join(element.types),
        given=given,
    )


def _fits(given: str, expected: str) -> bool:
    """Whether one type is a kind of the other: the format of the value is checked with the result."""
    if given == "Resource" or expected == "Resource":
        return given == expected
    return (expected, given) in _ALSO or is_subtype(given, expected) or is_subtype(expected, given)


def _of_parts(parts: Any, element: Element) -> Value:
    if element.choice or type_definition(element.types[0]).kind == "primitive":
        raise Unsuitable(_("%(path)s takes a value[x], not parts."), path=element.path)
    if not isinstance(parts, list) or not parts:
        raise Unsuitable(_("%(path)s: the parts of the value are missing."), path=element.path)
    return Value(element.name, (built(parts, element.types[0]), None))


def built(parts: list[Any], type_name: str) -> dict[str, Any]:
    """The object of a type whose elements are given as parts. Raises Unsuitable."""
    result: dict[str, Any] = {}
    for part in parts:
        if not isinstance(part, dict) or not isinstance(part.get("name"), str):
            raise Unsuitable(_("A part of a value has no name."))
        element = element_named(type_name, part["name"])
        add(result, element, read(part, element))
    return result


def add(target: dict[str, Any], element: Element, value: Value) -> None:
    """Put a value at the end of a list, or where nothing is yet. Raises Unsuitable where there is something."""
    if element.max == 1 and any(key in target or "_" + key in target for key in dict(element.keys())):
        raise Unsuitable(_("%(path)s is there already and does not repeat."), path=element.path)
    slot = Slot(target, value.key, element)
    slot.write([*slot.items(), value.item])


def element_named(type_name: str, name: str) -> Element:
    """The element of a type by its name ("value") or by a JSON key ("valueQuantity"). Raises Unsuitable."""
    elements = type_definition(type_name).elements
    found = elements.get(name) or next((e for e in elements.values() if name in dict(e.keys())), None)
    if found is None:
        raise Unsuitable(_("%(type)s has no element “%(name)s”."), type=type_name, name=name)
    return found
