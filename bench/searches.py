"""The queries on every database in turns, through the server and bare: one client, one connection kept alive."""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from django.test import Client

from . import bare, client, environment, measure
from .environment import Cluster, Environment
from .measure import MICROSECONDS, Sample
from .population import Loaded, Say
from .queries import Query
from .recording import Recording, record
from .sampling import Values, samples

BASE = "/fhir/R4"
RECORDED, RECORDING_SECONDS = 20, 1.0  # at most, for one query and one database
SLICE_SECONDS = 0.4  # for one query, one database and one round
LEAST = 3
# What a process asks now and then, whatever it is searching for (fhir.search.custom, fhir.search.statistics).
_UPKEEP = ("custom_parameter", "reindex_job", "sum(version)", "pg_class")
BUSY_CLIENTS = 4
_MANY_PATIENTS = 200  # from here on each query must find something


@dataclass(slots=True)
class Site:
    """A server on a database of so many patients, with what the bare loop needs."""

    loaded: Loaded
    at: Environment
    connection: psycopg.Connection[Any]
    values: list[Values]
    recordings: dict[str, list[Recording]] = field(default_factory=dict)


@dataclass(slots=True)
class Cell:
    """A query on one database. `rows` are entries of each answer, `failure` the first wrong answer.

    `latencies` and `bare_latencies` are seconds of all requests of all rounds. `samples` are the CPU of each round with
    one client, `busy` with BUSY_CLIENTS, of queries that have a budget.
    """

    query: Query
    patients: int
    latencies: list[float] = field(default_factory=list)
    bare_latencies: list[float] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    busy: list[Sample] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    failure: str = ""

    @property
    def p50(self) -> float:
        """Milliseconds through the server."""
        return _median(self.latencies) * 1000

    @property
    def bare(self) -> float:
        """Milliseconds of the same statements from psycopg."""
        return _median(self.bare_latencies) * 1000

    @property
    def web(self) -> float:
        """CPU microseconds of gunicorn a request."""
        return _median([sample.web for sample in self.samples])

    @property
    def postgres(self) -> float:
        """CPU microseconds of PostgreSQL a request."""
        return _median([sample.postgres for sample in self.samples])


def _median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else float("nan")


@contextmanager
def sites(cluster: Cluster, loaded: Sequence[Loaded], queries: Sequence[Query], say: Say) -> Iterator[list[Site]]:
    """A server for each database, with one worker of one thread: there is one client."""
    with ExitStack() as stack:
        made = []
        for one in loaded:
            environment.use(one.database)
            at = stack.enter_context(environment.gunicorn(cluster.pid, WEB_WORKERS="1", WEB_THREADS="1"))
            connection = stack.enter_context(bare.connect())
            site = Site(one, at, connection, samples(one.patients))
            site.recordings = {query.name: _recordings(site, query) for query in queries}
            made.append(site)
            say(f"serving {one.patients:,} patients, SQL recorded")
        yield made


def _recordings(site: Site, query: Query) -> list[Recording]:
    """What the query sends for some of the values; [] where the answer is an error or no SQL is sent."""
    browser = Client(headers={"Authorization": f"Bearer {site.at.token}", "Host": "127.0.0.1"})
    found: list[Recording] = []
    started = time.monotonic()
    for values in site.values[:RECORDED]:
        if found and time.monotonic() - started > RECORDING_SECONDS:
            break
        url = f"{BASE}/{query.url(values)}"
        if browser.get(url).status_code != 200:
            return []
        made = record(lambda url=url: browser.get(url))  # type: ignore[misc]
        made.trips = [trip for trip in made.trips if not any(word in sql for sql, _p in trip for word in _UPKEEP)]
        found.append(made)
    return found if all(made.trips for made in found) else []


def rounds(made: Sequence[Site], queries: Sequence[Query], number: int, most: int, say: Say) -> list[Cell]:
    """All cells. The first round warms up, finds out how often each query can be asked, and is not kept."""
    sizes = [site.loaded.patients for site in made]
    cells = {(query.name, size): Cell(query, size) for query in queries for size in sizes}
    rng = random.Random(number)
    counts = {}
    for turn in range(number + 1):
        for name, group in _groups(queries).items():
            line = [(site, cells[query.name, site.loaded.patients]) for query in group for site in made]
            if turn == 0:
                counts[name] = _warmed_up(line, rng, most)
            else:
                _in_turns(line, rng, counts[name])
                _cpu(line, rng, counts[name])
        say(f"round {turn} of {number}" if turn else "warmed up")
    for cell in cells.values():
        if not cell.failure and not cell.query.empty and not any(cell.rows) and cell.patients >= _MANY_PATIENTS:
            cell.failure = "nothing was found"
    return list(cells.values())


