"""Reindexing: what is not right becomes right, nothing else changes, whatever goes on beside it (docs/reindex.md)."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from contextlib import suppress
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection

from audit.models import AuditRecord
from clinical_records.testing import ApiClient, database_environment
from fhir import database as trips
from fhir import ids, json, reindex, store, store_index
from fhir.definitions.structure import TYPE_NUMBER
from fhir.management.actor import command_context
from fhir.models import CodeValueRow, RangeRow, ReindexRange, Resource, StringRow
from fhir.search import custom, extract

from .custom_parameters import definition, found, made, somebody_waits

PATIENT, OBSERVATION = TYPE_NUMBER["Patient"], TYPE_NUMBER["Observation"]
ROWS = (RangeRow, StringRow, CodeValueRow)


def ana(**elements: Any) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "identifier": [{"system": "urn:reindex", "value": uuid4().hex}],
        "name": [{"family": "Muñoz", "given": ["Ana"]}],
        "birthDate": "1980-02-29",
        **elements,
    }


def observation(subject: str) -> dict[str, Any]:
    component = {"code": {"coding": [{"code": "a"}]}, "valueQuantity": {"value": 7}}
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "urn:c", "code": "b", "display": "Beats"}]},
        "subject": {"reference": f"Patient/{subject}"},
        "effectiveDateTime": "2024-03-01T10:00:00Z",
        "valueQuantity": {"value": 72, "unit": "/min"},
        "component": [component],
    }


def rows_of(resource_id: str) -> Any:
    """All index rows of a resource, comparable."""
    terms = Resource.objects.filter(id=resource_id).values_list("terms", "present", "sdate")
    return [sorted(terms), *(sorted(_row(row) for row in model.objects.filter(id=resource_id)) for model in ROWS)]


def _row(row: Any) -> tuple[str, ...]:
    return tuple(str(getattr(row, f.attname)) for f in row._meta.fields if f.attname not in ("n", "pk"))


def damage(resource_id: str) -> None:
    """Index rows as an older version of the server might have left them."""
    for model in ROWS:
        model.objects.filter(id=resource_id).delete()
    Resource.objects.filter(id=resource_id).update(terms=[1, 2, 3], present=0, sdate=0.0)


def run(**options: Any) -> str:
    said = StringIO()
    call_command("reindex", stdout=said, stderr=StringIO(), verbosity=0, **options)
    return said.getvalue()


def job_of(*types: str, parameters: tuple[str, ...] = ()) -> Any:
    context = command_context("test")
    audit = context.audit("operation", bucket=None, status=202, at=store.now(), query="$reindex")
    return reindex.begin(types, parameters, base_url=context.base_url, requested_by="test", audit=audit)


# --- what it does


def test_sound_rows_are_left_alone(admin: ApiClient) -> None:
    subject = made(admin, ana())
    made(admin, observation(subject))
    run(all=True)
    assert "changed: 0." in run(all=True) or "cambiados: 0." in run(all=True)


def test_damaged_rows_are_repaired_and_the_versions_stay(admin: ApiClient) -> None:
    subject = made(admin, ana())
    measured = made(admin, observation(subject))
    before = {name: (rows_of(name), admin.get(path).content) for name, path in
              ((subject, f"Patient/{subject}"), (measured, f"Observation/{measured}"))}  # fmt: skip
    kept = ("version", "updated", "method", "pat")
    stamps = list(Resource.objects.filter(id__in=before).order_by("id").values_list(*kept))
    damage(subject)
    damage(measured)
    run(type=["Observation"])
    assert rows_of(measured) == before[measured][0] and rows_of(subject) != before[subject][0]
    run(all=True)
    assert rows_of(subject) == before[subject][0]
    assert admin.get(f"Patient/{subject}").content == before[subject][1]
    assert admin.get(f"Observation/{measured}").content == before[measured][1]
    assert list(Resource.objects.filter(id__in=before).order_by("id").values_list(*kept)) == stamps


def test_rows_of_parameters_that_are_gone_vanish(admin: ApiClient) -> None:
    one = made(admin, ana())
    before = rows_of(one)
    name = made(admin, definition(expression="Patient.name.family"))
    run()
    assert rows_of(one) != before
    admin.delete(f"SearchParameter/{name}")
    run(type=["Patient"])
    assert rows_of(one) == before


def test_it_is_one_operation_in_the_audit(admin: ApiClient) -> None:
    made(admin, ana())
    before = set(AuditRecord.objects.values_list("id", flat=True))
    run(type=["Patient"])
    (record,) = AuditRecord.objects.exclude(id__in=before)
    assert (record.username, record.query) == ("manage.py reindex", "$reindex?Patient")


def test_the_command_refuses_what_it_does_not_know(admin: ApiClient) -> None:
    with pytest.raises(CommandError, match="Alien"):
        run(type=["Alien"])
    with pytest.raises(CommandError, match="nothing-of-it"):
        run(parameter=["nothing-of-it"])


def test_one_parameter(admin: ApiClient) -> None:
    first, second = definition(expression="Patient.name.family"), definition(expression="Patient.name.given")
    one = made(admin, ana())
    made(admin, first)
    made(admin, second)
    run(parameter=[second["code"]])
    assert found(admin, f"Patient?{second['code']}=ana&_id={one}") == ([one], [])
    assert found(admin, f"Patient?{first['code']}=munoz&_id={one}")[1]
    run()
    assert found(admin, f"Patient?{first['code']}=munoz&_id={one}") == ([one], [])


# --- stopped and shared


class Killed(Exception):
    """The end of a process, as it looks from inside."""


def test_a_stopped_run_goes_on_where_it_was(admin: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reindex, "BATCH", 5)
    monkeypatch.setattr(reindex, "RANGES", 2)
    for _number in range(30):
        made(admin, ana())
    job = job_of("Patient")
    pages: list[int] = []

    def stop(seen: int, changed: int) -> None:
        pages.append(seen)
        if len(pages) == 3:
            raise Killed

    with pytest.raises(Killed):
        reindex.work(job, progress=stop)
    assert reindex.done(job)[0] == sum(pages)
    assert job_of("Patient") == job  # the same question is the same job
    assert reindex.work(job)
    total = Resource.objects.filter(type=PATIENT, deleted=False).count()
    assert reindex.done(job)[0] == total  # each once
    assert job_of("Patient") != job


@pytest.mark.parametrize("processes", [2])
def test_killed_processes_in_parallel(admin: ApiClient, processes: int) -> None:
    """Several commands share a job; one is killed, the others do what it had begun."""
    names = [made(admin, ana()) for _number in range(150)]
    before = [rows_of(name) for name in names]
    for name in names:
        damage(name)

    def start() -> subprocess.Popen[bytes]:
        environment = {**os.environ, **database_environment(), "DEMO_MODE": "1"}
        command = [sys.executable, "manage.py", "reindex", "--type", "Patient", "-v0"]
        return subprocess.Popen(command, cwd=settings.BASE_DIR, env=environment, stdout=subprocess.DEVNULL)

    running = [start() for _number in range(processes)]
    while not ReindexRange.objects.filter(finished=False, job__in=_open_jobs()).exists():
        time.sleep(0.01)
    running[0].kill()
    assert running[0].wait() in (0, -9)
    assert all(process.wait() == 0 for process in running[1:])
    assert [rows_of(name) for name in names] == before


def _open_jobs() -> list[Any]:
    return [job.id for job in reindex.open_jobs()]


def test_a_cancelled_job_ends_and_is_not_begun_again(admin: ApiClient) -> None:
    made(admin, ana())
    made(admin, definition())

    def begin(**options: bool) -> Any:
        audit = command_context("test").audit("operation", bucket=None, status=202, at=store.now())
        return reindex.begin_for_new("test", audit, **options)

    job = begin()
    assert job is not None and reindex.cancel(job) and not reindex.cancel(job)
    assert reindex.work(job) and reindex.done(job) == (0, 0)
    assert begin() is None
    assert begin(again=True) is not None
    run()
    assert begin(again=True) is None


# --- beside writes


def stored_as_read(name: str) -> store_index.Stored:
    stored = store_index.one((ids.bucket_of(name), PATIENT, name))
    assert stored is not None
    return stored


def change_of(stored: store_index.Stored) -> store_index.Change:
    change = store_index.difference(stored, extract.index(json.loads(stored.body), ""))
    assert change is not None
    return change


def test_what_was_written_meanwhile_is_left_to_its_writer(admin: ApiClient) -> None:
    name = made(admin, ana())
    damage(name)
    change = change_of(stored_as_read(name))
    assert admin.put(f"Patient/{name}", ana(id=name, name=[{"family": "Rojas"}])).status_code == 200
    written = rows_of(name)
    with trips.Transaction() as transaction:
        assert store_index.apply(transaction, [change]) == 0
        transaction.commit()
    assert rows_of(name) == written


@pytest.mark.parametrize("writes", ["update", "delete"])
def test_a_write_that_waits_for_the_row_leaves_none_of_the_old_rows(
    admin: ApiClient, database: None, writes: str
) -> None:
    """Its statement began before the new rows came: its snapshot does not hold them."""
    name = made(admin, ana())
    damage(name)
    change = change_of(stored_as_read(name))
    statuses: list[int] = []

    def write() -> None:
        bare = {"resourceType": "Patient", "id": name, "active": True}
        client = ApiClient(admin.access_token)
        response = client.put(f"Patient/{name}", bare) if writes == "update" else client.delete(f"Patient/{name}")
        statuses.append(response.status_code)
        connection.close()

    with trips.Transaction() as transaction:
        assert store_index.apply(transaction, [change]) == 1
        writer = threading.Thread(target=write)
        writer.start()
        _wait_for_a_waiting_write()
        transaction.commit()
    writer.join()
    assert statuses == [200 if writes == "update" else 204]
    assert not any(model.objects.filter(id=name).exists() for model in ROWS)
    assert admin.put(f"Patient/{name}", ana(id=name)).status_code in (200, 201)


def _wait_for_a_waiting_write() -> None:
    until = time.monotonic() + 10
    while not somebody_waits():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_writes_beside_it_end_with_sound_rows(admin: ApiClient) -> None:
    seed = 7
    names = [made(admin, ana()) for _number in range(12)]
    ending = threading.Event()
    problems: list[str] = []

    def write(number: int) -> None:
        dice, client = random.Random(seed + number), ApiClient(admin.access_token)
        while not ending.is_set():
            name = dice.choice(names)
            body = ana(id=name, name=[{"family": dice.choice(["A", "B"]), "given": ["C"] * dice.randrange(1, 4)}])
            if dice.random() < 0.3:
                body = {"resourceType": "Patient", "id": name, "gender": "female"}
            answer = client.delete(f"Patient/{name}") if dice.random() < 0.2 else client.put(f"Patient/{name}", body)
            if answer.status_code not in (200, 201, 204, 409):
                problems.append(answer.content.decode())
        connection.close()

    writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for writer in writers:
        writer.start()
    until = time.monotonic() + 4
    while time.monotonic() < until:
        for name in names:
            with suppress(AssertionError, trips.Collision):
                stored = stored_as_read(name)
                stored.rows.strings.append((1, "x", "x"))  # so that there is always something to write
                with trips.Transaction() as transaction:
                    store_index.apply(transaction, [change_of(stored)])
                    transaction.commit()
    ending.set()
    for writer in writers:
        writer.join()
    assert problems == []
    for name in names:
        stored = store_index.one((ids.bucket_of(name), PATIENT, name))
        if stored is None:
            assert not any(model.objects.filter(id=name).exists() for model in ROWS)
        else:
            assert store_index.difference(stored, extract.index(json.loads(stored.body), "")) is None


def test_a_writer_that_did_not_know_the_parameter_is_made_good(
    admin: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = definition(expression="Patient.name.family")
    made(admin, described)
    context = command_context("test")
    job = reindex.begin_for_new("test", context.audit("operation", bucket=None, status=202, at=store.now()))
    late: list[str] = []

    def ignorant(seen: int, changed: int) -> None:
        if not late:
            with monkeypatch.context() as patched:
                patched.setattr(extract, "additions", {})
                patched.setattr(custom, "refresh", lambda *args, **more: False)
                late.append(made(admin, ana()))

    assert job is not None and reindex.work(job, progress=ignorant)
    assert found(admin, f"Patient?{described['code']}=munoz&_id={late[0]}") == ([late[0]], [])


def test_what_a_stopped_writer_stores_at_last_is_found_by_a_second_look(
    admin: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reindex, "_LATER_SECONDS", 0.0)
    described = definition(expression="Patient.name.family")
    made(admin, described)
    assert reindex.work(_begun_for_new())
    with monkeypatch.context() as patched:
        patched.setattr(extract, "additions", {})
        patched.setattr(custom, "refresh", lambda *args, **more: False)
        late = made(admin, ana())
    query = f"Patient?{described['code']}=munoz&_id={late}"
    assert found(admin, query)[0] == []
    (second,) = reindex.open_jobs()
    assert reindex.work(second.id) and not reindex.open_jobs()
    assert found(admin, query) == ([late], [])


def _begun_for_new() -> Any:
    audit = command_context("test").audit("operation", bucket=None, status=202, at=store.now(), query="$reindex")
    return reindex.begin_for_new("test", audit)


def test_open_transactions_that_may_hold_older_writes_are_waited_for(admin: ApiClient) -> None:
    made(admin, ana())
    begun, ending = threading.Event(), threading.Event()

    def hold() -> None:
        with trips.Transaction() as transaction:
            transaction.send([("SELECT 1", ())])
            begun.set()
            ending.wait()
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    begun.wait()
    described = definition(expression="Patient.name.family")
    made(admin, described)
    audit = command_context("test").audit("operation", bucket=None, status=202, at=store.now())
    job = reindex.begin_for_new("test", audit)
    print(
        trips.fetch("SELECT pid, datname, backend_type, xact_start, state, query FROM pg_stat_activity"),
        trips.fetch("select created, not_before, now() from reindex_job where id=%s", (job,)),
        trips.fetch(reindex._OLDER, (job, 60.0)),
        custom.registry().definitions.keys(),
        reindex.find(job).parameters,
    )
    assert job is not None and not reindex.work(job)
    assert found(admin, f"Patient?{described['code']}=x")[1]
    ending.set()
    holder.join()
    assert reindex.work(job)
    assert found(admin, f"Patient?{described['code']}=x") == ([], [])


def test_round_trips_of_a_page_do_not_grow_with_it(admin: ApiClient) -> None:
    """On Citus a statement goes to each bucket: more statements, in the same round trip."""
    for _number in range(3):
        made(admin, ana())
    with trips.trips() as few:
        store_index.page(f"r.type = {PATIENT}", 0, ids.BUCKETS, (-1, 0, ""), 2)
    with trips.trips() as many:
        store_index.page(f"r.type = {PATIENT}", 0, ids.BUCKETS, (-1, 0, ""), 200)
    assert few == many == [2]
