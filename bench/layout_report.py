"""The figures of the layouts as Markdown: RESULTS.md's part, and the table of docs/distribution.md."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .layouts import CLIENTS, Cell, Cells, Facts, median
from .report import table
from .shapes import ONE_PATIENT, SHAPES, Count, Shape

BEGIN, END = "<!-- shapes: begin, written by `python -m bench --layouts` -->", "<!-- shapes: end -->"
PLAIN, ONE_NODE, CLUSTER = "plain", "one node", "1+2"
BOUNDS = {ONE_NODE: 1.5, CLUSTER: 2.5}  # p50 of reads and writes of one patient, by that of plain PostgreSQL


@dataclass(slots=True)
class Figures:
    """All cells, what the layouts are, the tasks; and the misses that are gathered on the way."""

    cells: Cells
    facts: Mapping[str, Facts]
    counts: Mapping[str, Count]
    misses: list[str] = field(default_factory=list)

    @property
    def shapes(self) -> list[Shape]:
        """Those that were asked, in order."""
        return [shape for shape in SHAPES if (shape.name, PLAIN) in self.cells]

    def cell(self, shape: Shape, layout: str) -> Cell:
        """The figures of a shape on a layout."""
        return self.cells[shape.name, layout]

    def ratio(self, shape: Shape, layout: str) -> float:
        """Its p50 by that on plain PostgreSQL, one client."""
        return self.cell(shape, layout).p50 / self.cell(shape, PLAIN).p50

    def judged(self, shape: Shape, layout: str) -> str:
        """Whether a shape keeps its bound; a miss is remembered."""
        ratio, bound = self.ratio(shape, layout), BOUNDS[layout]
        if math.isnan(ratio):
            return "not measured"
        if ratio <= bound:
            return "kept"
        self.misses.append(f"{shape.name} on {layout}: {ratio:.2f} times plain PostgreSQL (at most {bound})")
        return "MISSED"


def one_patient(figures: Figures) -> str:
    """Reads, writes and charts, which have bounds."""
    rows = []
    for shape in figures.shapes:
        if shape.kind in ONE_PATIENT:
            row = [shape.name, _milliseconds(figures.cell(shape, PLAIN).p50)]
            for layout in BOUNDS:
                row += [_milliseconds(figures.cell(shape, layout).p50), f"{figures.ratio(shape, layout):.2f}"]
                row.append(figures.judged(shape, layout))
            rows.append(row)
    judged = (title for name, bound in BOUNDS.items() for title in (f"{name} ms", "ratio", f"at most {bound}"))
    return table(("one client, p50", "plain ms", *judged), rows)


def many_patients(figures: Figures) -> str:
    """What some and all shards are asked."""
    others = [name for name in figures.facts if name != PLAIN]
    rows = [
        [
            shape.name,
            figures.counts[shape.name].tasks,
            *(_milliseconds(figures.cell(shape, name).p50) for name in figures.facts),
            *(f"{figures.ratio(shape, name):.2f}" for name in others),
        ]
        for shape in figures.shapes
        if shape.kind not in ONE_PATIENT
    ]
    header = ("one client, p50", "tasks", *(f"{name} ms" for name in figures.facts), *(f"{n} ratio" for n in others))
    return table(header, rows)


def busy(figures: Figures) -> str:
    """CLIENTS at once: rates, and CPU of all processes."""
    names = list(figures.facts)
    rows = []
    for shape in figures.shapes:
        cells = [figures.cell(shape, name) for name in names]
        rows.append(
            [
                shape.name,
                *(f"{median(cell.rates):,.0f}" for cell in cells),
                *(f"{cell.busy_p50:.1f}" for cell in cells),
                *(f"{median(cell.postgres):,.0f}" for cell in cells),
                *(f"{median(cell.web):,.0f}" for cell in cells),
            ]
        )
    titles = ("{} per s", "{} p50 ms", "{} PostgreSQL µs", "{} gunicorn µs")
    return table((f"{CLIENTS} clients", *(title.format(name) for title in titles for name in names)), rows)


def settings(figures: Figures) -> str:
    """What the servers and sessions are set to, and what the load took."""
    names = list(figures.facts)
    known = sorted({setting for facts in figures.facts.values() for setting in facts.settings})
    rows = [[setting, *(figures.facts[n].settings.get(setting, "") for n in names)] for setting in known]
    about = (
        ("shards", lambda facts: str(facts.shards or "")),
        ("workers", lambda facts: str(facts.workers)),
        ("load: resources", lambda facts: f"{facts.resources:,}"),
        ("load: seconds, all layouts at once", lambda facts: f"{facts.seconds:.0f}"),
    )
    rows = [[title, *(show(figures.facts[name]) for name in names)] for title, show in about] + rows
    return table(("setting", *names), rows)


def missed(figures: Figures) -> str:
    """All misses and errors; to be called last."""
    errors = [
        f"{cell.shape.name} on {cell.layout}: {cell.errors} errors, the first one {cell.failure}"
        for cell in figures.cells.values()
        if cell.errors
    ]
    return "\n".join(f"* {line}" for line in [*figures.misses, *errors]) or "Nothing."


def sections(figures: Figures) -> dict[str, str]:
    """Titles and texts, in order."""
    return {
        "One patient": one_patient(figures),
        "Several patients, and all": many_patients(figures),
        "With more clients": busy(figures),
        "Settings": settings(figures),
        "What misses": missed(figures),
    }


def _milliseconds(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2f}"


# --- the table of docs/distribution.md

_COUNTED = ("interaction", "request", "statements", "tasks", "shards")


def counted_row(shape: Shape, count: Count) -> list[str]:
    """The cells of the table that do not change from run to run."""
    return [shape.name, f"`{shape.example}`", count.statements, count.tasks, count.reached]


def shape_table(counts: Mapping[str, Count], figures: Figures | None = None) -> str:
    """Every shape with its tasks, and with its p50 where it was measured."""
    names = [PLAIN, ONE_NODE, CLUSTER] if figures else []
    rows = []
    for shape in SHAPES:
        row = counted_row(shape, counts[shape.name])
        if figures:
            row += [_milliseconds(figures.cell(shape, name).p50) for name in names]
            row += [f"{figures.ratio(shape, name):.1f}" for name in names[1:]]
        rows.append(row)
    return table((*_COUNTED, *(f"{n} ms" for n in names), *(f"{n} ratio" for n in names[1:])), rows)


def documented(text: str, made: str) -> str:
    """The document with that table between its marks. Raises ValueError where it has none."""
    before, begin, rest = text.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"There is no place for the table between {BEGIN} and {END}.")
    return f"{before}{BEGIN}\n\n{made}\n\n{END}{after}"


def documented_rows(text: str) -> dict[str, list[str]]:
    """The rows of the table in the document, by the name of the shape."""
    lines = text.partition(BEGIN)[2].partition(END)[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return {row[0]: row for row in rows[2:]}


def differences(text: str, counts: Mapping[str, Count]) -> list[str]:
    """What the table says otherwise than a new count. Where some shards are asked, their number is left to chance."""
    known = documented_rows(text)
    found = [f"{name} is no shape" for name in known if name not in counts]
    for shape in SHAPES:
        row, new = known.get(shape.name, []), counted_row(shape, counts[shape.name])
        old = row[: len(new)]
        if shape.kind not in ONE_PATIENT:
            old, new = [*old[:3], *_whole(old[3:])], [*new[:3], *_whole(new[3:])]
        if old != new:
            found.append(f"{shape.name}: {old} in the table, {new} counted")
    return found


def _whole(cells: Sequence[str]) -> list[str]:
    """Tasks and shards without what chance decides."""
    return [cell.partition(" + ")[0] if "all" in cell else "some" for cell in cells]


def with_counts(text: str, counts: Mapping[str, Count]) -> str:
    """The document with what is counted brought up to date; measured figures stay where the row was there."""
    known = documented_rows(text)
    rows = []
    for shape in SHAPES:
        counted = counted_row(shape, counts[shape.name])
        rows.append(counted + known.get(shape.name, [])[len(counted) :])
    header = _header(text)
    return documented(text, table(header, [[*row, *[""] * (len(header) - len(row))] for row in rows]))


def _header(text: str) -> Sequence[str]:
    lines = text.partition(BEGIN)[2].partition(END)[0].splitlines()
    first = next((line for line in lines if line.startswith("| ")), "")
    return [cell.strip() for cell in first.strip("|").split("|")] if first else _COUNTED


def introduction(figures: Figures, machine: str, rounds: int, patients: int) -> str:
    """What was measured, and how."""
    return (
        f"Written by `make bench BENCH=--layouts`; docs/performance.md says how to read it.\n\n{machine}\n\n"
        "The same programs three times: plain PostgreSQL, one node with Citus, a coordinator with two workers, each "
        "with a gunicorn of its own, all on this machine, which every one of them has to itself while it is asked. "
        f"{patients} charts, {figures.facts[PLAIN].resources:,} resources. {rounds} rounds: one client asks the "
        f"layouts the same in turns, then {CLIENTS} clients ask one layout after the other. p50 is the median of the "
        "rounds' medians. *Tasks* are commands that name a shard, *all* being one for each shard. CPU is that of all "
        "processes of PostgreSQL, workers among them, and of gunicorn. Answers of the layouts are compared; every "
        "access has its audit row."
    )
