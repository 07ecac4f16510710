"""The one place that makes an OperationOutcome (https://hl7.org/fhir/R4/operationoutcome.html)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.utils import translation

from . import json
from .exceptions import FhirError, Issue


def resource(issues: Iterable[Issue], language: str) -> dict[str, Any]:
    """The OperationOutcome of these issues, its words in `language`."""
    with translation.override(language):
        return {"resourceType": "OperationOutcome", "issue": [_issue(issue) for issue in issues]}


def _issue(issue: Issue) -> dict[str, Any]:
    text = str(issue.text)
    rendered: dict[str, Any] = {"severity": issue.severity, "code": issue.code}
    if text:
        rendered["details"] = {"text": text}
        rendered["diagnostics"] = text
    if issue.expression:
        rendered["expression"] = list(issue.expression)
    return rendered


def of_error(error: FhirError, language: str) -> bytes:
    """The body that answers a refusal."""
    return json.dumps(resource(error.issues, language))


def information(text: Any, language: str) -> bytes:
    """An OperationOutcome that says all went well, for Prefer: return=OperationOutcome."""
    return json.dumps(resource([Issue("informational", text, severity="information")], language))
