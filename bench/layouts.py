"""What each question costs on each layout of the database: all of them are asked in turns, over HTTP."""

from __future__ import annotations

import multiprocessing
import os
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from fhir import json

from . import client, cpu, layout_process
from .layout_process import Facts, Served
from .shapes import Hand, Question, Shape

Say = Callable[[str], None]
MICROSECONDS = 1e6
CLIENTS = 8
SLICE_SECONDS = 0.2  # for one shape, one layout and one round, with one client; and again with CLIENTS
LEAST, MOST = 3, 40


@dataclass(frozen=True, slots=True)
class Server:
    """A layout to be measured: `url` names a database of the server, beside which a new one is made."""

    name: str
    url: str
    shard_count: int = 8


class Layout:
    """A layout with its process. `facts` after `prepare`, `served` after `serve`."""

    def __init__(self, server: Server) -> None:
        self.name, self.server = server.name, server
        context = multiprocessing.get_context("spawn")
        self.process = ProcessPoolExecutor(1, mp_context=context)
        self.facts: Facts
        self.served: Served

    def start(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Begins one of layout_process's functions there."""
        return self.process.submit(function, *arguments)

    def ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What it gives."""
        return self.start(function, *arguments).result()

    def close(self) -> None:
        """Ends the server, drops the database, ends the process."""
        self.ask(layout_process.close)
        self.process.shutdown()


@contextmanager
def prepared(servers: Sequence[Server], patients: int, say: Say) -> Iterator[list[Layout]]:
    """The layouts with the charts loaded, all at the same time."""
    with ExitStack() as stack:
        layouts = []
        for server in servers:
            layouts.append(Layout(server))
            stack.callback(layouts[-1].close)
        jobs = [
            layout.start(layout_process.prepare, layout.server.url, _database(n), layout.server.shard_count, patients)
            for n, layout in enumerate(layouts)
        ]
        for layout, job in zip(layouts, jobs, strict=True):
            layout.facts = job.result()
            say(f"{layout.name}: {layout.facts.resources:,} resources, {layout.facts.seconds:.0f} s")
        yield layouts


def _database(number: int) -> str:
    return f"bench_layouts_{os.getpid()}_{number}"


@dataclass(slots=True)
class Cell:
    """A shape on a layout. `latencies` in seconds with one client, `busy` with CLIENTS, a list for each round.

    `rates` are requests a second with CLIENTS; `web` and `postgres` the CPU microseconds of one of those requests.
    """

    shape: Shape
    layout: str
    latencies: list[list[float]] = field(default_factory=list)
    busy: list[list[float]] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    web: list[float] = field(default_factory=list)
    postgres: list[float] = field(default_factory=list)
    errors: int = 0
    failure: str = ""

    @property
    def p50(self) -> float:
        """Milliseconds with one client: the median of the rounds' medians."""
        return median([statistics.median(round_) for round_ in self.latencies if round_]) * 1000

    @property
    def busy_p50(self) -> float:
        """The same with CLIENTS."""
        return median([statistics.median(round_) for round_ in self.busy if round_]) * 1000

    def failed(self, why: str) -> None:
        """Counts an error, and keeps the first one's text."""
        self.errors += 1
        self.failure = self.failure or why


def median(values: Sequence[float]) -> float:
    """NaN for none."""
    return statistics.median(values) if values else float("nan")


@dataclass(slots=True)
class Answer:
    """What a request gave, as far as layouts must agree on it: the number of entries, the total."""

    seen: list[tuple[int, int | None]] = field(default_factory=list)


def _request(question: Question, layout: Layout, cell: Cell, answer: Answer | None = None) -> client.Request:
    def check(response: client.Response) -> None:
        if response.status not in cell.shape.statuses:
            cell.failed(f"{response.status}: {response.body[:150]!r}")
        elif answer is not None:
            bundle = json.loads(response.body) if response.body else {}
            answer.seen.append((len(bundle.get("entry", ())), bundle.get("total")))

    token = layout.served.patient_token if question.as_patient else layout.served.token
    body = None if question.body is None else json.dumps(question.body)
    headers = question.headers if body is None else {"Content-Type": question.content_type, **question.headers}
    return client.Request(client.render(question.method, question.url, token, body, **headers), check)


Cells = dict[tuple[str, str], Cell]


def measure(layouts: Sequence[Layout], asked: Sequence[Shape], patients: int, rounds: int, say: Say) -> Cells:
    """All cells; the first round warms up, finds out how often each shape can be asked, and is not kept."""
    cells = {(shape.name, layout.name): Cell(shape, layout.name) for shape in asked for layout in layouts}
    hand = Hand(patients)
    counts: dict[str, int] = {}
    for turn in range(rounds + 1):
        for shape in asked:
            line = [(layout, cells[shape.name, layout.name]) for layout in layouts]
            _in_turns(line, shape, hand, counts.get(shape.name, LEAST))
            counts.setdefault(shape.name, _fitting(line))
            _with_clients(line, shape, hand, counts[shape.name], turn)
        if turn == 0:
            cells = {key: Cell(cell.shape, cell.layout) for key, cell in cells.items()}
        say(f"round {turn} of {rounds}" if turn else "warmed up")
    return cells


def _fitting(line: Sequence[tuple[Layout, Cell]]) -> int:
    """How often the slowest layout can be asked in SLICE_SECONDS."""
    slowest = max((min(cell.latencies[-1]) for _layout, cell in line if cell.latencies[-1]), default=SLICE_SECONDS)
    return max(LEAST, min(MOST, int(SLICE_SECONDS / slowest)))


def _in_turns(line: Sequence[tuple[Layout, Cell]], shape: Shape, hand: Hand, count: int) -> None:
    """One client asks all layouts the same before it asks again: what slows the machine slows all."""
    for _layout, cell in line:
        cell.latencies.append([])
    with ExitStack() as stack:
        sessions = [stack.enter_context(client.Session(layout.served.port)) for layout, _cell in line]
        for number in range(count):
            question = shape.ask(hand)
            answers = []
            for place in random.Random(number).sample(range(len(line)), len(line)):
                layout, cell = line[place]
                answer = Answer()
                errors = cell.errors
                seconds = sessions[place].ask(_request(question, layout, cell, answer))
                if cell.errors == errors:
                    cell.latencies[-1].append(seconds)
                answers.append((cell, answer.seen))
            _agreed(question, answers)


def _agreed(question: Question, answers: Sequence[tuple[Cell, list[tuple[int, int | None]]]]) -> None:
    """A layout that answers otherwise than the others is an error, not a figure."""
    seen = [answer for _cell, answer in answers if answer]
    for cell, answer in answers:
        if answer and answer != seen[0]:
            cell.failed(f"{question.method} {question.path}: {answer} entries and total, {seen[0]} elsewhere")


def _with_clients(line: Sequence[tuple[Layout, Cell]], shape: Shape, hand: Hand, count: int, turn: int) -> None:
    """CLIENTS at once, one layout after the other, each first in some round; with the CPU of its processes."""
    questions = [shape.ask(hand) for _number in range(max(2 * CLIENTS, count * 2))]
    for place in range(len(line)):
        layout, cell = line[(place + turn) % len(line)]
        requests = [_request(question, layout, cell) for question in questions]
        roots = (layout.served.gunicorn_pid, *layout.served.postgres_pids)
        web, *postgres = cpu.seconds(*roots)
        ended = sum(map(cpu.reaped, roots[1:]))
        result = client.run(layout.served.port, requests, CLIENTS)
        web_after, *postgres_after = cpu.seconds(*roots)
        used = sum(map(cpu.between, postgres, postgres_after)) + sum(map(cpu.reaped, roots[1:])) - ended
        cell.busy.append(result.latencies)
        cell.rates.append(len(requests) / result.seconds)
        cell.web.append(cpu.between(web, web_after) / len(requests) * MICROSECONDS)
        cell.postgres.append(used / len(requests) * MICROSECONDS)


def timed(
    servers: Sequence[Server], asked: Sequence[Shape], patients: int, rounds: int, say: Say
) -> tuple[Cells, dict[str, Facts]]:
    """Loads, serves and measures."""
    with prepared(servers, patients, say) as layouts:
        for layout in layouts:
            layout.served = layout.ask(layout_process.serve)
        started = time.monotonic()
        cells = measure(layouts, asked, patients, rounds, say)
        say(f"{rounds} rounds, {time.monotonic() - started:.0f} s")
        return cells, {layout.name: layout.facts for layout in layouts}


def counted(server: Server, patients: int, say: Say) -> dict[str, Any]:
    """The tasks of each shape on a cluster, from a small database of its own."""
    with prepared([server], patients, say) as (layout,):
        if not layout.facts.shards:
            raise RuntimeError("That database has no Citus: it has no tasks to count.")
        found: dict[str, Any] = layout.ask(layout_process.counts)
        return found
