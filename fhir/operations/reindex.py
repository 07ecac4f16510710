"""Operations $reindex, $reindex-status and $reindex-cancel, which are this server's own (docs/reindex.md).

They follow the asynchronous pattern of https://hl7.org/fhir/R4/async.html: 202 with Content-Location, where the state
of the job is asked for until it answers 200.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.utils.translation import gettext_lazy as _

from accounts.texts import lazy_text
from audit import recorder
from fhir import content, database, json, reindex, store
from fhir.definitions.structure import RESOURCE_TYPES, TYPE_NAME, TYPE_NUMBER
from fhir.exceptions import Conflict, Gone, InvalidRequest, NotFound
from fhir.interactions import Answer
from fhir.permissions import require
from fhir.reindex import Job
from fhir.search import custom

from .call import Call, single

RETRY_SECONDS = "2"


def start(call: Call) -> Answer:
    """Begins a job: 202. Of one resource: does it at once, 200. With nothing to do: 200.

    Raises Forbidden unless the caller may define search parameters; InvalidRequest, NotFound, Gone.
    """
    _require(call)
    if call.id is not None:
        return _resource(call)
    given = single(call.inputs(), ("type", "parameter", "all"), ("type", "parameter"))
    types = _types(call, given.get("type"))
    names = _names(given.get("parameter"), types)
    everything = given.get("all") == "true"
    if not (types or names or everything):
        job_id = reindex.begin_for_new(call.context.scope.user_id, _audit(call), again=True)
        if job_id is None:
            jobs = reindex.open_jobs()
            return _accepted(call, jobs[0]) if jobs else _nothing(call)
    else:
        job_id = reindex.begin(
            _types_of(names) if names else types or RESOURCE_TYPES,
            names,
            base_url=call.context.base_url,
            requested_by=call.context.scope.user_id,
            audit=_audit(call),
            wait=reindex.SETTLE_SECONDS if names else 0.0,
        )
    job = reindex.find(job_id)
    assert job is not None
    if custom.on_work is not None:
        custom.on_work(True)
    return _accepted(call, job)


def status(call: Call) -> Answer:
    """The state of a job: 202 with X-Progress while it lasts, 200 when it has ended. Raises NotFound, Forbidden."""
    _require(call, changes=False)
    job = _job(call)
    database.fetch(recorder.INSERT_SQL, _audit(call, 200))
    if job.finished is not None:
        return Answer(200, _described(job))
    seen, _changed = reindex.done(job.id)
    progress = f"{seen}/{job.total}" if job.total is not None else "0"
    return Answer(202, _described(job), headers={"X-Progress": progress, "Retry-After": RETRY_SECONDS})


def cancel(call: Call) -> Answer:
    """Ends a job: 200 with its last state. Raises Conflict where it has ended, NotFound, Forbidden."""
    _require(call)
    job = _job(call)
    if not reindex.cancel(job.id):
        raise Conflict(_("The job has ended already."))
    database.fetch(recorder.INSERT_SQL, _audit(call, 200))
    return Answer(200, _described(_job(call)))


def _require(call: Call, *, changes: bool = True) -> None:
    """Those who define search parameters may have them indexed; what changes something is a POST with a body."""
    require(call.context.scope, "create", "SearchParameter")
    custom.refresh(call.context.base_url)  # which also begins what no process is doing
    if changes and call.body is None:
        text = _("$%(name)s changes something: send a Parameters resource with POST.")
        raise InvalidRequest(lazy_text(text, name=call.name), code="required")


def _audit(call: Call, status: int = 202, **about: Any) -> recorder.Row:
    given = "&".join(f"{name}={value}" for name, value in call.inputs())
    query = f"{call.path}?{given[:500]}" if given else call.path
    where = {"bucket": None, **about}
    return call.context.audit("operation", status=status, at=store.now(), query=query, **where)


# --- what is asked


def _types(call: Call, given: str | None) -> list[str]:
    if call.type is not None:
        if given is not None:
            text = _("The URL names the type; the parameter “type” is for [base]/$reindex.")
            raise InvalidRequest(text, expression="type")
        return [call.type]
    types = given.split(",") if given else []
    for name in types:
        if name not in TYPE_NUMBER:
            text = _("FHIR R4 has no resource type “%(type)s”.")
            raise InvalidRequest(lazy_text(text, type=name[:100]), code="value", expression="type")
    return types


def _names(given: str | None, types: list[str]) -> list[str]:
    """The names of the custom parameters with these codes, of these types if any are given."""
    if not given:
        return []
    custom.refresh(now=True)
    found = []
    for code in given.split(","):
        names = [
            name
            for name, definition in custom.registry().definitions.items()
            if definition.parameter.code == code and (not types or definition.parameter.resource_type in types)
        ]
        if not names:
            text = _("No client has defined a search parameter “%(code)s” here.")
            raise InvalidRequest(lazy_text(text, code=code[:100]), code="value", expression="parameter")
        found += names
    return found


def _types_of(names: list[str]) -> set[str]:
    known = custom.registry().definitions
    return {known[name].parameter.resource_type for name in names}


def _job(call: Call) -> Job:
    given = single(call.inputs(), ("job",)).get("job", "")
    try:
        job = reindex.find(UUID(given))
    except ValueError:
        job = None
    if job is None:
        raise NotFound(_("There is no such job."))
    return job


# --- answers


def _accepted(call: Call, job: Job) -> Answer:
    place = f"{call.context.base_url}/$reindex-status?job={job.id}"
    return Answer(202, _described(job), headers={"Content-Location": place, "Retry-After": RETRY_SECONDS})


def _nothing(call: Call) -> Answer:
    database.fetch(recorder.INSERT_SQL, _audit(call, 200))
    return Answer(200, _parameters([{"name": "status", "valueCode": "completed"}]))


def _described(job: Job) -> bytes:
    seen, changed = reindex.done(job.id)
    found: list[dict[str, Any]] = [
        {"name": "job", "valueString": str(job.id)},
        {"name": "status", "valueCode": _state(job, seen)},
        {"name": "created", "valueInstant": content.instant(job.created)},
    ]
    if job.finished is not None:
        found.append({"name": "finished", "valueInstant": content.instant(job.finished)})
    if len(job.types) < len(RESOURCE_TYPES):
        found += [{"name": "type", "valueCode": TYPE_NAME[number]} for number in job.types]
    found += [{"name": "parameter", "valueString": name.partition("~")[0]} for name in job.parameters]
    counts = {"total": job.total, "seen": seen, "changed": changed}
    found += [{"name": name, "valueDecimal": number} for name, number in counts.items() if number is not None]
    return _parameters(found)


def _state(job: Job, seen: int) -> str:
    if job.finished is not None:
        return "cancelled" if job.cancelled else "failed" if job.failed else "completed"
    return "in-progress" if seen else "accepted"


def _parameters(found: list[dict[str, Any]]) -> bytes:
    return json.dumps({"resourceType": "Parameters", "parameter": found})


def _resource(call: Call) -> Answer:
    assert call.type is not None and call.id is not None
    single(call.inputs(), ())
    number = TYPE_NUMBER[call.type]
    current = store.current(number, call.id)
    if current is None:
        raise NotFound(_("There is no such record."))
    if current.deleted:
        raise Gone(_("This record was deleted."))
    about = {"type_number": number, "resource_id": call.id, "version": current.version, "pat": current.pat}
    row = _audit(call, 200, bucket=current.bucket, **about)
    changed = reindex.resource((current.bucket, number, call.id), call.context.base_url, row)
    return Answer(200, _parameters([{"name": "changed", "valueBoolean": changed}]))
