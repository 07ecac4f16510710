"""The report: Markdown for people, JSON for programs, from the same results."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import availability, judge
from .ledger import Call
from .scenarios import Result

SHOWN = 10


def machine() -> dict[str, str]:
    """The machine that all processes of a run share."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cores": str(len(os.sched_getaffinity(0))),
        "GiB of memory": f"{memory:.0f}",
        "on": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
    }


@dataclass(slots=True)
class Report:
    """What a run has found. `about` says where it ran and how; `skipped` why a scenario was not played."""

    about: dict[str, str] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether a criterion was missed."""
        return not all(result.passed for result in self.results)

    @property
    def passed(self) -> bool:
        """Whether everything that was asked for was played and kept."""
        return bool(self.results) and not self.skipped and not self.failed


def write(report: Report, folder: Path) -> None:
    """`failover.json` and `README.md` in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(as_json(report), indent=1, ensure_ascii=False)
    (folder / "failover.json").write_text(f"{text}\n", encoding="utf-8")
    (folder / "README.md").write_text(as_markdown(report), encoding="utf-8")


def as_json(report: Report) -> dict[str, Any]:
    """All figures; requests are counted, not listed."""
    return {
        "date": report.began.isoformat(timespec="seconds"),
        "about": report.about,
        "seconds": round(report.seconds),
        "passed": report.passed,
        "skipped": report.skipped,
        "scenarios": [_scenario(result) for result in report.results],
    }


def _scenario(result: Result) -> dict[str, Any]:
    accident = result.accident
    return {
        "name": result.name,
        "title": result.title,
        "passed": result.passed,
        "criteria": [{"text": c.text, "kept": c.kept, "measured": c.measured} for c in result.criteria],
        "findings": judge.counted(result.findings),
        "first_findings": [f"{finding.kind}: {finding.text}" for finding in result.findings[:SHOWN]],
        "outage": None if accident is None else _outage(result.calls, accident),
        "availability": [dict(zip(COLUMNS, line, strict=True)) for line in lines(result)],
        "statuses": dict(availability.statuses(result.calls)),
        "notes": result.notes,
    }


def _outage(calls: Sequence[Call], accident: availability.Accident) -> dict[str, Any]:
    """Seconds from the accident on; null: never."""

    def since(moment: float | None) -> float | None:
        return None if moment is None else round(moment - accident.down, 2)

    return {
        "group": accident.victim,
        "process_back": since(accident.back),
        "answers_due": since(accident.due),
        "first_answer": since(availability.recovered(calls, accident)),
    }


HEADINGS = ("requests that need", "when", "requests", "answered", "503", "faults", "longest wait, s")
COLUMNS = ("needs", "phase", "requests", "answered", "refused", "faults", "longest")


def lines(result: Result) -> Iterator[tuple[str, str, int, int, int, int, float]]:
    """Availability by what a request needs and when it was asked, in the order of COLUMNS."""
    kinds: dict[str, list[Call]] = {}
    for call in sorted(result.calls, key=lambda call: (len(call.nodes), sorted(call.nodes))):
        kinds.setdefault(needs(call), []).append(call)
    end = None if result.accident is None else availability.recovered(result.calls, result.accident)
    for name, calls in kinds.items():
        parts = {"all": list(calls)}
        if result.accident is not None:
            parts = availability.phases(calls, result.accident, end)
        for phase, some in parts.items():
            row = availability.row(some)
            yield name, phase, row.calls, row.answered, row.refused, row.faults, round(row.longest, 2)


def needs(call: Call) -> str:
    """The nodes that a request needs, in words."""
    if not call.nodes:
        return "no database"
    if call.nodes == {0}:
        return "the coordinator"
    return " and ".join(f"worker {node}" for node in sorted(call.nodes))


def as_markdown(report: Report) -> str:
    """The report that people read."""
    return "\n\n".join(["# Failover report", *_head(report), *map(_section, report.results)]) + "\n"


def _head(report: Report) -> Iterator[str]:
    yield (
        "Written by `python -m scripts.failover_proof`; [docs/failover.md](../failover.md) says what is done and what "
        "must hold."
    )
    about = "".join(f", {name} {value}" for name, value in report.about.items())
    yield f"{report.began:%Y-%m-%d %H:%M} UTC, {report.seconds:.0f} s{about}."
    yield _table(("scenario", "", "verdict"), _verdicts(report))


def _verdicts(report: Report) -> Iterator[Sequence[Any]]:
    for result in report.results:
        yield result.name, result.title, "passed" if result.passed else "**FAILED**"
    for name, reason in report.skipped.items():
        yield name, reason, "not played"


def _section(result: Result) -> str:
    verdict = "passed" if result.passed else "FAILED"
    kept = [(one.text, "kept" if one.kept else "**MISSED**", one.measured) for one in result.criteria]
    statuses = sorted(availability.statuses(result.calls).items())
    text = [
        f"## {result.name}: {result.title} — {verdict}",
        " ".join(result.notes),
        _table(("what must hold", "", "measured"), kept),
        _table(HEADINGS, lines(result)),
        "By status: " + ", ".join(f"{number} of {status}" for status, number in statuses) + ".",
    ]
    if result.findings:
        text.append("\n".join(f"* {finding.kind}: {finding.text}" for finding in result.findings[:SHOWN]))
    return "\n\n".join(text)


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    written = (head, ["---"] * len(head), *rows)
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in written)


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
