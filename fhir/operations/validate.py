"""FHIR operation $validate: https://hl7.org/fhir/R4/resource-operation-validate.html."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _

from audit import recorder
from fhir import database, json, outcome, store
from fhir.definitions.structure import TYPE_NUMBER
from fhir.exceptions import InvalidRequest, Issue
from fhir.interactions import Answer, Context, read, writing
from fhir.permissions import require
from fhir.validation import validate

from .call import Call

_MODES = ("create", "update", "delete", "profile")


def run(call: Call) -> Answer:
    """200 with an OperationOutcome that says what is wrong; nothing is stored. Raises InvalidRequest, NotFound."""
    resource_type, resource_id, context = call.type, call.id, call.context
    assert resource_type is not None  # offered at types and instances only
    require(context.scope, "operation", resource_type)
    resource, parameters = _input(call.body)
    parameters |= dict(call.pairs)
    mode = parameters.get("mode", "update" if resource_id is not None else "create")
    if mode not in _MODES:
        text = _("$validate has no mode “%(mode)s”; it has %(modes)s.")
        raise InvalidRequest(text % {"mode": mode, "modes": ", ".join(_MODES)})
    if parameters.get("profile"):
        text = _("Validation against a profile is not offered; leave out the parameter profile.")
        raise InvalidRequest(text, code="not-supported")
    issues = _issues(resource_type, resource_id, resource, mode, context)
    if not issues:
        issues = [Issue("informational", _("No problems were found."), severity="information")]
    _audit(resource_type, resource_id, mode, context)
    return Answer(200, json.dumps(outcome.resource(issues, context.language)))


def _input(body: dict[str, Any] | None) -> tuple[dict[str, Any] | None, dict[str, str]]:
    """The resource, as it comes alone or in Parameters, and the other parameters."""
    if body is None or body.get("resourceType") != "Parameters":
        return body, {}
    given = [part for part in body.get("parameter", []) if isinstance(part, dict)]
    resource = next((part.get("resource") for part in given if part.get("name") == "resource"), None)
    values = {
        str(part["name"]): str(next((v for k, v in part.items() if k.startswith("value")), ""))
        for part in given
        if "name" in part and part["name"] != "resource"
    }
    return resource, values


def _issues(
    resource_type: str, resource_id: str | None, resource: dict[str, Any] | None, mode: str, context: Context
) -> list[Issue]:
    if mode == "delete" or (resource is None and resource_id is not None):
        if resource_id is None:
            raise InvalidRequest(_("The mode delete is asked of an instance."), code="required")
        stored = read.read(resource_type, resource_id, context)
        if mode == "delete":
            return []  # nothing refuses a deletion: references to what is gone are allowed
        resource = json.loads(stored.body)
    if resource is None:
        raise InvalidRequest(_("$validate needs a resource to look at."), code="required")
    writing.require_type(resource, resource_type)
    issues = validate(resource, resource_type, mode=mode, base_url=context.base_url, warnings=True)
    if mode == "update" and resource_id is not None and resource.get("id") != resource_id:
        text = _("The body must carry the id of the URL, “%(id)s”.") % {"id": resource_id}
        issues.insert(0, Issue("invalid", text, (f"{resource_type}.id",)))
    return issues


def _audit(resource_type: str, resource_id: str | None, mode: str, context: Context) -> None:
    row = context.audit(
        "operation",
        bucket=None,
        status=200,
        at=store.now(),
        type_number=TYPE_NUMBER[resource_type],
        resource_id=resource_id,
        query=f"$validate?mode={mode}",
    )
    database.fetch(recorder.INSERT_SQL, row)
