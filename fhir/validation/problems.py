"""What the checks find: problems that learn their FHIRPath location on the way back up the resource."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.utils.functional import lazy
from django.utils.text import format_lazy

from fhir.exceptions import Issue
from fhir.fhirpath.environment import Environment

from . import texts

Node = dict[str, Any]

SHOWN_CHARACTERS = 60
SHOWN_CODES = 12


@dataclass(slots=True)
class Problem:
    """One finding. `path` is relative to the node that was checked, such as `.name[0].family`.

    `shape` marks findings after which the node cannot be read as its type (a list for a single value, a number for
    a string): rules are not asked of such a node.
    """

    code: str
    text: Any
    path: str = ""
    shape: bool = False
    severity: str = "error"


Problems = list[Problem] | None
Check = Callable[[Any, Node, "Context"], Problems]


class Context:
    """The resource that is being walked, the resource that contains it, and what rules need to know of both."""

    __slots__ = ("base_url", "environment", "resource", "root", "warnings")

    def __init__(self, resource: Node, root: Node, warnings: bool, base_url: str) -> None:
        self.resource = resource
        self.root = root
        self.warnings = warnings
        self.base_url = base_url
        self.environment = Environment(resource, root)

    def is_draft(self) -> bool:
        """Whether the resource says that it is still being written."""
        return self.resource.get("status") == "draft"

    def entering(self, resource: Node, root: Node) -> Context:
        """The context of a resource inside this one."""
        return Context(resource, root, self.warnings, self.base_url)


def _say(text: Any, values: Mapping[str, Any]) -> str:
    return str(text) % values


_lazy_say = lazy(_say, str)


def say(text: Any, /, **values: Any) -> Any:
    """A lazy text with its named placeholders filled: translated when it is read, not when it is made."""
    return _lazy_say(text, values)


def _join(parts: Sequence[Any]) -> str:
    return "; ".join(str(part) for part in parts)


_lazy_join = lazy(_join, str)


def joined(parts: Sequence[Any]) -> Any:
    """Lazy texts as one lazy text."""
    return _lazy_join(parts)


def shown(value: Any) -> str:
    """A value as a message quotes it: short, and on one line."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    text = str(value) if isinstance(value, (str, int, float, Decimal)) else type(value).__name__
    text = " ".join(text.split())
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


def listed(codes: Any) -> Any:
    """Codes as a message lists them; of long lists the first ones and how many there are."""
    ordered = list(codes)
    if len(ordered) <= SHOWN_CODES:
        return ", ".join(ordered)
    return say(texts.AND_MORE, codes=", ".join(ordered[:SHOWN_CODES]), count=len(ordered) - SHOWN_CODES)


def kind_of(value: Any) -> Any:
    """What a JSON value is, in words."""
    if isinstance(value, dict):
        return texts.AN_OBJECT
    if isinstance(value, list):
        return texts.A_LIST
    if value is None:
        return texts.NULL
    return say(texts.THE_VALUE, value=shown(value))


def at(step: str, problems: list[Problem]) -> list[Problem]:
    """The same problems seen from one node further up."""
    for problem in problems:
        problem.path = step + problem.path
    return problems


def issue(root: str, problem: Problem) -> Issue:
    """The issue of an OperationOutcome for a problem found in a resource of type `root`."""
    where = root + problem.path
    return Issue(problem.code, format_lazy("{}: {}", where, problem.text), (where,), problem.severity)
