"""FHIR update and patch interactions: https://hl7.org/fhir/R4/http.html#update, #upsert and #patch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.utils.translation import gettext_lazy as _

from fhir import database, json, store
from fhir.definitions.structure import TYPE_NUMBER
from fhir.exceptions import Gone, NotFound, PreconditionFailed
from fhir.models import Method
from fhir.permissions import require
from fhir.store import Current, Write

from . import Answer, Context, writing
from .create import audit_row

Change = Callable[[dict[str, Any]], dict[str, Any]]


def update(
    resource_type: str,
    resource_id: str,
    resource: dict[str, Any],
    context: Context,
    *,
    if_match: Sequence[str] = (),
    if_none_match: Sequence[str] = (),
) -> Answer:
    """Stores the next version: 200; or the first under the client's id, or the next after a deletion: 201.

    Raises Forbidden, InvalidRequest, Unprocessable, PreconditionFailed, Conflict.
    """
    require(context.scope, "update", resource_type)
    writing.require_type(resource, resource_type)
    writing.require_legal_id(resource_id)
    writing.require_same_id(resource, resource_id)
    writing.checked(resource, context, mode="update")

    def attempt() -> Answer:
        current = store.current(TYPE_NUMBER[resource_type], resource_id)
        writing.require_visible(current, context)
        require_match(current, if_match, if_none_match)
        write = new(resource, resource_id, current, context)
        status = 201 if current is None or current.deleted else 200
        save(write, context, "update", status)
        return writing.written(resource_type, write, status, context)

    return database.retry(attempt)


def new(resource: dict[str, Any], resource_id: str, current: Current | None, context: Context) -> Write:
    """The version that a PUT stores, the first one or the next."""
    if current is None:
        require(context.scope, "create", resource["resourceType"])
        return writing.first_version(resource, context, resource_id=resource_id, method=Method.PUT)
    return writing.next_version(resource, current, context, resource_id=resource_id, method=Method.PUT)


def save(write: Write, context: Context, interaction: str, status: int) -> None:
    """Stores a version with its audit row. Raises Collision where another write came first."""
    row = audit_row(write, context, interaction, status)
    if write.previous is None:
        store.create(write, row)
    else:
        store.supersede(write, row)


def patch(
    resource_type: str, resource_id: str, change: Change, context: Context, *, if_match: Sequence[str] = ()
) -> Answer:
    """Stores what `change` makes of the current version: 200. Raises NotFound, Gone and what update raises."""
    require(context.scope, "patch", resource_type)

    def attempt() -> Answer:
        current = store.current(TYPE_NUMBER[resource_type], resource_id, body=True)
        write = patched(resource_type, resource_id, current, change, context, if_match=if_match)
        save(write, context, "patch", 200)
        return writing.written(resource_type, write, 200, context)

    return database.retry(attempt)


def patched(
    resource_type: str,
    resource_id: str,
    current: Current | None,
    change: Change,
    context: Context,
    *,
    if_match: Sequence[str] = (),
) -> Write:
    """The checked next version that a patch makes of `current` (with its body)."""
    writing.require_visible(current, context)
    if current is None:
        raise NotFound(_("There is no such record."))
    if current.body is None:
        raise Gone(_("This record was deleted."))
    require_match(current, if_match)
    resource = change(json.loads(current.body))
    writing.require_type(resource, resource_type)
    writing.require_same_id(resource, resource_id)
    writing.checked(resource, context, mode="update")
    return writing.next_version(resource, current, context, resource_id=resource_id, method=Method.PATCH)


def require_match(current: Current | None, if_match: Sequence[str], if_none_match: Sequence[str] = ()) -> None:
    """If-Match and If-None-Match (https://hl7.org/fhir/R4/http.html#concurrency). Raises PreconditionFailed."""
    exists = current is not None and not current.deleted
    version = str(current.version) if current is not None else None
    if if_match and not (exists and ("*" in if_match or version in if_match)):
        raise PreconditionFailed(_("The record is no longer at the version that If-Match names."))
    if if_none_match and exists and ("*" in if_none_match or version in if_none_match):
        raise PreconditionFailed(_("The record exists already, and If-None-Match asks that it does not."))
