"""What every write does before it is stored: check, place, stamp, index."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _

from fhir import compartment, content, ids, json, outcome, store
from fhir.definitions.structure import TYPE_NUMBER
from fhir.exceptions import Forbidden, InvalidRequest, NotFound
from fhir.index_rows import NOTHING
from fhir.models import Method
from fhir.search import custom, extract
from fhir.store import Current, Write
from fhir.validation import check

from . import Answer, Context


def require_type(resource: dict[str, Any], resource_type: str) -> None:
    """Raises InvalidRequest unless the body is a resource of the type that the URL names."""
    if resource.get("resourceType") != resource_type:
        text = _("The URL asks for %(expected)s and the body is a %(given)s.")
        raise InvalidRequest(text % {"expected": resource_type, "given": resource.get("resourceType")})


def require_legal_id(resource_id: str) -> None:
    """Raises InvalidRequest for an id that no resource may have (https://hl7.org/fhir/R4/datatypes.html#id)."""
    if not ids.is_legal(resource_id):
        raise InvalidRequest(_("An id has 1 to 64 letters, digits, hyphens and dots."), code="value")


def require_same_id(resource: dict[str, Any], resource_id: str) -> None:
    """https://hl7.org/fhir/R4/http.html#update: the id in the body is that of the URL. Raises InvalidRequest."""
    if resource.get("id") != resource_id:
        text = _("The body must carry the id of the URL, “%(id)s”.")
        raise InvalidRequest(text % {"id": resource_id}, expression=f"{resource['resourceType']}.id")


def require_visible(current: Current | None, context: Context) -> None:
    """Raises NotFound where the caller is limited to a patient whom the resource is not about.

    To be asked before anything else is said of `current`, be it that it has another version or that it is not there.
    """
    limit = context.scope.compartment
    if limit is not None and (current is None or current.pat != ids.patient_hash(limit.removeprefix("Patient/"))):
        raise NotFound(_("There is no such record."))


def first_version(
    resource: dict[str, Any], context: Context, *, resource_id: str | None = None, method: Method
) -> Write:
    """The Write of a new resource; without `resource_id` it gets an id in the bucket of its patient."""
    resource_type = resource["resourceType"]
    named = _patients(resource, context)
    bucket, pat = compartment.place(resource_type, resource_id, named)
    new_id = resource_id or ids.new_id(bucket)
    if bucket is None:
        bucket, pat = compartment.place(resource_type, new_id, named)
        assert bucket is not None
    write = Write(
        bucket=bucket,
        type=TYPE_NUMBER[resource_type],
        id=new_id,
        version=1,
        updated=store.now(),
        method=method,
        pat=pat,
        body=None,
        rows=NOTHING,
        claim=resource_id is not None,
    )
    return _filled(write, resource, context)


def next_version(
    resource: dict[str, Any], current: Current, context: Context, *, resource_id: str, method: Method
) -> Write:
    """The Write that supersedes `current`; it lies where its patient is now."""
    resource_type = resource["resourceType"]
    bucket, pat = compartment.place(resource_type, resource_id, _patients(resource, context))
    assert bucket is not None
    write = Write(
        bucket=bucket,
        type=TYPE_NUMBER[resource_type],
        id=resource_id,
        version=current.version + 1,
        updated=store.now(current.updated),
        method=method,
        pat=pat,
        body=None,
        rows=NOTHING,
        previous=current,
    )
    return _filled(write, resource, context)


def deletion(resource_type: str, resource_id: str, current: Current) -> Write:
    """The Write that deletes `current`; it stays where it is, and of whom it was."""
    if resource_type == "SearchParameter":
        custom.watch()
    return Write(
        bucket=current.bucket,
        type=TYPE_NUMBER[resource_type],
        id=resource_id,
        version=current.version + 1,
        updated=store.now(current.updated),
        method=Method.DELETE,
        pat=current.pat,
        body=None,
        rows=NOTHING,
        previous=current,
    )


def _patients(resource: dict[str, Any], context: Context) -> list[str]:
    named = compartment.patients(resource, context.base_url)
    limit = context.scope.compartment
    if limit is not None and limit.removeprefix("Patient/") not in named:
        raise Forbidden(_("You can only write records about yourself."))
    return named


def _filled(write: Write, resource: dict[str, Any], context: Context) -> Write:
    stamped = stamp(resource, write)
    custom.refresh(context.base_url)
    write.rows = extract.index(stamped, context.base_url)
    write.body = json.dumps(stamped).decode()
    return write


def stamp(resource: dict[str, Any], write: Write) -> dict[str, Any]:
    """The resource as it is stored: with its id, meta.versionId and meta.lastUpdated; everything else as it came."""
    stamped = {
        "resourceType": resource["resourceType"],
        "id": write.id,
        "meta": {
            **resource.get("meta", {}),
            "versionId": str(write.version),
            "lastUpdated": content.instant(write.updated),
        },
    }
    for key, value in resource.items():
        if key not in stamped:
            stamped[key] = value
    return stamped


def checked(resource: dict[str, Any], context: Context, *, mode: str) -> dict[str, Any]:
    """The resource, if it keeps the rules of FHIR. Raises Unprocessable with all that is wrong."""
    check(resource, mode=mode, base_url=context.base_url)
    if resource["resourceType"] == "SearchParameter":
        custom.check(resource, context.base_url)
    return resource


def written(resource_type: str, write: Write, status: int, context: Context) -> Answer:
    """What a successful write answers, as Prefer: return asks (https://hl7.org/fhir/R4/http.html#ops)."""
    body = b""
    if context.prefer_return == "representation" and write.body is not None:
        body = write.body.encode()
    elif context.prefer_return == "OperationOutcome":
        body = outcome.information(_("The record was stored."), context.language)
    return Answer(
        status,
        body,
        version=write.version,
        updated=write.updated,
        location=f"{context.base_url}/{resource_type}/{write.id}/_history/{write.version}",
    )
