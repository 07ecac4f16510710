"""Regular expressions of clients (FHIRPath Patch): those that could take exponential time are refused."""

from __future__ import annotations

import re

from fhir.fhirpath.ast import Call, Expression, Literal, parts
from fhir.fhirpath.exceptions import FhirPathTypeError

_LONGEST = 1000
_CLASS = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
_RUNAWAY = re.compile(
    r"\([^()]*(?:\([^()]*\)[^()]*)*(?:[*+?|]|\{\d+,\})[^()]*(?:\([^()]*\)[^()]*)*\)(?:[*+]|\{\d*,?\d*\})"
)
_FUNCTIONS = ("matches", "matchesFull", "replaceMatches")


def check_patterns(e: Expression) -> None:
    """Refuse patterns that are computed, very long, or repeat a repeated group without limit, such as `(a+)+`.

    Raises FhirPathTypeError. Expressions of the definitions are not checked: one of them has such a group, harmless.
    """
    if isinstance(e, Call) and e.name in _FUNCTIONS and e.arguments:
        pattern = e.arguments[0]
        if not isinstance(pattern, Literal) or pattern.type != "System.String":
            raise FhirPathTypeError(f"{e.name}() takes a literal pattern here")
        if len(pattern.value) > _LONGEST or _RUNAWAY.search(_CLASS.sub("x", pattern.value)):
            raise FhirPathTypeError("The regular expression could take too long")
    for part in parts(e):
        check_patterns(part)