def _groups(queries: Sequence[Query]) -> dict[str, list[Query]]:
    """Each query that is compared with no other one, and with it those that are compared with it."""
    groups: dict[str, list[Query]] = {}
    for query in queries:
        groups.setdefault(query.plain or query.name, []).append(query)
    return groups


Line = Sequence[tuple[Site, Cell]]


def _warmed_up(line: Line, rng: random.Random, most: int) -> int:
    """Asks all of them, twice; how often the slowest fits into SLICE_SECONDS."""
    _in_turns(line, rng, 1)
    slowest = max((cell.latencies[-1] for _site, cell in line if cell.latencies), default=SLICE_SECONDS)
    count = max(LEAST, min(most, int(SLICE_SECONDS / slowest)))
    _in_turns(line, rng, count)
    for _site, cell in line:
        for gathered in (cell.latencies, cell.bare_latencies, cell.rows):
            gathered.clear()
    return count


def _in_turns(line: Line, rng: random.Random, count: int) -> None:
    """All cells are asked once, server and bare, before they are asked again: what slows the machine slows all."""
    with ExitStack() as stack:
        sessions = [stack.enter_context(client.Session(site.at.port)) for site, _cell in line]
        for _number in range(count):
            for session, (site, cell) in zip(sessions, line, strict=True):
                if cell.failure:
                    continue
                bare_first = rng.random() < 0.5  # whoever comes second finds the pages in memory
                if bare_first:
                    _bare(site, cell, rng)
                try:
                    cell.latencies.append(session.ask(_request(site, cell, rng.choice(site.values))))
                except (AssertionError, TimeoutError, ConnectionError) as error:
                    cell.failure = str(error)[:200] or type(error).__name__
                    continue
                if not bare_first:
                    _bare(site, cell, rng)


def _cpu(line: Line, rng: random.Random, count: int) -> None:
    """The CPU of a request, of one server after the other."""
    for site, cell in line:
        if not cell.failure:
            try:
                cell.samples.append(_through_server(site, cell, rng, count))
                if cell.query.budget:
                    cell.busy.append(_through_server(site, cell, rng, count * BUSY_CLIENTS, BUSY_CLIENTS))
            except (AssertionError, TimeoutError, ConnectionError) as error:
                cell.failure = str(error)[:200] or type(error).__name__


def _through_server(site: Site, cell: Cell, rng: random.Random, count: int, clients: int = 1) -> Sample:
    requests = [_request(site, cell, rng.choice(site.values)) for _number in range(count)]
    return measure.through_server(site.at, requests, clients)


def _request(site: Site, cell: Cell, values: Values) -> client.Request:
    query = cell.query

    def check(response: client.Response) -> None:
        assert response.status == 200, f"{response.status}: {response.body[:150]!r}"
        answer = json.loads(response.body)
        assert answer["resourceType"] in ("Bundle", "CapabilityStatement", "Patient"), answer["resourceType"]
        entries = answer.get("entry", [])
        cell.rows.append(len(entries) if answer["resourceType"] == "Bundle" else 1)
        if query.chart:
            wanted = f"Patient/{values['patient']}"
            strangers = [e["fullUrl"] for e in entries if _is_match(e) and not _is_of(e, wanted)]
            assert not strangers, f"of another patient: {strangers[0]}"

    return client.Request(client.render("GET", f"{BASE}/{query.url(values)}", site.at.token), check)


def _is_match(entry: dict[str, Any]) -> bool:
    return bool(entry.get("search", {}).get("mode") == "match")


def _is_of(entry: dict[str, Any], patient: str) -> bool:
    resource = entry["resource"]
    if resource["resourceType"] in ("Patient", "Practitioner", "Organization", "Location", "PractitionerRole"):
        return resource["resourceType"] != "Patient" or f"Patient/{resource['id']}" == patient
    return f'"reference": "{patient}"' in json.dumps(resource)


def _bare(site: Site, cell: Cell, rng: random.Random) -> None:
    """One of the recorded sets of statements, if the query sends any."""
    recordings = site.recordings[cell.query.name]
    if recordings:
        trips = rng.choice(recordings).copy()
        started = time.perf_counter()
        bare.replay(site.connection, trips)
        cell.bare_latencies.append(time.perf_counter() - started)


def milliseconds(samples: Sequence[Sample]) -> float:
    """CPU of gunicorn and PostgreSQL a request, the median of the rounds."""
    return _median([sample.web + sample.postgres for sample in samples]) / MICROSECONDS * 1000
