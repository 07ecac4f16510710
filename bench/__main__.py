"""python -m bench [--quick] [--rounds N] [--clients 1,4,16] [--no-file]"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import environment, report

RESULTS = Path(__file__).parent / "RESULTS.md"
WAL_REQUESTS = 200


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints, writes RESULTS.md."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Costs of requests beside bare psycopg.")
    parser.add_argument("--quick", action="store_true", help="one small round; nothing is written")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--patients", type=int, default=40, help="charts of 100 resources to begin with")
    parser.add_argument("--clients", default="1,4,16")
    parser.add_argument("--no-file", action="store_true", help="do not write RESULTS.md")
    options = parser.parse_args(arguments)
    clients = [int(number) for number in options.clients.split(",")]
    if options.quick:
        options.rounds, options.patients, options.no_file, clients = 1, 4, True, [1, 4]
    started = time.monotonic()
    with environment.postgres() as postgres_pid:
        text = _measure(postgres_pid, options, clients)
    print(text)
    say(f"{time.monotonic() - started:.0f} s")
    if not options.no_file:
        RESULTS.write_text(text + "\n", encoding="utf-8")
    return 0


def say(text: str) -> None:
    """Progress, apart from the result."""
    print(text, file=sys.stderr, flush=True)


def _measure(postgres_pid: int, options: argparse.Namespace, clients: list[int]) -> str:
    # Django is set up by now, and its modules can be imported.
    from django.db import connections

    from . import bare, measure, storage, workloads

    parameters = bare.connection_parameters()
    connections.close_all()
    with (
        bare.Runner(parameters, max(clients)) as runner,
        environment.gunicorn(postgres_pid) as at,
    ):
        say("serving")
        charts = workloads.Charts(at, options.patients, 0.1 if options.quick else 1.0)
        sizes, resources, body_bytes = storage.sizes(), storage.resource_count(), storage.body_bytes()
        lines = charts.workloads()
        say(f"{resources:,} resources seeded, SQL recorded")
        cells = measure.rounds(at, runner, lines, clients, options.rounds, say)
        wal = _wal(at, lines)
        stages = _stages(charts)
    shapes = {line.name: workloads.shapes(line) for line in lines}
    sections = {
        "Rates and costs": report.throughput(cells, shapes),
        "Budgets": report.budgets(cells),
        "Where the CPU of one resource goes": report.shares(cells, stages, clients[len(clients) // 2]),
        "Disk, right after the transactions that made the charts": report.disk(sizes, resources, body_bytes),
        "WAL": report.table(("bytes a resource", "WAL"), [[name, f"{value:,.0f}"] for name, value in wal.items()]),
    }
    return _document(_postgres_version(), options, sections)


def _wal(at: environment.Environment, lines: Sequence[Any]) -> dict[str, float]:
    from . import client, storage

    found = {}
    for line in lines:
        count = min(line.count, WAL_REQUESTS)
        requests = line.requests(count)
        written = storage.wal(lambda requests=requests: client.run(at.port, requests, 1))
        found[line.name] = written / (count * line.size)
    return found


def _stages(charts: Any) -> dict[str, float]:
    from . import data, stages

    rng = random.Random(data.SEED)
    resources = [data.observation(rng, f"Patient/{charts.kept[0]}", number) for number in range(50)]
    return stages.of_writes(resources, charts.context)


def _postgres_version() -> str:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        return str(cursor.fetchone()[0]).split()[0]


def _document(postgres_version: str, options: argparse.Namespace, sections: dict[str, str]) -> str:
    introduction = (
        "# What a request costs\n\n"
        "Written by `make bench`; docs/performance.md says how to read it and what was tried.\n\n"
        f"{report.machine(postgres_version)}\n\n"
        f"Medians of {options.rounds} rounds, server and bare loop in turns. A rate and a cost are those of one "
        "resource: a transaction has 100. CPU is that of all processes of gunicorn and of PostgreSQL; the client's "
        "does not count, but it shares the cores. The bare loop sends the same statements with psycopg alone. Every "
        "answer was checked, every access has its audit row, and commits are durable."
    )
    return "\n\n".join([introduction, *(f"## {title}\n\n{body}" for title, body in sections.items())])


if __name__ == "__main__":
    raise SystemExit(main())
