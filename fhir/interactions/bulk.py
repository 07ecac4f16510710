"""Many resources with ids of their own at once: what the demo charts and loads of resources are stored with.

Each resource is an update-as-create (https://hl7.org/fhir/R4/http.html#upsert); those that exist are left as they are.
A chunk is one transaction with its audit rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from django.utils.translation import gettext_lazy as _

from fhir import database, ids, store_many
from fhir.definitions.structure import TYPE_NUMBER
from fhir.exceptions import FhirError, InvalidRequest
from fhir.models import Method
from fhir.permissions import require
from fhir.store import Write

from . import Context, writing
from .create import audit_row

CHUNK = 500


@dataclass(slots=True)
class Report:
    """How many were stored and how many were there already; (resource, why) of those that were refused."""

    stored: int = 0
    skipped: int = 0
    refused: list[tuple[dict[str, Any], FhirError]] = field(default_factory=list)


def store_resources(
    resources: Iterable[dict[str, Any]], context: Context, *, progress: Callable[[int], None] | None = None
) -> Report:
    """Stores resources that carry their ids; `progress` hears of each chunk's size. Raises Forbidden, Unavailable."""
    report = Report()
    for chunk in _chunks(resources):
        writes = list(_writes(chunk, context, report))
        stored = database.retry(lambda writes=writes: _store(writes, context))  # type: ignore[misc]
        report.stored += stored
        report.skipped += len(writes) - stored
        if progress is not None:
            progress(len(chunk))
    return report


def _chunks(resources: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    iterator = iter(resources)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


def _writes(chunk: list[dict[str, Any]], context: Context, report: Report) -> Iterator[Write]:
    """The writes of those that keep the rules; the last of two with one id counts."""
    found: dict[tuple[int, str], Write] = {}
    for resource in chunk:
        try:
            write = _write(resource, context)
            found[(write.type, write.id)] = write
        except FhirError as error:
            report.refused.append((resource, error))
    yield from found.values()


def _write(resource: dict[str, Any], context: Context) -> Write:
    resource_type, resource_id = resource.get("resourceType"), resource.get("id")
    if resource_type not in TYPE_NUMBER or not isinstance(resource_id, str):
        raise InvalidRequest(_("A resource of FHIR R4 with an id is needed."))
    require(context.scope, "create", resource_type)
    writing.require_legal_id(resource_id)
    writing.checked(resource, context, mode="update")
    write = writing.first_version(resource, context, resource_id=resource_id, method=Method.PUT)
    # An id of our own form in its own bucket needs no locator: nothing else could be found under it.
    write.claim = not (ids.is_issued(resource_id) and ids.bucket_of(resource_id) == write.bucket)
    return write


def _store(writes: list[Write], context: Context) -> int:
    """Stores those that do not exist; how many."""
    if not writes:
        return 0
    with database.Transaction() as transaction:
        there = store_many.existing(transaction, [(w.type, w.id, w.bucket) for w in writes])
        new = [w for w in writes if (w.type, w.id) not in there]
        rows = [audit_row(w, context, "update", 201) for w in new]
        transaction.commit(store_many.statements(new, rows))
    return len(new)
