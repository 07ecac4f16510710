"""FHIR history interactions on instance, type and system: https://hl7.org/fhir/R4/http.html#history.

Newest first. Pages are keyset pages: the cursor holds where the last one ended, signed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.core import signing
from django.utils.translation import gettext_lazy as _

from audit import recorder
from fhir import bundle, citus, content, database, ids, store
from fhir.definitions.structure import TYPE_NAME, TYPE_NUMBER
from fhir.exceptions import InvalidRequest, NotFound
from fhir.models import Method
from fhir.permissions import require
from fhir.search.parameters.date import bounds
from fhir.search.policy import compartment_clause

from . import Answer, Context

_SALT = "fhir.history"
_STATUS = {Method.POST: "201 Created", Method.PUT: "200 OK", Method.PATCH: "200 OK", Method.DELETE: "204 No Content"}
_PARAMETERS = frozenset({"_count", "_since", "_at", "_cursor", "_format", "_pretty"})

_CURRENT = """SELECT r.type, r.id, r.version, r.updated, r.method, c.body
 FROM resource r LEFT JOIN content c ON c.bucket = r.bucket AND c.type = r.type AND c.id = r.id WHERE {where}"""
_PAST = "SELECT h.type, h.id, h.version, h.updated, h.method, h.body FROM history h WHERE {where}"
# The moment until which a past version was the current one; a bucket that is known keeps it to one shard.
_NEXT = """COALESCE((SELECT n.updated FROM history n WHERE n.bucket = {bucket} AND n.type = h.type AND n.id = h.id
 AND n.version = h.version + 1), (SELECT n.updated FROM resource n WHERE n.bucket = {bucket} AND n.type = h.type
 AND n.id = h.id))"""


@dataclass(frozen=True, slots=True)
class Request:
    """What a history asks for. `after` is the (updated, id) of the last entry of the page before; times are aware."""

    count: int
    since: datetime | None
    at: tuple[datetime, datetime] | None
    after: tuple[str, str] | None
    asked: tuple[tuple[str, str], ...]


def instance(resource_type: str, resource_id: str, parameters: Mapping[str, str], context: Context) -> Answer:
    """All versions of one resource, deletions too. Raises NotFound if there never was one."""
    require(context.scope, "history-instance", resource_type)
    number = TYPE_NUMBER[resource_type]
    current = store.current(number, resource_id)
    bucket = ids.bucket_of(resource_id) if current is None else current.bucket
    where = "{a}.bucket = %(b)s AND {a}.type = %(t)s AND {a}.id = %(i)s"
    values = {"b": bucket, "t": number, "i": resource_id}
    about = {"type_number": number, "resource_id": resource_id, "bucket": bucket}
    asked = _request(parameters)
    rows = _rows(where, values, asked, context, {"interaction": "history-instance", **about}, missing=current is None)
    if current is None or (not rows and context.scope.compartment is not None):
        raise NotFound(_("There is no such record."))
    total = current.version if context.scope.compartment is None and not (asked.since or asked.at) else None
    return _answer(rows, asked, f"{resource_type}/{resource_id}/_history", context, total)


def of_type(resource_type: str, parameters: Mapping[str, str], context: Context) -> Answer:
    """All versions of all resources of a type."""
    require(context.scope, "history-type", resource_type)
    number = TYPE_NUMBER[resource_type]
    about = {"interaction": "history-type", "type_number": number, "bucket": None}
    asked = _request(parameters)
    rows = _rows("{a}.type = %(t)s", {"t": number}, asked, context, about)
    return _answer(rows, asked, f"{resource_type}/_history", context, None)


def of_system(parameters: Mapping[str, str], context: Context) -> Answer:
    """All versions of all resources that the caller may search."""
    require(context.scope, "history-system")
    asked = _request(parameters)
    types = sorted(TYPE_NUMBER[name] for name in context.scope.types("s"))
    about = {"interaction": "history-system", "bucket": None}
    # Along the index of each type; Citus has no LATERAL over shards, and each of them sorts what it has.
    each_type = not citus.distributed()
    where = "{a}.type = k.type" if each_type else "{a}.type = ANY(%(types)s::smallint[])"
    rows = _rows(where, {"types": store.array(types)}, asked, context, about, each_type=each_type)
    return _answer(rows, asked, "_history", context, None)


# --- parameters


def _request(parameters: Mapping[str, str]) -> Request:
    unknown = sorted(set(parameters) - _PARAMETERS)
    if unknown:
        text = _("A history has no parameter “%(name)s”; it has %(known)s.")
        raise InvalidRequest(text % {"name": unknown[0], "known": ", ".join(sorted(_PARAMETERS - {"_cursor"}))})
    if "_since" in parameters and "_at" in parameters:
        raise InvalidRequest(_("_since and _at exclude each other."))
    kept = tuple((k, v) for k, v in parameters.items() if k != "_cursor")
    since = _times(parameters["_since"], "_since")[0] if "_since" in parameters else None
    at = _times(parameters["_at"], "_at") if "_at" in parameters else None
    return Request(_count(parameters.get("_count")), since, at, _cursor(parameters.get("_cursor")), kept)


def _count(value: str | None) -> int:
    if value is None:
        return settings.FHIR_DEFAULT_PAGE
    if not (value.isascii() and value.isdigit()):
        raise InvalidRequest(_("_count is a whole number, 0 or more."), expression="_count")
    return min(int(value), settings.FHIR_MAX_PAGE)


def _times(value: str, name: str) -> tuple[datetime, datetime]:
    lo, hi = bounds(value.replace(" ", "+"), name)
    return datetime.fromtimestamp(lo / 1e6, UTC), datetime.fromtimestamp(hi / 1e6, UTC)


def _cursor(token: str | None) -> tuple[str, str] | None:
    if token is None:
        return None
    try:
        updated, resource_id = signing.loads(token, salt=_SALT, max_age=settings.FHIR_CURSOR_SECONDS)
    except signing.BadSignature:
        raise InvalidRequest(_("The link to this page has expired or is not one of this server's.")) from None
    return updated, resource_id


# --- rows


def _rows(
    where: str,
    values: dict[str, Any],
    asked: Request,
    context: Context,
    about: dict[str, Any],
    *,
    each_type: bool = False,
    missing: bool = False,
) -> list[database.Row]:
    """One more row than the page holds, if there is one; the audit row goes in the same round trip."""
    values = {**values, "limit": asked.count + 1}
    conditions = [where]
    if asked.after is not None:
        conditions.append("({a}.updated, {a}.id) < (%(after_time)s::timestamptz, %(after_id)s)")
        values |= {"after_time": asked.after[0], "after_id": asked.after[1]}
    if asked.since is not None:
        conditions.append("{a}.updated >= %(since)s")
        values["since"] = asked.since
    if asked.at is not None:
        conditions.append("{a}.updated < %(at_hi)s")
        values |= {"at_lo": asked.at[0], "at_hi": asked.at[1]}
    policy = _policy(context, values)
    current = _CURRENT.format(where=" AND ".join([*conditions, policy["current"]]).format(a="r"))
    until = _NEXT.format(bucket="%(b)s" if "b" in values else "h.bucket")
    at = f"{until} > %(at_lo)s" if asked.at is not None else "true"
    past = _PAST.format(where=" AND ".join([*conditions, policy["past"]]).format(a="h") + f" AND {at}")
    order = "ORDER BY updated DESC, id DESC LIMIT %(limit)s"
    both = f"SELECT * FROM (({current} {order}) UNION ALL ({past} {order})) AS v {order}"
    if each_type:
        both = f"SELECT v.* FROM unnest(%(types)s::smallint[]) AS k(type) CROSS JOIN LATERAL ({both}) AS v {order}"
    row = context.audit(status=404 if missing else 200, at=store.now(), query=urlencode(asked.asked) or None, **about)
    statements = ((both, values), (recorder.INSERT_SQL, row))
    # All versions of one resource lie in one bucket.
    return database.batch([database.at(about["bucket"], each) for each in statements])[0]


def _policy(context: Context, values: dict[str, Any]) -> dict[str, str]:
    limit = context.scope.compartment
    if limit is None:
        return {"current": "true", "past": "true"}
    patient = limit.removeprefix("Patient/")
    values |= {"policy_pat": ids.patient_hash(patient), "policy_term": ids.compartment_term(patient)}
    # A past version is judged by whom it was about, not by whom its successor is about.
    return {"current": compartment_clause("r"), "past": "h.pat = %(policy_pat)s"}


# --- the answer


def _answer(rows: list[database.Row], asked: Request, path: str, context: Context, total: int | None) -> Answer:
    page = rows[: asked.count]
    url = f"{context.base_url}/{path}"
    pairs = [("self", _url(url, asked.asked))]
    if len(rows) > asked.count > 0:
        last = page[-1]
        token = signing.dumps([last[3].isoformat(), last[1]], salt=_SALT)
        pairs.append(("next", _url(url, (*asked.asked, ("_cursor", token)))))
    entries = (_entry(row, context.base_url) for row in page)
    return Answer(200, bundle.join("history", entries, link=bundle.links(pairs), total=total))


def _url(url: str, pairs: tuple[tuple[str, str], ...]) -> str:
    return f"{url}?{urlencode(pairs)}" if pairs else url


def _entry(row: database.Row, base_url: str) -> bytes:
    type_number, resource_id, version, updated, method, body = row
    resource_type = TYPE_NAME[type_number]
    verb = Method(method)
    status = "201 Created" if version == 1 else _STATUS[verb]
    return bundle.entry(
        fullUrl=f"{base_url}/{resource_type}/{resource_id}",
        request={
            "method": verb.name,
            "url": resource_type if verb is Method.POST else f"{resource_type}/{resource_id}",
        },
        response={"status": status, "etag": content.etag(version), "lastModified": content.instant(updated)},
        resource=None if body is None else body.encode(),
    )
