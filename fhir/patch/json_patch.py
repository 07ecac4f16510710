"""JSON Patch, RFC 6902 (https://hl7.org/fhir/R4/http.html#patch, https://datatracker.ietf.org/doc/html/rfc6902).

The library does the operations; what is added here is the form of the document, limits, and words for people. The
library's own messages quote values of the resource, so they are never passed on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _
from jsonpatch import JsonPatch, JsonPatchException, JsonPatchTestFailed
from jsonpointer import JsonPointer, JsonPointerException

from accounts.texts import lazy_text
from fhir.exceptions import InvalidRequest, Unprocessable

from . import guards

MEDIA_TYPE = "application/json-patch+json"

# op → the members it needs beside "op".
_MEMBERS: Mapping[str, tuple[str, ...]] = {
    "add": ("path", "value"),
    "copy": ("path", "from"),
    "move": ("path", "from"),
    "remove": ("path",),
    "replace": ("path", "value"),
    "test": ("path", "value"),
}
_POINTERS = ("path", "from")
_SOURCE = {"copy": "from", "move": "from"}


def apply(resource: dict[str, Any], patch: Any) -> dict[str, Any]:
    """The resource after all operations of a JSON Patch, in order; `resource` and `patch` stay as they are.

    Raises InvalidRequest where the patch is not a JSON Patch, Unprocessable where it cannot be done to this resource
    (nothing at a path, a `test` that fails, another id or type), TooLarge beyond the limits.
    """
    operations = _checked(patch)
    budget = guards.Budget()
    result: Any = guards.copied(resource)
    for number, operation in enumerate(operations, 1):
        result = _applied(result, number, operation, budget)
    guards.check_identity(resource, result)
    changed: dict[str, Any] = result
    return changed


def _checked(patch: Any) -> list[dict[str, Any]]:
    if not isinstance(patch, list):
        raise InvalidRequest(_("A JSON Patch is an array of operations."), code="structure")
    guards.check_length(len(patch))
    for number, operation in enumerate(patch, 1):
        _check_operation(number, operation)
    return patch


def _check_operation(number: int, operation: Any) -> None:
    if not isinstance(operation, dict):
        raise _malformed(_("Operation %(number)d is not an object."), number)
    op = operation.get("op")
    if not isinstance(op, str) or op not in _MEMBERS:
        text = _("Operation %(number)d: “op” must be one of %(known)s.")
        raise _malformed(text, number, known=", ".join(_MEMBERS))
    for member in _MEMBERS[op]:
        if member not in operation:
            text = _("Operation %(number)d (%(op)s) has no “%(member)s”.")
            raise _malformed(text, number, op=op, member=member)
        if member in _POINTERS and not _is_pointer(operation[member]):
            text = _("Operation %(number)d (%(op)s): “%(member)s” is not a JSON Pointer such as /name/0/family.")
            raise _malformed(text, number, op=op, member=member)


def _malformed(text: Any, number: int, **values: Any) -> InvalidRequest:
    return InvalidRequest(lazy_text(text, number=number, **values), code="structure")


def _is_pointer(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        JsonPointer(value)
    except JsonPointerException:
        return False
    return True


def _applied(document: Any, number: int, operation: dict[str, Any], budget: guards.Budget) -> Any:
    try:
        _spend(document, operation, budget)
        return JsonPatch([operation]).apply(document, in_place=True)
    # `from None`: the library's errors quote the resource, and a traceback may end in a log.
    except JsonPatchTestFailed:
        text = _("Operation %(number)d: the test of %(path)s failed; nothing was changed.")
        raise _impossible(text, number, operation) from None
    except (JsonPatchException, JsonPointerException):
        text = _("Operation %(number)d (%(op)s): there is no such place in the resource: %(path)s.")
        raise _impossible(text, number, operation) from None


def _spend(document: Any, operation: dict[str, Any], budget: guards.Budget) -> None:
    """Copies may double a resource with every operation, in size and in depth: refuse before it is done."""
    op = operation["op"]
    if op in ("remove", "test"):
        return
    source = _SOURCE.get(op)
    value = JsonPointer(operation[source]).resolve(document) if source else operation["value"]
    budget.spend(value, len(JsonPointer(operation["path"]).parts))


def _impossible(text: Any, number: int, operation: dict[str, Any]) -> Unprocessable:
    paths = " → ".join(operation[name] for name in ("from", "path") if name in _MEMBERS[operation["op"]])
    return Unprocessable(lazy_text(text, number=number, op=operation["op"], path=paths), code="processing")
