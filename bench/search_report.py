"""The figures of the search part as Markdown, and what misses its bound, by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from .population import MICROSECONDS, Loaded
from .queries import OWN, PUBLIC, Query
from .report import table
from .searches import BUSY_CLIENTS, Cell, milliseconds
from .storage import Size

GROWTH = 1.2
SLOW_MS, SLOW_AT = 100.0, 1000


class Figures:
    """All cells, looked up by query and number of patients, and the misses that are gathered on the way."""

    def __init__(self, cells: Sequence[Cell], sizes: Sequence[int]) -> None:
        self.cells = {(cell.query.name, cell.patients): cell for cell in cells}
        self.sizes = sorted(sizes)
        self.top, self.bottom = self.sizes[-1], self.sizes[0]
        self.misses: list[str] = []

    def measured(self, listed: Sequence[Query]) -> list[Query]:
        """Those of the queries that were asked."""
        return [query for query in listed if (query.name, self.top) in self.cells]

    def ratio(self, name: str, patients: int, other: str, other_patients: int) -> float:
        """The p50 of one query by that of another; both were measured in turns."""
        return self.cells[name, patients].p50 / self.cells[other, other_patients].p50

    def judged(self, value: float, bound: float, miss: str) -> str:
        """Whether a value keeps its bound; a miss is remembered."""
        if math.isnan(value):
            return "not measured"
        if value <= bound:
            return "kept"
        self.misses.append(miss)
        return "MISSED"


def loading(loaded: Sequence[Loaded]) -> str:
    """What the loads took."""
    header = (
        "patients",
        "resources",
        "added",
        "seconds",
        "per s",
        "Python CPU µs",
        "PostgreSQL CPU µs",
        "settle s",
        "GB",
    )
    rows = [
        [
            f"{one.patients:,}",
            f"{one.resources:,}",
            f"{one.added:,}",
            f"{one.seconds:.0f}",
            f"{one.added / one.seconds:,.0f}",
            f"{one.python / one.added * MICROSECONDS:,.0f}",
            f"{one.postgres / one.added * MICROSECONDS:,.0f}",
            f"{one.settling:.0f}",
            f"{one.bytes / 2**30:.2f}",
        ]
        for one in loaded
    ]
    return table(header, rows)


def queries(figures: Figures, listed: Sequence[Query]) -> str:
    """One line a query: p50 at every size, and at the largest the bare SQL, CPU and entries."""
    header = ["query", *(f"p50 ms at {size:,}" for size in figures.sizes), "growth", "bare ms", "server by bare"]
    header += ["gunicorn µs", "PostgreSQL µs", "entries"]
    return table(header, [_line(figures, query) for query in figures.measured(listed)])


def _line(figures: Figures, query: Query) -> list[str]:
    at = [figures.cells[query.name, size] for size in figures.sizes]
    top = at[-1]
    growth = figures.ratio(query.name, figures.top, query.name, figures.bottom)
    return [
        query.name,
        *("failed" if cell.failure else f"{cell.p50:,.2f}" for cell in at),
        _number(growth, "{:.2f}"),
        _number(top.bare, "{:,.2f}"),
        _number(top.p50 / top.bare, "{:.1f}"),
        _number(top.web, "{:,.0f}"),
        _number(top.postgres, "{:,.0f}"),
        f"{sum(top.rows) / len(top.rows):.0f}" if top.rows else "",
    ]


def _number(value: float, form: str) -> str:
    return "" if math.isnan(value) else form.format(value)


def growth(figures: Figures) -> str:
    """Queries about one patient: the p50 with all patients by that with the fewest."""
    rows = []
    for query in figures.measured((*PUBLIC, *OWN)):
        if query.chart:
            value = figures.ratio(query.name, figures.top, query.name, figures.bottom)
            miss = f"{query.name}: {value:.2f} times its p50 at {figures.bottom:,} patients (at most {GROWTH})"
            rows.append([query.name, _number(value, "{:.2f}"), str(GROWTH), figures.judged(value, GROWTH, miss)])
    return table(("query", f"{figures.top:,} by {figures.bottom:,}", "bound", "result"), rows)


def slow(figures: Figures) -> str:
    """Public queries of more than SLOW_MS at SLOW_AT patients, or at the nearest size."""
    at = min(figures.sizes, key=lambda size: abs(size - SLOW_AT))
    rows = []
    for query in figures.measured(PUBLIC):
        cell = figures.cells[query.name, at]
        if cell.failure:
            figures.misses.append(f"{query.name} at {at:,}: {cell.failure}")
        elif cell.p50 > SLOW_MS:
            word = "it counts everything" if query.counts_all else "MISSED"
            rows.append([query.name, f"{cell.p50:,.1f}", f"{cell.bare:,.1f}", word])
            if not query.counts_all:
                figures.misses.append(f"{query.name}: {cell.p50:,.0f} ms at {at:,} patients (at most {SLOW_MS:.0f})")
    if not rows:
        return f"None at {at:,} patients."
    return table((f"at {at:,} patients", "p50 ms", "bare ms", "result"), rows)


def comparisons(figures: Figures) -> str:
    """`_include` and `_has` beside the plain search, at every size."""
    rows = []
    for query in figures.measured(OWN):
        if not query.plain:
            continue
        values = [figures.ratio(query.name, size, query.plain, size) for size in figures.sizes]
        words = [
            figures.judged(
                value, query.bound, f"{query.name}: {value:.2f} of plain at {size:,} (at most {query.bound})"
            )
            for value, size in zip(values, figures.sizes, strict=True)
        ]
        result = "MISSED" if "MISSED" in words else words[-1]
        rows.append([query.name, query.plain, *(_number(v, "{:.2f}") for v in values), str(query.bound), result])
    return table(("query", "plain", *(f"at {size:,}" for size in figures.sizes), "bound", "result"), rows)


def budgets(figures: Figures) -> str:
    """CPU of gunicorn and PostgreSQL a request, audit stored; the largest database with a busy server is judged."""
    rows = []
    for query in figures.measured(OWN):
        if not query.budget:
            continue
        at = [figures.cells[query.name, size] for size in figures.sizes]
        values = [milliseconds(cell.busy) for cell in at]
        miss = f"{query.name}: {values[-1]:.2f} ms of CPU at {figures.top:,} (at most {query.budget:.0f})"
        word = figures.judged(values[-1], query.budget, miss)
        alone = _number(milliseconds(at[-1].samples), "{:.2f}")
        rows.append([query.name, *(_number(v, "{:.2f}") for v in values), f"{query.budget:.0f}", word, alone])
    sizes = [f"at {size:,}" for size in figures.sizes]
    return table((f"CPU ms, {BUSY_CLIENTS} clients", *sizes, "budget", "result", "1 client"), rows)


def indexes(sizes: Sequence[Size], resources: int) -> str:
    """Bytes a resource of each table that has rows, and of its indexes."""
    rows = [
        [size.table, f"{size.heap / resources:,.0f}", f"{size.indexes / resources:,.0f}"]
        for size in sizes
        if size.heap + size.indexes > resources
    ]
    heap, index = sum(s.heap for s in sizes), sum(s.indexes for s in sizes)
    rows.append(["all", f"{heap / resources:,.0f}", f"{index / resources:,.0f}"])
    return table(("bytes a resource", "table", "indexes"), rows)


def missed(figures: Figures) -> str:
    """All misses; to be called last."""
    failures = [f"{n} at {p:,}: {cell.failure}" for (n, p), cell in figures.cells.items() if cell.failure]
    listed = dict.fromkeys([*figures.misses, *failures])
    return "\n".join(f"* {line}" for line in listed) or "Nothing."


def sections(figures: Figures, loaded: Sequence[Loaded], tables: Sequence[Size]) -> dict[str, str]:
    """Titles and texts, in order."""
    made: dict[str, Callable[[], str]] = {
        "Loading": lambda: loading(loaded),
        "The 30 public queries": lambda: queries(figures, PUBLIC),
        "Our own": lambda: queries(figures, OWN),
        "One patient's records while the number of patients grows": lambda: growth(figures),
        "Public queries that are slow": lambda: slow(figures),
        "_include and _has beside the plain search": lambda: comparisons(figures),
        "CPU of a search": lambda: budgets(figures),
        "Disk": lambda: indexes(tables, loaded[-1].resources),
        "What misses": lambda: missed(figures),
    }
    return {title: make() for title, make in made.items()}
