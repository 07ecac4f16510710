"""The limit: the same SQL from a loop over psycopg, with nothing around it.

Two processes keep a connection for each of their threads through the whole run, as gunicorn's workers do.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

import psycopg
from django.db import connection as django_connection

from fhir.store import Current

from .recording import Trips

PROCESSES = 2


class Runner:
    """The processes; `prepare` hands out the work, `go` does it. A context manager."""

    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("fork")
        self.ends: list[Connection] = []
        self.processes = []
        for _number in range(PROCESSES):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, threads), daemon=True)
            process.start()
            theirs.close()
            self.ends.append(ours)
            self.processes.append(process)
        self.used: list[Connection] = []

    def __enter__(self) -> Runner:
        return self

    def prepare(self, work: Sequence[Trips], clients: int, *, atomic: bool) -> None:
        """Deals the work to `clients` threads; returns when all of them are ready to start."""
        hands = [list(work[number::clients]) for number in range(clients)]
        self.used = self.ends[: min(clients, PROCESSES)]
        for number, end in enumerate(self.used):
            end.send((hands[number :: len(self.used)], atomic))
        for end in self.used:
            assert end.recv() == "ready"

    def go(self) -> tuple[float, float]:
        """Wall seconds of all the work, and CPU seconds that Python took for it."""
        start = time.perf_counter()
        for end in self.used:
            end.send("go")
        answers = [end.recv() for end in self.used]
        seconds = time.perf_counter() - start
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return seconds, sum(answers)

    def __exit__(self, *_error: object) -> None:
        for end in self.ends:
            end.send(None)
            end.close()
        for process in self.processes:
            process.join(10)


def _serve(end: Connection, threads: int) -> None:
    connections: list[psycopg.Connection[Any]] = []
    while (job := end.recv()) is not None:
        hands, atomic = job
        while len(connections) < min(threads, len(hands)):
            connections.append(connect())
        end.send("ready")
        assert end.recv() == "go"
        end.send(_work(connections, hands, atomic))
    for connection in connections:
        connection.close()


def _work(connections: Sequence[psycopg.Connection[Any]], hands: Sequence[list[Trips]], atomic: bool) -> Any:
    """CPU seconds used, or the first error."""
    failures: list[Exception] = []

    def loop(connection: psycopg.Connection[Any], hand: list[Trips]) -> None:
        try:
            for trips in hand:
                replay(connection, trips, atomic)
        except Exception as error:  # it is handed to the bench's process, which raises it
            failures.append(RuntimeError(f"{type(error).__name__}: {error}"))

    started = time.process_time()
    workers = [threading.Thread(target=loop, args=pair) for pair in zip(connections[: len(hands)], hands, strict=True)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return failures[0] if failures else time.process_time() - started


def replay(connection: psycopg.Connection[Any], trips: Trips, atomic: bool = False) -> None:
    """The round trips of one recording, one after the other; `atomic` frames them by BEGIN and COMMIT."""
    found: list[Any] = []
    last = len(trips) - 1
    for number, trip in enumerate(trips):
        if len(trip) == 1 and not atomic:
            sql, parameters = trip[0]
            cursor = connection.execute(sql, _next_version(parameters, found))
            found = cursor.fetchall() if cursor.description else []
            assert found or cursor.description is None or not _is_supersede(parameters), "nothing was updated"
            continue
        with connection.pipeline():
            if atomic and number == 0:
                connection.execute("BEGIN")
            cursors = [connection.execute(sql, parameters) for sql, parameters in trip]
            if atomic and number == last:
                connection.execute("COMMIT")
        found = [row for cursor in cursors if cursor.description for row in cursor.fetchall()]


def _is_supersede(parameters: Any) -> bool:
    return isinstance(parameters, dict) and "pv" in parameters


def _next_version(parameters: Any, found: list[Any]) -> Any:
    """The parameters of an update, made to follow the version that the trip before it has found."""
    if not _is_supersede(parameters) or not found:
        return parameters
    current = Current(*found[0])
    before = {"pv": current.version, "pu": current.updated, "pm": current.method, "pp": current.pat, "row": current.row}
    return {**parameters, **before, "v": current.version + 1}


def connect() -> psycopg.Connection[Any]:
    """A session of psycopg alone, set up as Django's are, so that statements are bound and planned in the same way."""
    opened = django_connection.copy()
    opened.connect()
    made: psycopg.Connection[Any] = opened.connection
    return made
