"""What Citus sends to its nodes: which commands, and which of them are tasks, commands that name a shard.

Citus tells the client of each command as a notice (citus.log_remote_commands, and citus.log_local_commands for what the
coordinator does with shards of its own), so that nothing here is derived from what we believe of its planner.
https://docs.citusdata.com/en/stable/develop/api_guc.html#citus-log-remote-commands-boolean
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from django.db import connection

from fhir import database, local_shards
from fhir.search import custom, statistics

from .shapes import Count

_SHARD = re.compile(r"_(\d{6,})\b")
_NOTICES = ("issuing ", "executing the command locally: ")
_SETTINGS = ("client_min_messages", "citus.log_remote_commands", "citus.log_local_commands")
_PLACES = "SELECT shardid::text, shardminvalue FROM pg_dist_shard"
_COUNT = "SELECT shard_count FROM citus_tables WHERE table_name = 'resource'::regclass"


@dataclass(slots=True)
class Tasks:
    """What was sent in a block: all commands, and which shards they name."""

    commands: list[str] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)

    @property
    def tasks(self) -> list[str]:
        """The commands that name a shard, in order."""
        return [command for command in self.commands if self._named(command)]

    def shards(self) -> set[str]:
        """The shards that are named, each as the number of its place in the hash space."""
        return {place for command in self.commands for place in self._named(command)}

    def _named(self, command: str) -> list[str]:
        return [self.places[number] for number in _SHARD.findall(command) if number in self.places]


def shard_count() -> int:
    """The number of shards of the FHIR tables."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNT)
        return int(cursor.fetchone()[0])


@contextmanager
def sent() -> Iterator[Tasks]:
    """The commands of the block; of what goes past Citus to a shard of its own node, the statements themselves."""
    with connection.cursor() as cursor:
        cursor.execute(_PLACES)
        tasks = Tasks(places=dict(cursor.fetchall()))

    def note(diagnostic: Any) -> None:
        text = diagnostic.message_primary or ""
        if text.startswith(_NOTICES):
            tasks.commands.append(text)

    def held(statements: Sequence[database.Statement], *, begun: bool) -> Any:
        tasks.commands.extend(text for text, _parameters in statements if isinstance(text, local_shards.ShardSQL))
        return hold(statements, begun=begun)

    raw, hold = connection.connection, local_shards.held
    for name, value in zip(_SETTINGS, ("log", "on", "on"), strict=True):
        raw.execute(f"SET {name} = {value}")
    raw.add_notice_handler(note)
    try:
        with mock.patch.object(local_shards, "held", held):
            yield tasks
    finally:
        raw.remove_notice_handler(note)
        for name in _SETTINGS:
            raw.execute(f"RESET {name}")


@contextmanager
def undisturbed() -> Iterator[None]:
    """Without what a process asks now and then, whatever it serves (fhir.search.custom, fhir.search.statistics)."""
    custom.refresh(now=True)
    with (
        mock.patch.object(custom, "CHECK_SECONDS", 3600.0),
        mock.patch.object(custom, "_watched_until", 0.0),
    ):
        custom.refresh(now=True)
        statistics.current()
        yield


def count(ask: Callable[[], Any], *, repeatable: bool) -> Count:
    """What `ask`, an interaction, sends: asked with its statements one by one, so that each command belongs to one.

    A `repeatable` one is asked as it is too; AssertionError if the two differ in their tasks.
    """
    with sent() as single, _one_by_one(single) as marks:
        ask()
    edges = [0, *(mark for trip in marks for mark in trip)]
    spans = iter(zip(edges, edges[1:], strict=False))
    trips = tuple(tuple(_tasks_between(single, *next(spans)) for _mark in trip) for trip in marks)
    if repeatable:
        with sent() as whole:
            ask()
        total = sum(map(sum, trips))
        assert total == len(whole.tasks), f"{len(whole.tasks)} tasks, and {total} one by one"
    return Count(trips, len(single.shards()), shard_count(), len(single.commands))


def _tasks_between(found: Tasks, first: int, last: int) -> int:
    return len(Tasks(found.commands[first:last], found.places).tasks)


_FRAME = ("BEGIN", "COMMIT")


@contextmanager
def _one_by_one(tasks: Tasks) -> Iterator[list[list[int]]]:
    """For each round trip and each of its statements, how many commands had been sent when it was over.

    The frame of a transaction is no statement of its own: what BEGIN and COMMIT send belongs to their neighbours.
    """
    marks: list[list[int]] = []
    fetch, send = database.fetch, database._send

    def marked_fetch(sql: str, parameters: Any = ()) -> list[database.Row]:
        if isinstance(sql, local_shards.ShardSQL):
            return fetch(sql, parameters)  # sends, and that is marked
        rows = fetch(sql, parameters)
        marks.append([len(tasks.commands)])
        return rows

    def marked_send(raw: Any, statements: Sequence[database.Statement]) -> list[list[database.Row]]:
        rows, trip = [], []
        for statement in statements:
            rows += send(raw, [statement])
            if statement[0] not in _FRAME:
                trip.append(len(tasks.commands))
            elif trip:
                trip[-1] = len(tasks.commands)
        if trip:
            marks.append(trip)
        return rows

    with mock.patch.object(database, "fetch", marked_fetch), mock.patch.object(database, "_send", marked_send):
        yield marks
