"""The Parameters resource of a FHIRPath Patch as operations (https://hl7.org/fhir/R4/fhirpatch.html).

Each parameter `operation` has parts: `type` and `path`, and, depending on the type, `name`, `value`, `index`, `source`
and `destination`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from accounts.texts import lazy_text
from fhir.exceptions import InvalidRequest

from . import guards

Part = dict[str, Any]

_NEEDED: Mapping[str, tuple[str, ...]] = {
    "add": ("path", "name", "value"),
    "insert": ("path", "index", "value"),
    "delete": ("path",),
    "replace": ("path", "value"),
    "move": ("path", "source", "destination"),
}
_TEXTS = ("type", "path", "name")
_INTEGERS = ("index", "source", "destination")
_PARTS = frozenset({*_TEXTS, *_INTEGERS, "value"})


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation; what its type does not need may be empty. `number` counts from 0, as FHIRPath does.

    `value` is the part as it came, because how it is read depends on the place that it goes to.
    """

    number: int
    type: str
    path: str
    name: str = ""
    value: Part | None = None
    index: int = 0
    source: int = 0
    destination: int = 0

    @property
    def expression(self) -> str:
        """Where the operation stands in the request."""
        return f"Parameters.parameter[{self.number}]"


def operations(parameters: Any) -> list[Operation]:
    """The operations of a FHIRPath Patch, in order; none is allowed. Raises InvalidRequest, TooLarge."""
    if not isinstance(parameters, dict) or parameters.get("resourceType") != "Parameters":
        raise InvalidRequest(_("A FHIRPath Patch is a Parameters resource."), code="structure")
    listed = parameters.get("parameter", [])
    if not isinstance(listed, list):
        raise InvalidRequest(_("“parameter” must be an array."), code="structure", expression="Parameters.parameter")
    guards.check_length(len(listed))
    return [_operation(number, parameter) for number, parameter in enumerate(listed)]


def _operation(number: int, parameter: Any) -> Operation:
    if not isinstance(parameter, dict) or parameter.get("name") != "operation":
        raise _malformed(number, _("Every parameter of a FHIRPath Patch is called “operation”."))
    parts = _parts(number, parameter.get("part"))
    if "type" not in parts:
        raise _malformed(number, _("The operation has no part “%(name)s”."), name="type")
    kind = _text(number, parts["type"])
    if kind not in _NEEDED:
        raise _malformed(number, _("The type of an operation must be one of %(known)s."), known=", ".join(_NEEDED))
    for name in _NEEDED[kind]:
        if name not in parts:
            raise _malformed(number, _("The operation has no part “%(name)s”."), name=name)
    return Operation(number, kind, **{name: _READ[name](number, parts[name]) for name in parts if name != "type"})


def _parts(number: int, listed: Any) -> dict[str, Part]:
    if not isinstance(listed, list) or not all(isinstance(part, dict) for part in listed):
        raise _malformed(number, _("The operation has no parts."))
    parts: dict[str, Part] = {}
    for part in listed:
        name = part.get("name")
        if not isinstance(name, str) or name not in _PARTS:
            raise _malformed(number, _("The parts of an operation are %(known)s."), known=", ".join(sorted(_PARTS)))
        if name in parts:
            raise _malformed(number, _("The operation has the part “%(name)s” twice."), name=name)
        parts[name] = part
    return parts


def _text(number: int, part: Part) -> str:
    for key in ("valueString", "valueCode"):
        if isinstance(part.get(key), str):
            return str(part[key])
    raise _malformed(number, _("The part “%(name)s” must be a valueString."), name=part["name"])


def _integer(number: int, part: Part) -> int:
    for key in ("valueInteger", "valueUnsignedInt", "valuePositiveInt"):
        if type(part.get(key)) is int:
            return int(part[key])
    raise _malformed(number, _("The part “%(name)s” must be a valueInteger."), name=part["name"])


def _as_it_is(_number: int, part: Part) -> Part:
    return part


_READ: dict[str, Callable[[int, Part], Any]] = {
    **dict.fromkeys(_TEXTS, _text),
    **dict.fromkeys(_INTEGERS, _integer),
    "value": _as_it_is,
}


def _malformed(number: int, text: Any, **values: Any) -> InvalidRequest:
    expression = f"Parameters.parameter[{number}]"
    return InvalidRequest(lazy_text(text, **values), code="structure", expression=expression)
