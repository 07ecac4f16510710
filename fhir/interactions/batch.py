"""FHIR batch interaction: https://hl7.org/fhir/R4/http.html#transaction. Each entry stands or falls alone."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from django.utils.translation import gettext_lazy as _

from audit import recorder
from fhir import bundle, content, database, json, operations, outcome, store
from fhir.exceptions import FhirError, InvalidRequest
from fhir.permissions import require

from . import (
    Answer,
    Context,
    capabilities,
    conditional,
    create,
    delete,
    entries,
    history,
    read,
    search,
    update,
)
from .entries import Entry


def process(body: dict[str, Any], context: Context) -> Answer:
    """Executes the entries one after the other: 200. Raises only if the bundle itself is wrong."""
    require(context.scope, "batch")
    parsed = entries.parse(body, context)
    database.fetch(recorder.INSERT_SQL, context.audit("batch", bucket=None, status=200, at=store.now()))
    return Answer(200, bundle.join("batch-response", [_attempt(entry, context) for entry in parsed]))


def _attempt(entry: Entry, context: Context) -> bytes:
    try:
        return response(perform(entry, context))
    except FhirError as error:
        return bundle.entry(
            response={
                "status": _status(error.status),
                "outcome": outcome.resource(error.issues, context.language),
            }
        )


def response(answer: Answer) -> bytes:
    """The entry of an answer: its headers in `response`, its body as `resource`."""
    head: dict[str, Any] = {"status": _status(answer.status)}
    if answer.location is not None:
        head["location"] = answer.location
    if answer.version is not None:
        head["etag"] = content.etag(answer.version)
    if answer.updated is not None:
        head["lastModified"] = content.instant(answer.updated)
    if not answer.body:
        return bundle.entry(response=head)
    if answer.body.startswith(b'{"resourceType":"OperationOutcome"'):
        head["outcome"] = json.loads(answer.body)
        return bundle.entry(response=head)
    return bundle.entry(response=head, resource=answer.body)


def _status(code: int) -> str:
    return f"{code} {HTTPStatus(code).phrase}"


def perform(entry: Entry, context: Context) -> Answer:
    """Does what one entry asks for, as if it had come alone. Raises FhirError."""
    if entry.suffix is not None and entry.suffix.startswith("$"):
        return operations.perform(
            entry.suffix[1:], entry.type, entry.id, entry.resource, pairs(entry), context, if_match=entry.if_match
        )
    if entry.method in ("GET", "HEAD"):
        answer = _read(entry, context)
        if entry.method == "HEAD":
            answer.body = b""
        return answer
    if entry.method == "POST" and entry.suffix == "_search":
        return search.search(entry.type, pairs(entry), context)
    if entry.suffix is not None:
        raise InvalidRequest(_("This method does not exist at this URL."), code="not-supported")
    return _write(entry, context)


def pairs(entry: Entry) -> list[tuple[str, str]]:
    """The parameters of the entry's URL."""
    return parse_qsl(entry.query, keep_blank_values=True)


def _read(entry: Entry, context: Context) -> Answer:
    if entry.suffix == "metadata":
        return capabilities.capabilities(context)
    if entry.type is None:
        if entry.suffix == "_history":
            return history.of_system(dict(pairs(entry)), context)
        return search.search(None, pairs(entry), context)
    resource_type = entries.require_known_type(entry)
    if entry.suffix == "_history":
        if entry.id is None:
            return history.of_type(resource_type, dict(pairs(entry)), context)
        if entry.version is None:
            return history.instance(resource_type, entry.id, dict(pairs(entry)), context)
        return read.vread(resource_type, entry.id, entry.version, context)
    if entry.id is None:
        return search.search(resource_type, pairs(entry), context)
    return read.read(resource_type, entry.id, context, conditions(entry))


def conditions(entry: Entry) -> read.Conditions:
    """The conditions of a read: If-None-Match, If-Modified-Since, _summary and _elements."""
    asked = dict(pairs(entry))
    since = content.parse_http_date(entry.if_modified_since) if entry.if_modified_since else None
    elements = [name for name in asked.get("_elements", "").split(",") if name]
    return read.Conditions(entry.if_none_match, since, asked.get("_summary"), elements)


def _write(entry: Entry, context: Context) -> Answer:
    resource_type = entries.require_known_type(entry)
    resource = entry.resource
    if entry.method == "DELETE":
        if entry.id is None:
            return conditional.delete(resource_type, entry.query, context, if_match=entry.if_match)
        return delete.delete(resource_type, entry.id, context, if_match=entry.if_match)
    assert resource is not None  # entries.parse asks for it
    if entry.method == "POST":
        if entry.if_none_exist is not None:
            return conditional.create(resource_type, resource, entry.if_none_exist, context)
        return create.create(resource_type, resource, context)
    if entry.method == "PATCH":
        change = entries.change_of(resource)
        if entry.id is None:
            return conditional.patch(resource_type, entry.query, change, context, if_match=entry.if_match)
        return update.patch(resource_type, entry.id, change, context, if_match=entry.if_match)
    if entry.id is None:
        return conditional.update(resource_type, resource, entry.query, context, if_match=entry.if_match)
    return update.update(
        resource_type, entry.id, resource, context, if_match=entry.if_match, if_none_match=entry.if_none_match
    )
