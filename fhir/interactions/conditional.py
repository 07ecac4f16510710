"""Conditional create, update, patch and delete: https://hl7.org/fhir/R4/http.html#ccreate, #cond-update, #cdelete.

What a condition finds and what is written because of it are one transaction, behind a lock on the condition itself:
of clients that ask for the same condition at the same time, the second sees what the first has written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

from django.utils.translation import gettext_lazy as _

from audit import recorder
from fhir import database, ids, store
from fhir.definitions.structure import TYPE_NUMBER
from fhir.exceptions import InvalidRequest, NotFound, PreconditionFailed
from fhir.permissions import require
from fhir.search import find
from fhir.search.find import Match
from fhir.terminology import Terminology

from . import Answer, Context, read, writing
from . import create as creation
from . import delete as deletion
from . import update as updating
from .update import Change

_LOCK = "SELECT pg_advisory_xact_lock(%s)"
_URL = re.compile(r"^(?:[A-Z][A-Za-z]+)?\?")
_RESULT_PARAMETERS = frozenset({"_format", "_pretty", "_summary", "_elements", "_count", "_sort", "_total"})


def criteria(query: str) -> list[tuple[str, str]]:
    """The search parameters of a condition. Raises InvalidRequest where there is none: it would match everything.

    A condition is what follows the ? of a search; one that comes with `Type?` before it, as some clients send, is read.
    """
    query = _URL.sub("", query)
    pairs = [
        (name, value) for name, value in parse_qsl(query, keep_blank_values=True) if name not in _RESULT_PARAMETERS
    ]
    if not any(value for _name, value in pairs):
        raise InvalidRequest(_("The condition has no search parameters."), code="required")
    return pairs


def lock_key(resource_type: str, pairs: list[tuple[str, str]]) -> int:
    """The same for conditions that say the same in another order."""
    return ids.hash64(f"{resource_type}?{sorted(pairs)}")


def locked(transaction: database.Transaction, resource_type: str, query: str, context: Context) -> list[Match]:
    """At most two matches of a condition, inside `transaction` and behind the condition's lock."""
    pairs = criteria(query)
    base_url = context.base_url
    plan = find.condition(resource_type, pairs, context.scope, base_url, terminology=Terminology(base_url))
    return find.found(transaction, (_LOCK, (lock_key(resource_type, pairs),)), [plan], limit=2)[0]


def single(found: list[Match]) -> Match | None:
    """The one match, if any. Raises PreconditionFailed for several."""
    if len(found) > 1:
        raise PreconditionFailed(_("Several records match the condition."), code="multiple-matches")
    return found[0] if found else None


def create(resource_type: str, resource: dict[str, Any], query: str, context: Context) -> Answer:
    """Creates (201) unless the condition (If-None-Exist) finds one (200). Raises PreconditionFailed."""
    require(context.scope, "create", resource_type)
    require(context.scope, "search-type", resource_type)

    def attempt() -> Answer:
        with database.Transaction() as transaction:
            match = single(locked(transaction, resource_type, query, context))
            if match is None:
                write = creation.new(resource_type, resource, context)
                transaction.commit(store.create_statements(write, creation.audit_row(write, context)))
                return writing.written(resource_type, write, 201, context)
            answer = existing(resource_type, match, context)
            transaction.commit()
            return answer

    return database.retry(attempt)


def existing(resource_type: str, match: Match, context: Context) -> Answer:
    """200 with the resource that a conditional create found; reading it is audited as a read."""
    found = read.read(resource_type, match.id, context)
    if context.prefer_return != "representation":
        found.body = b""
    found.location = f"{context.base_url}/{resource_type}/{match.id}/_history/{found.version}"
    return found


def update(
    resource_type: str, resource: dict[str, Any], query: str, context: Context, *, if_match: Sequence[str] = ()
) -> Answer:
    """Updates what the condition finds, creates where it finds nothing. Raises PreconditionFailed, InvalidRequest."""
    require(context.scope, "update", resource_type)
    require(context.scope, "search-type", resource_type)
    writing.require_type(resource, resource_type)

    def attempt() -> Answer:
        with database.Transaction() as transaction:
            match = single(locked(transaction, resource_type, query, context))
            given = resource.get("id")
            if match is not None and given not in (None, match.id):
                text = _("The condition finds the record “%(id)s”, and the body carries another id.")
                raise InvalidRequest(text % {"id": match.id}, expression=f"{resource_type}.id")
            resource_id = given if match is None else match.id
            if resource_id is None:
                updating.require_match(None, if_match)
                answer = creation.create(resource_type, resource, context)
            else:
                body = {**resource, "id": resource_id}
                answer = updating.update(resource_type, resource_id, body, context, if_match=if_match)
            transaction.commit()
            return answer

    return database.retry(attempt)


def patch(resource_type: str, query: str, change: Change, context: Context, *, if_match: Sequence[str] = ()) -> Answer:
    """Patches the one that the condition finds. Raises NotFound, PreconditionFailed."""
    require(context.scope, "patch", resource_type)
    require(context.scope, "search-type", resource_type)

    def attempt() -> Answer:
        with database.Transaction() as transaction:
            match = single(locked(transaction, resource_type, query, context))
            if match is None:
                raise NotFound(_("No record matches the condition."))
            answer = updating.patch(resource_type, match.id, change, context, if_match=if_match)
            transaction.commit()
            return answer

    return database.retry(attempt)


def delete(resource_type: str, query: str, context: Context, *, if_match: Sequence[str] = ()) -> Answer:
    """Deletes the one that the condition finds, if any: 204. Raises PreconditionFailed for several."""
    require(context.scope, "delete", resource_type)
    require(context.scope, "search-type", resource_type)

    def attempt() -> Answer:
        with database.Transaction() as transaction:
            match = single(locked(transaction, resource_type, query, context))
            if match is not None:
                answer = deletion.delete(resource_type, match.id, context, if_match=if_match)
                transaction.commit()
                return answer
            updating.require_match(None, if_match)
            row = context.audit(
                "delete", bucket=None, status=204, at=store.now(), type_number=TYPE_NUMBER[resource_type], query=query
            )
            transaction.commit([(recorder.INSERT_SQL, row)])
            return Answer(204)

    return database.retry(attempt)
