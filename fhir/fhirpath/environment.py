"""What an evaluation may ask of the world around it (https://hl7.org/fhirpath/N1/#environment-variables)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any


class Environment:
    """Variables and services of one evaluation. Cheap to make; use one per resource and throw it away.

    * `resource`: `%resource`, the resource that contains the focus; `root`: `%rootResource` where that is contained.
    * `resolve(reference)`: the resource of a reference, or None. Contained resources are found without it.
    * `member_of(value, type, value set URL)`, `conforms_to(value, profile URL)`: True, False or None.
    * `variables`: further `%name`s, each a JSON value or a list of them.
    * `trace(name, values)` receives what `trace()` sees.
    """

    __slots__ = ("conforms_to", "member_of", "memo", "now", "resolve", "resource", "root", "trace", "variables")

    def __init__(
        self,
        resource: dict[str, Any] | None = None,
        root: dict[str, Any] | None = None,
        *,
        resolve: Callable[[str], dict[str, Any] | None] | None = None,
        member_of: Callable[[Any, str, str], bool | None] | None = None,
        conforms_to: Callable[[Any, str], bool | None] | None = None,
        variables: Mapping[str, Any] | None = None,
        trace: Callable[[str, list[Any]], None] | None = None,
        now: datetime | None = None,
    ) -> None:
        self.resource = resource
        self.root = root if root is not None else resource
        self.resolve = resolve
        self.member_of = member_of
        self.conforms_to = conforms_to
        self.variables = variables or {}
        self.trace = trace
        self.now = now
        self.memo: dict[Any, Any] = {}

    def moment(self) -> datetime:
        """The time of the evaluation: the same at every call, as the specification asks."""
        if self.now is None:
            self.now = datetime.now().astimezone()
        return self.now
