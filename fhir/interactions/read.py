"""FHIR read and vread interactions.

https://hl7.org/fhir/R4/http.html#read, #vread and #cread. The read and its audit row are one statement: the audit row
is committed before the first byte of the resource goes out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from django.utils.translation import gettext_lazy as _

from audit import recorder
from audit.interactions import outcome_of
from fhir import citus, content, database, ids, json, store, summary
from fhir.definitions.structure import TYPE_NUMBER
from fhir.exceptions import Gone, NotFound
from fhir.permissions import require
from fhir.search.policy import compartment_clause

from . import Answer, Context


@dataclass(frozen=True, slots=True)
class Conditions:
    """Headers and parameters of a read. `versions` come from If-None-Match, `since` from If-Modified-Since."""

    versions: Sequence[str] = ()
    since: datetime | None = None
    summary: str | None = None
    elements: Sequence[str] = ()


ANYTHING = Conditions()

# The columns of the audit row that the resource decides.
_FROM_ROW = {
    "bucket": "r.bucket",
    "version": "r.version",
    "pat": "r.pat",
    "status": "r.status",
    "outcome": "CASE WHEN r.status < 400 THEN 0 ELSE 4 END",
}
_AUDIT_VALUES = ", ".join(
    _FROM_ROW.get(column, cast.replace("%s", f"%(a{n})s"))
    for n, (column, cast) in enumerate(zip(recorder.COLUMNS, recorder.CASTS, strict=True))
)
_AUDIT_OF_ROW = f"INSERT INTO {recorder.TABLE} ({recorder.COLUMN_LIST}) SELECT {_AUDIT_VALUES} FROM r"
_STATUS = """CASE WHEN {deleted} THEN 410
 WHEN {version}::text = ANY(%(versions)s::text[]) OR {updated} <= %(since)s::timestamptz THEN 304 ELSE 200 END"""


@cache
def _current(limited: bool) -> str:
    policy = f"AND {compartment_clause('r')}" if limited else ""
    status = _STATUS.format(deleted="r.deleted", version="r.version", updated="date_trunc('second', r.updated)")
    return f"""SELECT r.bucket, r.version, r.updated, r.pat, {status} AS status, c.body
 FROM resource r LEFT JOIN content c ON c.bucket = %(b)s AND c.type = r.type AND c.id = r.id
 WHERE r.bucket = %(b)s AND r.type = %(t)s AND r.id = %(i)s {policy}"""


@cache
def _version(limited: bool) -> str:
    policy = "AND pat = %(policy_pat)s" if limited else ""
    status = _STATUS.format(deleted="deleted", version="version", updated="date_trunc('second', updated)")
    return f"""SELECT *, {status} AS status FROM (
 SELECT x.bucket, x.version, x.updated, x.pat, x.deleted, c.body
 FROM resource x LEFT JOIN content c ON c.bucket = %(b)s AND c.type = x.type AND c.id = x.id
 WHERE x.bucket = %(b)s AND x.type = %(t)s AND x.id = %(i)s AND x.version = %(v)s
 UNION ALL SELECT bucket, version, updated, pat, body IS NULL, body
 FROM history WHERE bucket = %(b)s AND type = %(t)s AND id = %(i)s AND version = %(v)s) v WHERE true {policy}"""


# The same for what is there, on Citus: the shorter a statement, the less its planning, which is most of its cost there.
_THERE = """SELECT r.version, r.updated, 200, c.body, r.bucket, r.pat FROM resource r, content c
 WHERE r.bucket = %(b)s AND r.type = %(t)s AND r.id = %(i)s AND c.bucket = %(b)s AND c.type = %(t)s AND c.id = %(i)s"""
_WAS_THERE = """SELECT version, updated, 200, body, bucket, pat FROM history
 WHERE bucket = %(b)s AND type = %(t)s AND id = %(i)s AND version = %(v)s AND body IS NOT NULL"""


@cache
def _current_there(limited: bool) -> tuple[str, ...]:
    return (f"{_THERE} AND {compartment_clause('r')}" if limited else _THERE,)


@cache
def _version_there(limited: bool) -> tuple[str, ...]:
    """The newest version first: one that is superseded between the two statements is found by the second."""
    policy = "AND {}pat = %(policy_pat)s" if limited else ""
    return f"{_THERE} AND r.version = %(v)s {policy.format('r.')}", f"{_WAS_THERE} {policy.format('')}"


_ANSWER = "version, updated, status, CASE WHEN status = 200 THEN body END"


@cache
def _audited(question: str) -> str:
    """The question and its audit row, which is stored if there is an answer."""
    return f"WITH r AS ({question}), a AS ({_AUDIT_OF_ROW}) SELECT {_ANSWER} FROM r"


Question = tuple[str, tuple[str, ...]]


def _fetch(asked: Question, values: dict[str, Any], row: recorder.Row) -> list[database.Row]:
    """What `_ANSWER` says, audited: in one round trip, in two on Citus with several nodes.

    There a question and a row of VALUES go to their shard as they are; one statement costs 1.5 to 3 times as much.
    """
    question, there = asked
    shard = database.here(values["b"])
    if shard is not None:
        return database.fetch(shard.sql(_audited(question)), values)
    if not citus.distributed():
        return database.fetch(_audited(question), values)
    if len(there) == 1:
        return _recorded(database.fetch(there[0], values), row)
    found = database.batch([(sql, values) for sql in there or (_whole(question),)])
    return _recorded([answer for answers in found for answer in answers], row)


@cache
def _whole(question: str) -> str:
    return f"SELECT {_ANSWER}, bucket, pat FROM ({question}) r"


def _recorded(found: list[database.Row], row: recorder.Row) -> list[database.Row]:
    """The first answer, once its audit row is stored."""
    if found:
        version, _updated, status, _body, bucket, pat = found[0]
        known = {"bucket": bucket, "version": version, "pat": pat, "status": status, "outcome": outcome_of(status)}
        database.fetch(recorder.INSERT_SQL, recorder.decided(row, known))
    return [answer[:4] for answer in found[:1]]


def read(resource_type: str, resource_id: str, context: Context, conditions: Conditions = ANYTHING) -> Answer:
    """The current version: 200, or 304 where the caller has it. Raises NotFound, Gone, Forbidden."""
    require(context.scope, "read", resource_type)
    limited = context.scope.compartment is not None
    return _answer(
        (_current(limited), _current_there(limited)), "read", resource_type, resource_id, None, context, conditions
    )


def vread(
    resource_type: str, resource_id: str, version: str, context: Context, conditions: Conditions = ANYTHING
) -> Answer:
    """That version. Raises NotFound, Gone (the version is a deletion), Forbidden."""
    require(context.scope, "vread", resource_type)
    number = int(version) if version.isascii() and version.isdigit() and len(version) < 10 else 0
    limited = context.scope.compartment is not None
    return _answer(
        (_version(limited), _version_there(limited)), "vread", resource_type, resource_id, number, context, conditions
    )


def _answer(
    asked: Question,
    interaction: str,
    resource_type: str,
    resource_id: str,
    version: int | None,
    context: Context,
    conditions: Conditions,
) -> Answer:
    if conditions.summary or conditions.elements:
        summary.check(conditions.summary, conditions.elements, resource_type)
    type_number = TYPE_NUMBER[resource_type]
    home = ids.bucket_of(resource_id)
    row = context.audit(
        interaction,
        bucket=home,
        status=404,
        at=store.now(),
        type_number=type_number,
        resource_id=resource_id,
        version=version,
    )
    values = _parameters(home, type_number, resource_id, version, context, conditions, row)
    if conditions.versions or conditions.since:
        asked = asked[0], ()  # what the caller has needs no content
    found = _fetch(asked, values, row)
    if not found:
        found = _elsewhere(asked, values, home, type_number, resource_id, row)
    number, updated, status, body = found[0]
    if status == 410:
        raise Gone(_("This version of the record says that it was deleted.") if version else
                   _("This record was deleted."), headers={"ETag": content.etag(number)})  # fmt: skip
    text = b"" if body is None else body.encode()
    if body is not None and (conditions.summary or conditions.elements):
        projected = summary.project(json.loads(text), summary=conditions.summary, elements=conditions.elements)
        text = json.dumps(projected)
    return Answer(status, text, version=number, updated=updated)


def _parameters(
    home: int,
    type_number: int,
    resource_id: str,
    version: int | None,
    context: Context,
    conditions: Conditions,
    row: recorder.Row,
) -> dict[str, Any]:
    values: dict[str, Any] = {"b": home, "t": type_number, "i": resource_id, "v": version}
    values["versions"] = recorder.array_literal(conditions.versions)
    values["since"] = conditions.since
    if context.scope.compartment is not None:
        patient = context.scope.compartment.removeprefix("Patient/")
        values |= {"policy_pat": ids.patient_hash(patient), "policy_term": ids.compartment_term(patient)}
    for number, value in enumerate(row):
        values[f"a{number}"] = value
    return values


def _elsewhere(
    asked: Question, values: dict[str, Any], home: int, type_number: int, resource_id: str, row: recorder.Row
) -> list[database.Row]:
    """What is not there as it is: deleted, at the place that the locator names, or 404, and that is audited too."""
    locator = store.locator_statement(type_number, resource_id)
    if asked[1] and citus.distributed() and database.here(home) is None:  # only the short statements have been asked
        found, target = database.batch([(_whole(asked[0]), values), locator])
        if found:
            return _recorded(found, row)
    else:
        target = database.fetch(*locator)
    if target and target[0][0] != home:
        moved = {**values, "b": target[0][0]}
        found = _fetch(asked, moved, row) or _fetch((asked[0], ()), moved, row)
        if found:
            return found
    database.fetch(*database.at(home, (recorder.INSERT_SQL, row)))
    raise NotFound(_("There is no such record."))
