"""python -m bench [--interactions | --search [--only WORD] | --layouts | --tasks] [--quick] …

docs/performance.md says how to read what it writes.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from . import environment, report
from .environment import Cluster

RESULTS = Path(__file__).parent / "RESULTS.md"
DISTRIBUTION = Path(__file__).parent.parent / "docs" / "distribution.md"
WAL_REQUESTS = 200
REQUESTS = 20  # for a query and a database in a round of searches
INTERACTIONS, SEARCHES = "What a request costs", "What a search costs"
LAYOUTS = "What a question costs on one node and on several"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints, writes RESULTS.md."""
    options = _options(arguments)
    if options.forget:
        environment.forget()
        return 0
    started = time.monotonic()
    if options.layouts or options.tasks:
        _layouts(options)
        say(f"{time.monotonic() - started:.0f} s")
        return 0
    with environment.postgres(kept=options.keep) as cluster:
        if not options.search:
            _told(options, INTERACTIONS, _interactions(cluster.pid, options))
        if not options.interactions:
            _told(options, SEARCHES, _searches(cluster, options))
    say(f"{time.monotonic() - started:.0f} s")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Costs of requests beside bare psycopg.")
    parser.add_argument("--quick", action="store_true", help="one small round; nothing is written")
    parser.add_argument("--interactions", action="store_true", help="only read, create, update, transaction …")
    parser.add_argument("--search", action="store_true", help="only searches, while the number of patients grows")
    parser.add_argument("--layouts", action="store_true", help="only plain PostgreSQL, one node, coordinator + workers")
    parser.add_argument(
        "--tasks", action="store_true", help="only count the tasks on a cluster, for docs/distribution.md"
    )
    parser.add_argument(
        "--shards", type=_numbers, default=[8], help="layouts: numbers of shards of 1+2, the first for all"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--charts", type=int, default=40, help="interactions: charts of 100 resources to begin with")
    parser.add_argument("--clients", type=_numbers, default=[1, 4, 16], help="interactions: 1,4,16")
    parser.add_argument("--patients", type=_numbers, default=[], help="search: 250,1000,4000; layouts: 200")
    parser.add_argument("--only", action="append", default=[], help="search, layouts: with this in its name; no file")
    parser.add_argument("--keep", action="store_true", help="keep the databases in var/bench, and use kept ones")
    parser.add_argument("--forget", action="store_true", help="only remove what --keep has kept")
    parser.add_argument("--no-file", action="store_true", help="do not write RESULTS.md")
    options = parser.parse_args(arguments)
    options.no_file = options.no_file or bool(options.only)
    if options.quick:
        options.rounds, options.charts, options.clients, options.patients = 1, 4, [1, 4], [3, 6]
        options.no_file = True
        if options.layouts:
            options.patients = [20]
    if not options.patients:
        options.patients = [200] if options.layouts else [250, 1000, 4000]
    return options


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def say(text: str) -> None:
    """Progress, apart from the result."""
    print(text, file=sys.stderr, flush=True)


def _told(options: argparse.Namespace, title: str, text: str) -> None:
    print(f"# {title}\n\n{text}\n", flush=True)
    if not options.no_file:
        RESULTS.write_text(merged(RESULTS.read_text("utf-8") if RESULTS.exists() else "", title, text), "utf-8")


def merged(document: str, title: str, text: str) -> str:
    """The document with the part of that title replaced, or added; the other parts stay."""
    parts: dict[str, str] = {}
    for part in f"\n{document}".split("\n# ")[1:]:
        heading, _newline, body = part.partition("\n")
        parts[heading] = body.strip()
    parts[title] = text.strip()
    return "\n".join(f"# {heading}\n\n{body}\n" for heading, body in parts.items())


def _interactions(postgres_pid: int, options: argparse.Namespace) -> str:
    # Django is set up by now, and its modules can be imported.
    from django.db import connections

    from . import bare, measure, storage, workloads

    connections.close_all()
    with (
        bare.Runner(max(options.clients)) as runner,
        environment.gunicorn(postgres_pid) as at,
    ):
        say("serving")
        charts = workloads.Charts(at, options.charts, 0.1 if options.quick else 1.0)
        sizes, resources, body_bytes = storage.sizes(), storage.resource_count(), storage.body_bytes()
        lines = charts.workloads()
        say(f"{resources:,} resources seeded, SQL recorded")
        cells = measure.rounds(at, runner, lines, options.clients, options.rounds, say)
        wal = _wal(at, lines)
        stages = _stages(charts)
    shapes = {line.name: workloads.shapes(line) for line in lines}
    sections = {
        "Rates and costs": report.throughput(cells, shapes),
        "Budgets": report.budgets(cells),
        "Where the CPU of one resource goes": report.shares(cells, stages, options.clients[len(options.clients) // 2]),
        "Disk, right after the transactions that made the charts": report.disk(sizes, resources, body_bytes),
        "WAL": report.table(("bytes a resource", "WAL"), [[name, f"{value:,.0f}"] for name, value in wal.items()]),
    }
    return _introduced(storage.server_version(), options, sections)


def _layouts(options: argparse.Namespace) -> None:
    """Counts the tasks, measures unless only they are asked for, and writes both documents."""
    from . import layout_report, layout_servers, layouts, shapes

    asked = [s for s in shapes.SHAPES if not options.only or any(word in s.name for word in options.only)]
    names = [layout_report.CLUSTER] if options.tasks else [*layout_servers.VARIABLES]
    with layout_servers.servers(names, options.shards) as servers:
        cluster = next(server for server in servers if server.name == layout_report.CLUSTER)
        counts = layouts.counted(cluster, shapes.COUNTED, say)
        if options.tasks:
            print(layout_report.shape_table(counts))
            _document(options, lambda text: layout_report.with_counts(text, counts))
            return
        cells, facts = layouts.timed(servers, asked, options.patients[0], options.rounds, say)
    figures = layout_report.Figures(cells, facts, counts)
    machine = report.machine(facts[layout_report.PLAIN].settings["server_version"].split()[0])
    introduction = layout_report.introduction(figures, machine, options.rounds, options.patients[0])
    parts = [introduction, *(f"## {title}\n\n{body}" for title, body in layout_report.sections(figures).items())]
    _told(options, LAYOUTS, "\n\n".join(parts))
    _document(options, lambda text: layout_report.documented(text, layout_report.shape_table(counts, figures)))


def _document(options: argparse.Namespace, change: Callable[[str], str]) -> None:
    """docs/distribution.md with its table brought up to date."""
    if not options.no_file:
        DISTRIBUTION.write_text(change(DISTRIBUTION.read_text("utf-8")), "utf-8")


def _searches(cluster: Cluster, options: argparse.Namespace) -> str:
    from . import search

    most = 1 if options.quick else REQUESTS
    return search.measure(cluster, options.patients, options.rounds, most, say, options.only)


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


def _introduced(postgres_version: str, options: argparse.Namespace, sections: dict[str, str]) -> str:
    introduction = (
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
