"""Validation of resources against the definitions of FHIR R4 (https://hl7.org/fhir/R4/validation.html)."""

from __future__ import annotations

from typing import Any

from fhir.definitions.structure import RESOURCE_TYPES
from fhir.exceptions import Issue, Unprocessable

from . import texts
from .problems import Context, Problem, issue, say, shown
from .structure import check_root, check_type

__all__ = ["check", "prepare", "validate"]


def prepare() -> None:
    """Build the checks of every type, to be shared by the workers that are forked afterwards."""
    for name in RESOURCE_TYPES:
        check_type(name)


def _identity_problems(resource: dict[str, Any], mode: str, resource_id: str | None) -> list[Problem]:
    """An update names the resource that it updates (https://hl7.org/fhir/R4/http.html#update)."""
    found = resource.get("id")
    if mode != "update":
        return []
    if found is None:
        return [Problem("required", texts.ID_REQUIRED, ".id")]
    if resource_id is not None and found != resource_id:
        return [Problem("value", say(texts.ID_DIFFERS, found=shown(found), expected=resource_id), ".id")]
    return []


def validate(
    resource: Any,
    resource_type: str | None = None,
    *,
    mode: str = "create",
    resource_id: str | None = None,
    base_url: str = "",
    warnings: bool = False,
) -> list[Issue]:
    """Everything that is wrong with a resource, errors first; [] when it keeps the rules of R4.

    `resource` is JSON as `fhir.json.loads` gives it. `resource_type` is the type that is expected, if one is. `mode`
    is that of $validate (https://hl7.org/fhir/R4/resource-operation-validate.html): an "update" must carry an id,
    `resource_id` if given; a "delete" asks nothing of the content. Warnings are given only when asked for.
    """
    if mode == "delete":
        return []
    found = resource.get("resourceType") if isinstance(resource, dict) else None
    if resource_type is not None and isinstance(found, str) and found != resource_type:
        words = say(texts.OTHER_TYPE, expected=resource_type, found=shown(found))
        return [issue(resource_type, Problem("invalid", words, ".resourceType"))]
    root = resource if isinstance(resource, dict) else {}
    context = Context(root, root, warnings, base_url)
    try:
        problems = check_root(resource, context) or []
    except RecursionError:
        problems = [Problem("too-long", texts.TOO_DEEP)]
    problems += _identity_problems(root, mode, resource_id)
    if not problems:
        return []
    if not warnings:
        problems = [problem for problem in problems if problem.severity == "error"]
    problems.sort(key=lambda problem: problem.severity != "error")
    name = found if isinstance(found, str) and found.isidentifier() else resource_type or "Resource"
    return [issue(name, problem) for problem in problems]


def check(
    resource: Any,
    resource_type: str | None = None,
    *,
    mode: str = "create",
    resource_id: str | None = None,
    base_url: str = "",
) -> None:
    """Raise Unprocessable with every issue unless the resource is valid. Arguments as for `validate`."""
    issues = validate(resource, resource_type, mode=mode, resource_id=resource_id, base_url=base_url)
    if issues:
        raise Unprocessable(issues=issues)
