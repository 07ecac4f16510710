"""What can go wrong with a FHIRPath expression: its text, its types, its evaluation.

https://hl7.org/fhirpath/N1/
"""

from __future__ import annotations


class FhirPathError(Exception):
    """Base of those below."""


class FhirPathSyntaxError(FhirPathError):
    """The text is not FHIRPath. `position` counts characters from 0 in `expression`."""

    def __init__(self, message: str, expression: str, position: int) -> None:
        self.expression = expression
        self.position = position
        super().__init__(f"{message} at position {position}: {expression[position : position + 30]!r}")


class FhirPathLimitError(FhirPathError):
    """The expression is longer, deeper or more complex than is compiled here."""


class FhirPathTypeError(FhirPathError):
    """The expression cannot mean anything for the type it is compiled for (unknown element, function or type)."""


class FhirPathEvaluationError(FhirPathError):
    """Evaluation met values that the operation refuses, such as several items where one is required."""
