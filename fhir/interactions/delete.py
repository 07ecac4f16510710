"""FHIR delete interaction: https://hl7.org/fhir/R4/http.html#delete."""

from __future__ import annotations

from collections.abc import Sequence

from audit import recorder
from fhir import database, ids, store
from fhir.definitions.structure import TYPE_NUMBER
from fhir.permissions import require

from . import Answer, Context, writing
from .create import audit_row
from .update import require_match


def delete(resource_type: str, resource_id: str, context: Context, *, if_match: Sequence[str] = ()) -> Answer:
    """Deletes: 204; its versions stay. Of what is not there or deleted already too, as that paragraph says.

    Raises Forbidden, PreconditionFailed, Conflict.
    """
    require(context.scope, "delete", resource_type)

    def attempt() -> Answer:
        current = store.current(TYPE_NUMBER[resource_type], resource_id)
        writing.require_visible(current, context)
        require_match(current, if_match)
        if current is None or current.deleted:
            return _nothing_to_delete(resource_type, resource_id, context)
        write = writing.deletion(resource_type, resource_id, current)
        store.supersede(write, audit_row(write, context, "delete", 204))
        return Answer(204, version=write.version)

    return database.retry(attempt)


def _nothing_to_delete(resource_type: str, resource_id: str, context: Context) -> Answer:
    home = ids.bucket_of(resource_id)
    row = context.audit(
        "delete",
        bucket=home,
        status=204,
        at=store.now(),
        type_number=TYPE_NUMBER[resource_type],
        resource_id=resource_id,
    )
    database.fetch(*database.at(home, (recorder.INSERT_SQL, row)))
    return Answer(204)
