"""Reindexing: the index rows of what is stored, made anew while reads and writes go on (docs/reindex.md).

A job covers types. For custom parameters it looks only at resources that carry neither of the terms of one of them
(fhir.search.custom_rows) and adds what is missing; without, it makes all rows of its types anew and writes those that
differ, and adds what is missing of fhir.place_rows. Its buckets are divided into ranges. Whoever holds a range's lock
works on it, any number of processes at once; how far it is, is written with the rows, and a lock ends with the
connection of its holder: the next goes on there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from audit import recorder

from . import database, ids, json, store_index
from .definitions.structure import TYPE_NAME, TYPE_NUMBER
from .search import custom, custom_rows, extract, hashing
from .versions import array

RANGES = 16
BATCH = 200
# A definition is known to all writers this long after the first took notice of it: CHECK_SECONDS, and what passes
# between the preparation of a write and its statement.
SETTLE_SECONDS = custom.CHECK_SECONDS + 1.0
# Transactions that began before are waited for, but no longer than any request may take.
_PATIENCE_SECONDS = 60.0
# A process that was stopped between the preparation of a write and its statement may store it later still: so long
# after a parameter was ready, its resources are looked at once more.
_LATER_SECONDS = 90.0
_SECOND_LOOK = "second look"
# Jobs that may begin within this time are there to be worked on.
_SOON_SECONDS = 5.0
_NOWHERE = (-1, 0, "")

Progress = Callable[[int, int], None]  # (resources looked at, resources changed) since the last call

_JOB = """SELECT id, types, parameters, base_url, requested_by, total, created, finished, cancelled, failed,
 greatest(0, extract(epoch FROM not_before - now()))::float8 FROM reindex_job"""
_OPEN = f"{_JOB} WHERE finished IS NULL AND not_before < now() + make_interval(secs => {_SOON_SECONDS})"
_ALIKE = f"{_OPEN} AND types = %s::smallint[] AND parameters = %s::text[] LIMIT 1"
_INSERT = """INSERT INTO reindex_job
 (id, types, parameters, base_url, requested_by, created, not_before, cancelled, failed)
 VALUES (%s::uuid, %s::smallint[], %s::text[], %s, %s, now(), now() + make_interval(secs => %s), false, false)"""
_INSERT_RANGES = """INSERT INTO reindex_range
 (job, first, last, bucket, type, resource_id, seen, changed, finished)
 SELECT %s::uuid, x.first, x.last, -1, 0, '', 0, 0, false FROM unnest(%s::int[], %s::int[]) AS x(first, last)"""
_OPEN_RANGES = "SELECT first FROM reindex_range WHERE job = %s::uuid AND NOT finished ORDER BY first"
_RANGE = """SELECT last, bucket, type, resource_id FROM reindex_range
 WHERE job = %s::uuid AND first = %s AND NOT finished"""
_SAVE = """UPDATE reindex_range SET bucket = %s, type = %s, resource_id = %s, finished = %s,
 seen = seen + %s, changed = changed + %s
 WHERE job = %s::uuid AND first = %s AND (bucket, type, resource_id) = (%s, %s, %s) RETURNING 1"""
_AGAIN = """UPDATE reindex_range SET bucket = -1, type = 0, resource_id = '', finished = false WHERE job = %s::uuid"""
_TOTAL = "UPDATE reindex_job SET total = %s WHERE id = %s::uuid AND total IS NULL"
_READY = """UPDATE custom_parameter p SET ready_at = now() FROM reindex_job j
 WHERE j.id = %s::uuid AND p.name = ANY(j.parameters) AND p.since <= j.created"""
_FINISH = """UPDATE reindex_job SET finished = now(), cancelled = %s, failed = %s
 WHERE id = %s::uuid AND finished IS NULL RETURNING 1"""
_SUMS = (
    "SELECT coalesce(sum(seen), 0)::bigint, coalesce(sum(changed), 0)::bigint FROM reindex_range WHERE job = %s::uuid"
)
_NEW = """SELECT p.name, p.type, p.base_url, extract(epoch FROM now() - p.since)::float8 FROM custom_parameter p
 WHERE p.ready_at IS NULL AND NOT EXISTS (SELECT FROM reindex_job j
 WHERE (j.finished IS NULL OR (j.cancelled OR j.failed) AND NOT %s) AND p.name = ANY(j.parameters)
 AND p.since <= j.created) ORDER BY p.name"""
_OLDER = """SELECT EXISTS (SELECT FROM pg_stat_activity a, reindex_job j WHERE j.id = %s::uuid
 AND a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.backend_type = 'client backend'
 AND a.xact_start < j.not_before AND now() < j.not_before + make_interval(secs => %s))"""
_LOCK = "SELECT pg_try_advisory_lock(%s::bigint)"
_UNLOCK = "SELECT pg_advisory_unlock(%s::bigint)"
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(%s::bigint)"


@dataclass(frozen=True, slots=True)
class Job:
    """A run: `types` by number, `parameters` by their names in the tables, () for all rows of the types.

    `total` is how many resources there are to look at, once that is known; `wait` the seconds until it may begin.
    """

    id: UUID
    types: tuple[int, ...]
    parameters: tuple[str, ...]
    base_url: str
    requested_by: str
    total: int | None
    created: datetime
    finished: datetime | None
    cancelled: bool
    failed: bool
    wait: float

    @property
    def wanted(self) -> str:
        """The condition on a row r of resource that is to be looked at."""
        if not self.parameters:
            return f"r.type = ANY('{array(self.types)}'::smallint[])"
        return f"({' OR '.join(_lacking(self.parameters)) or 'false'})"


def _job(row: Sequence[Any]) -> Job:
    return Job(row[0], tuple(row[1]), tuple(row[2]), *row[3:])


def _lacking(names: Iterable[str]) -> list[str]:
    """For each type, that a resource carries the terms of not all of these parameters; unknown ones count no longer."""
    known = custom.registry().definitions
    by_type: dict[str, list[str]] = {}
    for name in names:
        if name in known:
            parameter = known[name].parameter
            marks = array(hashing.presence(parameter.resource_type, parameter.stored_as[0]))
            by_type.setdefault(parameter.resource_type, []).append(f"r.terms && '{marks}'::bigint[]")
    return [
        f"(r.type = {TYPE_NUMBER[kind]}::smallint AND NOT ({' AND '.join(tests)}))" for kind, tests in by_type.items()
    ]


# --- jobs


def begin(
    types: Iterable[str],
    parameters: Iterable[str],
    *,
    base_url: str,
    requested_by: str,
    audit: recorder.Row,
    wait: float = 0.0,
) -> UUID:
    """A new job, or the open one that does the same; its id. The audit row is stored with it.

    `parameters` are names of custom parameters, or none for all rows of `types`. `base_url` is the FHIR base, by which
    absolute references to this server are known; `wait` the seconds until the job may begin.
    """
    numbers = array(sorted(TYPE_NUMBER[name] for name in types))
    names = sorted(parameters)
    with database.Transaction() as transaction:
        _locked, found = transaction.send(
            [(_ONE_AT_A_TIME, (ids.hash64("reindex"),)), (_ALIKE, (numbers, names))],
        )
        if found:
            transaction.commit([(recorder.INSERT_SQL, audit)])
            return _job(found[0]).id
        new = uuid4()
        made = _making(new, numbers, names, base_url, requested_by, wait)
        transaction.commit([*made, (recorder.INSERT_SQL, audit)])
    return new


def _making(
    job_id: UUID, numbers: str, names: list[str], base_url: str, requested_by: str, wait: float
) -> list[database.Statement]:
    step = ids.BUCKETS // RANGES
    firsts = range(0, ids.BUCKETS, step)
    return [
        (_INSERT, (job_id, numbers, names, base_url, requested_by, wait)),
        (_INSERT_RANGES, (job_id, array(firsts), array([first + step - 1 for first in firsts]))),
    ]


def begin_for_new(requested_by: str, audit: recorder.Row, *, again: bool = False) -> UUID | None:
    """The job for custom parameters that no job is there for yet; None if there are none.

    `again`: also for those whose job was cancelled or failed.
    """
    custom.refresh(now=True)
    known = custom.registry().definitions
    rows = [row for row in database.fetch(_NEW, (again,)) if row[0] in known]
    if not rows:
        return None
    names, numbers, bases, ages = zip(*rows, strict=True)
    return begin(
        {TYPE_NAME[number] for number in numbers},
        names,
        base_url=bases[0],
        requested_by=requested_by,
        audit=audit,
        wait=max(0.0, SETTLE_SECONDS - min(ages)),
    )


def find(job_id: UUID) -> Job | None:
    """A job, finished or not."""
    rows = database.fetch(f"{_JOB} WHERE id = %s::uuid", (job_id,))
    return _job(rows[0]) if rows else None


def open_jobs() -> list[Job]:
    """Jobs that are not finished, oldest first, without those that are to begin much later."""
    return [_job(row) for row in database.fetch(f"{_OPEN} ORDER BY created")]


def done(job_id: UUID) -> tuple[int, int]:
    """(resources looked at, resources changed) so far."""
    seen, changed = database.fetch(_SUMS, (job_id,))[0]
    return int(seen), int(changed)


def cancel(job_id: UUID) -> bool:
    """Ends a job; False where it had ended. What is done stays; its parameters stay incomplete."""
    return bool(database.fetch(_FINISH, (True, False, job_id)))


def fail(job_id: UUID) -> None:
    """Ends a job that an error has stopped."""
    database.fetch(_FINISH, (False, True, job_id))


# --- work


def work(job_id: UUID, *, rest: float = 0.0, progress: Progress = lambda seen, changed: None) -> bool:
    """Works on a job until nothing is left but what others do or have to end first; whether the job has ended.

    After each batch it sleeps `rest` times as long as the batch took. Raises Unavailable.
    """
    while True:
        custom.refresh(now=True)
        job = find(job_id)
        if job is None or job.finished is not None:
            return True
        if job.wait > 0:
            time.sleep(min(job.wait, 0.5))
            continue
        _count(job)
        if not _share(job, rest, progress):
            return False


def _share(job: Job, rest: float, progress: Progress) -> bool:
    """Does what no other process does at this moment; whether that was anything."""
    ranges = [first for (first,) in database.fetch(_OPEN_RANGES, (job.id,))]
    if not ranges:
        return not _waits(job) and _with_lock(job, -1, partial(_finish, job))
    worked = False
    for first in ranges:
        worked |= _with_lock(job, first, partial(_range, job, first, rest, progress))
    return worked


def _count(job: Job) -> None:
    if job.total is None:
        ((total,),) = database.fetch(f"SELECT count(*) FROM resource r WHERE NOT r.deleted AND {job.wanted}")
        database.fetch(_TOTAL, (total, job.id))


def _with_lock(job: Job, part: int, do: Callable[[], object]) -> bool:
    """Does something unless another process does it; whether it was done here."""
    key = ids.hash64(f"reindex/{job.id}/{part}")
    if not database.fetch(_LOCK, (key,))[0][0]:
        return False
    try:
        do()
    finally:
        database.fetch(_UNLOCK, (key,))
    return True


def _range(job: Job, first: int, rest: float, progress: Progress) -> None:
    """One range to its end, or until the job ends."""
    while True:
        begun = time.monotonic()
        found = database.fetch(_RANGE, (job.id, first))
        if not found or _ended(job):
            return
        last, *place = found[0]
        page = store_index.page(job.wanted, first, last, (place[0], place[1], place[2]), BATCH)
        changed = database.retry(lambda page=page, place=place: _store(job, first, place, page))  # type: ignore[misc]
        if changed is None:
            return
        progress(len(page), changed)
        time.sleep(rest * (time.monotonic() - begun))


def _ended(job: Job) -> bool:
    now = find(job.id)
    return now is None or now.finished is not None


def _store(job: Job, first: int, place: Sequence[Any], page: Sequence[store_index.Stored]) -> int | None:
    """Writes what is not right in a page, and how far the range is; None if another process has moved it on."""
    made = [(stored, _rows(job, stored)) for stored in page]
    changes = [change for stored, rows in made if (change := store_index.difference(stored, rows)) is not None]
    behind = page[-1].key if page else tuple(place)
    with database.Transaction() as transaction:
        changed = store_index.apply(transaction, changes)
        saved = (*behind, len(page) < BATCH, len(page), changed, job.id, first, *place)
        if not transaction.send([(_SAVE, saved)])[0]:
            return None
        transaction.commit([] if job.parameters else store_index.places(made))
    return changed


def _rows(job: Job, stored: store_index.Stored) -> Any:
    # The type number decides what is read of a content: one damaged record must not stop all others.
    resource = {"resourceType": TYPE_NAME[stored.type], "id": stored.id, **json.loads(stored.body)}
    if job.parameters:
        return custom_rows.completed(stored.rows, resource, job.base_url)
    return extract.index(resource, job.base_url)


def _finish(job: Job) -> None:
    """Ends a job whose ranges are done, unless something is left."""
    left = f"SELECT EXISTS (SELECT 1 FROM resource r WHERE NOT r.deleted AND {job.wanted})"
    if job.parameters and database.fetch(left)[0][0]:
        database.fetch(_AGAIN, (job.id,))
        return
    statements: list[database.Statement] = [(_READY, (job.id,)), (_FINISH, (False, False, job.id))]
    if job.parameters and job.requested_by != _SECOND_LOOK:
        names = list(job.parameters)
        statements += _making(uuid4(), array(job.types), names, job.base_url, _SECOND_LOOK, _LATER_SECONDS)
    database.batch(statements, atomic=True)


def _waits(job: Job) -> bool:
    """Whether a transaction is open that may hold writes prepared before all knew of the parameters."""
    if not any(name in custom.registry().definitions for name in job.parameters):
        return False
    return bool(database.fetch(_OLDER, (job.id, _PATIENCE_SECONDS))[0][0])


def resource(key: store_index.Key, base_url: str, audit: recorder.Row) -> bool:
    """The rows of one resource, made anew at once; whether they were not right. Nothing is done to what is deleted."""

    def attempt() -> bool:
        stored = store_index.one(key)
        made = [(stored, extract.index(json.loads(stored.body), base_url))] if stored else []
        changes = [change for each, rows in made if (change := store_index.difference(each, rows)) is not None]
        with database.Transaction() as transaction:
            applied = store_index.apply(transaction, changes)
            transaction.commit([*store_index.places(made), (recorder.INSERT_SQL, audit)])
        return applied > 0

    return database.retry(attempt)
