"""Rounds of every workload with every number of clients, through the server and bare, one after the other."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from . import client, cpu
from .bare import Runner
from .environment import Environment
from .workloads import Workload

T = TypeVar("T")
MICROSECONDS = 1e6


@dataclass(slots=True)
class Sample:
    """One round of one cell: resources a second, CPU microseconds a resource, `p50` milliseconds a request."""

    rate: float
    p50: float
    web: float
    postgres: float
    bare_rate: float = 0.0
    bare_python: float = 0.0
    bare_postgres: float = 0.0


@dataclass(slots=True)
class Cell:
    """A workload with a number of clients, and its rounds."""

    workload: str
    clients: int
    samples: list[Sample] = field(default_factory=list)

    def median(self, value: Callable[[Sample], float]) -> float:
        """The median over the rounds."""
        return statistics.median(value(sample) for sample in self.samples)

    @property
    def cost(self) -> float:
        """CPU of gunicorn and PostgreSQL together, microseconds a resource."""
        return self.median(lambda sample: sample.web + sample.postgres)

    @property
    def ratio(self) -> float:
        """The server's rate by that of the bare loop of the same round."""
        return self.median(lambda sample: sample.rate / sample.bare_rate)


def _with_cpu(at: Environment, action: Callable[[], T]) -> tuple[T, float, float]:
    """What `action` gives, and the CPU seconds of gunicorn and of PostgreSQL meanwhile."""
    web, postgres = cpu.seconds(at.gunicorn_pid, at.postgres_pid)
    result = action()
    web_after, postgres_after = cpu.seconds(at.gunicorn_pid, at.postgres_pid)
    return result, cpu.between(web, web_after), cpu.between(postgres, postgres_after)


def through_server(at: Environment, requests: Sequence[client.Request], clients: int, size: int = 1) -> Sample:
    """Sends the requests and checks the answers."""
    number = len(requests) * size
    result, web, postgres = _with_cpu(at, lambda: client.run(at.port, requests, clients))
    return Sample(
        rate=number / result.seconds,
        p50=statistics.median(result.latencies) * 1000,
        web=web / number * MICROSECONDS,
        postgres=postgres / number * MICROSECONDS,
    )


def bare(at: Environment, runner: Runner, workload: Workload, count: int, clients: int, sample: Sample) -> None:
    """Adds the bare loop's figures to the sample."""
    number = count * workload.size
    runner.prepare(workload.replays(count), clients, atomic=workload.atomic)
    (seconds, python), _web, postgres = _with_cpu(at, runner.go)
    sample.bare_rate = number / seconds
    sample.bare_python = python / number * MICROSECONDS
    sample.bare_postgres = postgres / number * MICROSECONDS


def no_op(at: Environment, count: int, clients: int) -> Sample:
    """A view that does nothing, through the same gunicorn and the same middleware: what a request costs at least."""

    def check(response: client.Response) -> None:
        assert response.status == 200

    request = client.Request(client.render("GET", "/health/live", at.token), check)
    return through_server(at, [request] * count, clients)


def rounds(
    at: Environment,
    runner: Runner,
    workloads: Sequence[Workload],
    clients: Sequence[int],
    number: int,
    say: Callable[[str], None],
) -> list[Cell]:
    """All cells; the first round warms up and is not kept, unless it is the only one."""
    names = ["no-op", *(workload.name for workload in workloads)]
    cells = {(name, count): Cell(name, count) for name in names for count in clients}
    for turn in range(number + (number > 1)):
        for count in clients:
            cells[("no-op", count)].samples.append(no_op(at, workloads[0].count, count))
        for workload in workloads:
            for count in clients:
                requests = max(workload.count, count)
                sample = through_server(at, workload.requests(requests), count, workload.size)
                bare(at, runner, workload, requests, count, sample)
                cells[(workload.name, count)].samples.append(sample)
        if turn == 0 and number > 1:
            for cell in cells.values():
                cell.samples.clear()
        say(f"round {turn} of {number}" if turn else "warmed up")
    return list(cells.values())
