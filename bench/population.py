"""What the search part is about: databases of many charts, loaded by the same code that loads any resources.

A chart is a generated one (fhir.charts), made longer: its observations again, taken some days earlier, under ids of
their own. Each has RESOURCES resources or a few more, the same ones in every run. A larger database begins as a copy of
the one before it.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import resource as operating_system
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import chain
from multiprocessing.sharedctypes import Synchronized
from typing import Any

from fhir import charts, ids
from fhir.interactions import bulk
from fhir.management import maintenance
from fhir.management.actor import command_context

from . import cpu, environment, storage
from .environment import Cluster

SEED = 2024
RESOURCES = 250
PROCESSES = 2
DAYS = 9
MICROSECONDS = 1e6
Say = Callable[[str], None]
Resource = dict[str, Any]


def long_chart(index: int) -> list[Resource]:
    """All resources of patient number `index`, the Patient first."""
    made = charts.chart(SEED, index)
    return [*made, *_earlier_observations(made, RESOURCES - len(made))]


def _earlier_observations(made: Sequence[Resource], count: int) -> Iterator[Resource]:
    observed = [r for r in made if r["resourceType"] == "Observation" and "effectiveDateTime" in r]
    for number in range(count):
        turn, place = divmod(number, len(observed))
        yield _earlier(observed[place], turn + 1)


def _earlier(observation: Resource, turn: int) -> Resource:
    """The observation as if it had been made `turn` × DAYS before, in the same bucket."""
    at = datetime.fromisoformat(observation["effectiveDateTime"]) - timedelta(days=turn * DAYS)
    noise = hashlib.blake2b(f"{observation['id']}/{turn}".encode(), digest_size=10).digest()
    new_id = ids.new_id(ids.bucket_of(observation["id"]), at=at, entropy=noise)
    issued = at + timedelta(minutes=10)
    return {**observation, "id": new_id, "effectiveDateTime": at.isoformat(), "issued": issued.isoformat()}


@dataclass(frozen=True, slots=True)
class Loaded:
    """A database and what it took to load its last part: seconds of wall time, and of CPU, for `added` resources."""

    patients: int
    resources: int
    added: int
    seconds: float
    python: float
    postgres: float
    settling: float
    bytes: int

    @property
    def database(self) -> str:
        """Its name."""
        return name_of(self.patients)


def name_of(patients: int) -> str:
    """The database with that many patients."""
    return f"patients_{patients}"


def databases(cluster: Cluster, sizes: Sequence[int], say: Say) -> list[Loaded]:
    """The databases of these sizes, smallest first: kept ones as they are, the others made."""
    made: list[Loaded] = []
    for patients in sorted(sizes):
        before = made[-1] if made else None
        made.append(_kept(cluster, patients) or _make(cluster, patients, before, say))
        say(f"{patients:,} patients, {made[-1].resources:,} resources, {made[-1].bytes / 2**30:.2f} GB")
    return made


def _kept(cluster: Cluster, patients: int) -> Loaded | None:
    text = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = {name}"
    rows = cluster.command(text, name=name_of(patients))
    if not rows or not rows[0][0]:
        return None
    about = json.loads(rows[0][0])
    return Loaded(**about["loaded"]) if (about["seed"], about["length"]) == (SEED, RESOURCES) else None


def _make(cluster: Cluster, patients: int, before: Loaded | None, say: Say) -> Loaded:
    from django.core.management import call_command

    name = name_of(patients)
    environment.use("postgres")
    cluster.command("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)
    if before is None:
        cluster.command("CREATE DATABASE {} OWNER {}", name, environment.OWNER)
    else:
        copy = "CREATE DATABASE {} OWNER {} TEMPLATE {} STRATEGY FILE_COPY"
        cluster.command(copy, name, environment.OWNER, before.database)
    environment.use(name)
    call_command("migrate", verbosity=0)
    first = before.patients if before else 0
    loaded = _load(cluster, first, patients, say)
    about = {"seed": SEED, "length": RESOURCES, "loaded": asdict(loaded)}
    cluster.command("COMMENT ON DATABASE {} IS {about}", name, about=json.dumps(about))
    return loaded


def _load(cluster: Cluster, first: int, last: int, say: Say) -> Loaded:
    context = command_context("bench")
    shared = bulk.store_resources(charts.facility(SEED), context).stored
    (postgres,), ended, python = cpu.seconds(cluster.pid), cpu.reaped(cluster.pid), _children()
    started = time.monotonic()
    added = _in_processes(first, last, say)
    seconds = time.monotonic() - started
    python = _children() - python
    # The sessions of the processes that load have ended with them.
    used = cpu.between(postgres, *cpu.seconds(cluster.pid)) + cpu.reaped(cluster.pid) - ended
    say(f"{added:,} resources in {seconds:.0f} s, {added / seconds:,.0f} per s; vacuum and analyze")
    started = time.monotonic()
    maintenance.settle()
    cluster.command("CHECKPOINT")
    settling = time.monotonic() - started
    size = cluster.command("SELECT pg_database_size({name})", name=name_of(last))[0][0]
    resources = storage.resource_count()
    return Loaded(last, resources, added + shared, seconds, python, used, settling, int(size))


def _children() -> float:
    used = operating_system.getrusage(operating_system.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _in_processes(first: int, last: int, say: Say) -> int:
    """Loads the charts `first` to `last` - 1; how many resources. Raises RuntimeError if a process fails."""
    from django.db import connections

    connections.close_all()
    context = multiprocessing.get_context("fork")
    counters = [context.Value("q", 0) for _number in range(PROCESSES)]
    shares = [range(first + number, last, PROCESSES) for number in range(PROCESSES)]
    processes = [context.Process(target=_store, args=pair) for pair in zip(shares, counters, strict=True)]
    for process in processes:
        process.start()
    started = told = time.monotonic()
    while any(process.is_alive() for process in processes):
        processes[0].join(0.2)
        processes[-1].join(0.2)
        if time.monotonic() - told > 10:
            told = time.monotonic()
            done = sum(counter.value for counter in counters)
            say(f"  {done:,} resources, {done / (told - started):,.0f} per s")
    if any(process.exitcode for process in processes):
        raise RuntimeError("the charts could not be loaded")
    return sum(counter.value for counter in counters)


def _store(indexes: range, counter: Synchronized[int]) -> None:
    """Stores these charts; the audit rows and the checks are those of any bulk load."""
    resources = chain.from_iterable(long_chart(index) for index in indexes)

    def progress(count: int) -> None:
        counter.value += count

    report = bulk.store_resources(resources, command_context("bench"), progress=progress)
    assert not report.refused, report.refused[0]
