"""The figures as Markdown: on the screen and in RESULTS.md."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # they import Django's models, and Django is set up only later
    from .measure import Cell
    from .storage import Size

# CPU of server and PostgreSQL, microseconds a resource: (the limit, what we aim at); audit rows stored.
BUDGETS = {"read": (1800, 1000), "create": (3000, 2000), "update": (3500, 2500), "transaction": (500, 300)}


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, its columns aligned for reading as text."""
    lines = [list(header), *[list(row) for row in rows]]
    widths = [max(len(line[number]) for line in lines) for number in range(len(header))]
    shown = [
        "| " + " | ".join(c.ljust(w) if n == 0 else c.rjust(w) for n, (c, w) in enumerate(zip(l, widths))) + " |"  # noqa: B905,E741
        for l in lines  # noqa: E741
    ]
    rule = "| " + " | ".join("-" * w if n == 0 else "-" * (w - 1) + ":" for n, w in enumerate(widths)) + " |"
    return "\n".join([shown[0], rule, *shown[1:]])


def machine(postgres_version: str) -> str:
    """What the figures were measured on, without saying where."""
    commit = _git("rev-parse", "--short", "HEAD") or "unknown"
    changed = " with uncommitted changes" if _git("status", "--porcelain", "--untracked-files=no") else ""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"Commit {commit}{changed}, {datetime.now(UTC):%Y-%m-%d}; {os.cpu_count()} cores, {memory:.1f} GB of memory, "
        f"{platform.machine()}; Python {platform.python_version()}, PostgreSQL {postgres_version}."
    )


def _git(*arguments: str) -> str:
    folder = Path(__file__).parent
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


def throughput(cells: Sequence[Cell], shapes: dict[str, str]) -> str:
    """One line a cell."""
    header = (
        *("workload", "clients", "per s", "bare per s", "ratio", "p50 ms", "gunicorn µs", "PostgreSQL µs", "sum µs"),
        *("bare psycopg µs", "bare PostgreSQL µs", "statements"),
    )
    return table(header, [_line(cell, shapes.get(cell.workload, "0")) for cell in cells])


def _line(cell: Cell, shape: str) -> list[str]:
    alone = cell.workload == "no-op"
    return [
        cell.workload,
        str(cell.clients),
        f"{cell.median(lambda s: s.rate):,.0f}",
        "" if alone else f"{cell.median(lambda s: s.bare_rate):,.0f}",
        "" if alone else f"{cell.ratio:.2f}",
        f"{cell.median(lambda s: s.p50):.2f}",
        f"{cell.median(lambda s: s.web):,.0f}",
        f"{cell.median(lambda s: s.postgres):,.0f}",
        f"{cell.cost:,.0f}",
        "" if alone else f"{cell.median(lambda s: s.bare_python):,.0f}",
        "" if alone else f"{cell.median(lambda s: s.bare_postgres):,.0f}",
        shape,
    ]


def budgets(cells: Sequence[Cell]) -> str:
    """The costs against the limits; the middle of the numbers of clients is what counts."""
    rows = []
    for name, (limit, aim) in BUDGETS.items():
        of_name = sorted((cell for cell in cells if cell.workload == name), key=lambda cell: cell.clients)
        cell = of_name[len(of_name) // 2]
        word = "over" if cell.cost > limit else "kept" if cell.cost > aim else "kept, and the aim"
        rows.append([name, str(cell.clients), f"{cell.cost:,.0f}", f"{limit:,}", f"{aim:,}", word])
    return table(("workload", "clients", "CPU µs", "limit µs", "aim µs", "result"), rows)


def shares(cells: Sequence[Cell], stages: dict[str, float], clients: int) -> str:
    """Where a resource's CPU goes; `rest` is what the stages do not explain."""
    by_name = {cell.workload: cell for cell in cells if cell.clients == clients}
    floor = by_name["no-op"].median(lambda s: s.web)
    parts = ["gunicorn and Django", *stages, "psycopg", "PostgreSQL", "rest"]
    columns: dict[str, list[float]] = {}
    for name in ("read", "search", "create", "update", "transaction"):
        cell = by_name[name]
        own = floor / 100 if name == "transaction" else floor
        inner = list(stages.values()) if name not in ("read", "search") else [0.0] * len(stages)
        known = [own, *inner, cell.median(lambda s: s.bare_python), cell.median(lambda s: s.postgres)]
        columns[name] = [*known, cell.cost - sum(known)]
    rows = [[part, *(_share(v[n], sum(v)) for v in columns.values())] for n, part in enumerate(parts)]
    return table(("CPU µs (share)", *columns), rows)


def _share(value: float, total: float) -> str:
    return f"{value:,.0f} ({value / total:.0%})" if value else ""


def disk(sizes: Sequence[Size], resources: int, body_bytes: int) -> str:
    """Bytes a resource, table by table."""
    rows = [[s.table, f"{s.heap / resources:,.0f}", f"{s.indexes / resources:,.0f}"] for s in sizes]
    heap, indexes = sum(s.heap for s in sizes), sum(s.indexes for s in sizes)
    rows.append(["all", f"{heap / resources:,.0f}", f"{indexes / resources:,.0f}"])
    made = table(("bytes a resource", "table", "indexes"), rows)
    return f"{made}\n\nThe JSON alone: {body_bytes / resources:,.0f} bytes a resource, {resources:,} resources."
