"""FHIR create interaction: https://hl7.org/fhir/R4/http.html#create."""

from __future__ import annotations

from typing import Any

from audit import recorder
from fhir import store
from fhir.models import Method
from fhir.permissions import require
from fhir.store import Write

from . import Answer, Context, writing


def create(resource_type: str, resource: dict[str, Any], context: Context) -> Answer:
    """Stores a new resource under a new id: 201. Raises Forbidden, InvalidRequest, Unprocessable."""
    require(context.scope, "create", resource_type)
    write = new(resource_type, resource, context)
    store.create(write, audit_row(write, context))
    return writing.written(resource_type, write, 201, context)


def new(resource_type: str, resource: dict[str, Any], context: Context) -> Write:
    """The checked first version; an id that the body carries is ignored, as the paragraph says."""
    writing.require_type(resource, resource_type)
    resource = {key: value for key, value in resource.items() if key != "id"}
    writing.checked(resource, context, mode="create")
    return writing.first_version(resource, context, method=Method.POST)


def audit_row(write: Write, context: Context, interaction: str = "create", status: int = 201) -> recorder.Row:
    """The audit row of a write."""
    return context.audit(
        interaction,
        bucket=write.bucket,
        status=status,
        at=write.updated,
        type_number=write.type,
        resource_id=write.id,
        version=write.version,
        pat=write.pat,
    )
