"""What both forms of patch share: limits, a copy to work on, and what no patch may change.

https://hl7.org/fhir/R4/http.html#patch
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from accounts.texts import lazy_text
from fhir.exceptions import TooLarge, Unprocessable

# A patch of more than these is a program, not a change: each operation may copy what the one before it made.
MAX_OPERATIONS = 1000
MAX_MOVED_NODES = 500_000

_TOO_LARGE = _("The patch makes the resource too large or too deep.")
_FIXED = ("resourceType", "id")


def copied(value: Any) -> Any:
    """A copy of a JSON value that shares no object or array with it."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copied(item) for item in value]
    return value


def measure(value: Any) -> tuple[int, int]:
    """(nodes, depth) of a JSON value; a lone scalar is (1, 0)."""
    nodes, depth, level = 0, -1, [value]
    while level:
        nodes += len(level)
        depth += 1
        level = [item for each in level if isinstance(each, (dict, list)) for item in _items(each)]
    return nodes, depth


def _items(value: dict[str, Any] | list[Any]) -> Any:
    return value.values() if isinstance(value, dict) else value


def check_length(operations: int) -> None:
    """Refuse a patch of too many operations. Raises TooLarge."""
    if operations > MAX_OPERATIONS:
        raise TooLarge(
            lazy_text(
                _("The patch has %(count)d operations; at most %(limit)d are accepted."),
                count=operations,
                limit=MAX_OPERATIONS,
            )
        )


class Budget:
    """How much one patch may copy, and how deep it may build."""

    def __init__(self) -> None:
        self.nodes = 0

    def spend(self, value: Any, depth: int) -> None:
        """Account for putting `value` at `depth` levels below the root. Raises TooLarge."""
        nodes, own_depth = measure(value)
        self.nodes += nodes
        if self.nodes > MAX_MOVED_NODES or depth + own_depth > settings.FHIR_MAX_JSON_DEPTH:
            raise TooLarge(_TOO_LARGE)


def check_depth(resource: Any) -> None:
    """Refuse what operation after operation was built too deep. Raises TooLarge."""
    _nodes, depth = measure(resource)
    if depth > settings.FHIR_MAX_JSON_DEPTH:
        raise TooLarge(_TOO_LARGE)


def check_identity(before: dict[str, Any], after: Any) -> None:
    """Refuse a patch that changed what kind of resource this is, or which one. Raises Unprocessable."""
    if not isinstance(after, dict):
        raise Unprocessable(_("The patch leaves something that is not a resource."), code="processing")
    for name in _FIXED:
        if after.get(name) != before.get(name):
            text = lazy_text(_("A patch cannot change %(name)s."), name=name)
            raise Unprocessable(text, code="processing", expression=f"{before.get('resourceType')}.{name}")
