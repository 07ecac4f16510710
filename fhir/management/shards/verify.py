"""`shards verify`: every row lies where its patient is, everything that belongs together is there, and nothing else."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from fhir import database, ids
from fhir.definitions.structure import TYPE_NAME
from fhir.management.actor import command_context
from fhir.search import custom

from . import Call, Result, checks_audit, checks_contents, checks_places, checks_rows, checks_shards
from .findings import LIMIT, Findings
from .tables import joined, problems, table

HELP = "Check where all records and their rows lie; status 1 where something is found. Beside a running server too."

ROWS_AT_ONCE = 5000
ABOUT: dict[str, str] = {
    "shard": gettext_noop("rows in a shard that their bucket does not belong to"),
    "place": gettext_noop("resources that do not lie with their patient"),
    "patient": gettext_noop("resources that are stored as another patient's than they name"),
    "duplicate": gettext_noop("resources of which another one has the id"),
    "locator-missing": gettext_noop("resources whose id does not lead to them"),
    "locator-wrong": gettext_noop("resources whose id leads elsewhere"),
    "locator-stale": gettext_noop("locators that lead to nothing"),
    "content-missing": gettext_noop("resources without content"),
    "content-of-deleted": gettext_noop("deleted resources with content"),
    "content-orphan": gettext_noop("contents without resource"),
    "content-damaged": gettext_noop("contents that are not JSON objects"),
    "content-of-another": gettext_noop("contents that say another type or id"),
    "index": gettext_noop("resources whose index rows are not right (manage.py reindex --all)"),
    "link": gettext_noop("resources that a patient whom they name does not know of"),
    "identifier": gettext_noop("resources that are not found by one of their identifiers"),
    "range-index-orphan": gettext_noop("dates and quantities without resource"),
    "string-index-orphan": gettext_noop("texts without resource"),
    "code-value-index-orphan": gettext_noop("codes with values without resource"),
    "history-orphan": gettext_noop("old versions without resource"),
    "history-gap": gettext_noop("resources whose old versions are not all there"),
    "audit-place": gettext_noop("audit rows that do not lie with their patient"),
}


def add_arguments(parser: ArgumentParser) -> None:
    """How thorough, and whether to mend."""
    base = f"{settings.PUBLIC_BASE_URL}{settings.FHIR_BASE_PATH}"
    parser.add_argument("--quick", action="store_true", help="do not read all contents and judge their index rows")
    parser.add_argument(
        "--repair",
        action="store_true",
        help="drop rows and locators of nothing, write what should lead to a resource",
    )
    parser.add_argument(
        "--limit", type=int, default=LIMIT, help="findings of each kind that are shown (default %(default)s)"
    )
    about_base = "the FHIR base that stored absolute references may begin with (default %(default)s)"
    parser.add_argument("--base-url", default=base, help=about_base)


def run(call: Call) -> Result:
    """All checks, a range of buckets at a time, so that memory and statements stay small. Raises Unavailable."""
    options = call.options
    findings = Findings(command_context("shards"), limit=options["limit"], repair=options["repair"])
    findings.begin()
    custom.refresh(now=True)
    database.fetch("SET statement_timeout = 0")
    totals: dict[int, dict[str, int]] = {}
    ranges, shards = list(_ranges()), checks_shards.count()
    with call.progress("verify", len(ranges) + shards) as progress:
        checks_shards.look(findings, progress.advance)
        for first, last in ranges:
            _range(first, last, options["quick"], options["base_url"], findings)
            checks_rows.tally(first, last, totals)
            progress.advance(note=_("%(count)d found") % {"count": sum(findings.counts.values())})
    return _result(findings, totals, quick=options["quick"])


def _ranges() -> Iterator[tuple[int, int]]:
    """Ranges of buckets with about ROWS_AT_ONCE resources each."""
    ((count,),) = database.fetch("SELECT count(*) FROM resource")
    step = max(1, ids.BUCKETS * ROWS_AT_ONCE // max(int(count), ROWS_AT_ONCE))
    for first in range(0, ids.BUCKETS, step):
        yield first, min(first + step, ids.BUCKETS) - 1


def _range(first: int, last: int, quick: bool, base_url: str, findings: Findings) -> None:
    checks_rows.look(first, last, findings)
    checks_places.look(first, last, findings)
    checks_audit.look(first, last, findings)
    if quick:
        checks_contents.suspects(first, last, base_url, findings)
    else:
        checks_contents.look(first, last, base_url, findings)


def _result(findings: Findings, totals: dict[int, dict[str, int]], *, quick: bool) -> Result:
    left = {check: count - findings.repaired.get(check, 0) for check, count in findings.counts.items()}
    return {
        "quick": quick,
        "types": [{"type": TYPE_NAME.get(number, str(number)), **totals[number]} for number in sorted(totals)],
        "findings": findings.counts,
        "repaired": findings.repaired,
        "examples": [finding.shown() for finding in findings.examples],
        "problems": [_problem(check, count) for check, count in findings.counts.items() if left[check]],
    }


def _problem(check: str, count: int) -> str:
    about = _(ABOUT[check])
    return f"{check}: {count} {about}"


def text(result: Result) -> str:
    """Tables for people."""
    names = ("resource", "deleted", *checks_rows.TALLIES)
    head = (_("type"), _("resources"), _("deleted"), _("contents"), _("old versions"), _("ranges"), _("texts"),
            _("code values"))  # fmt: skip
    rows = [(row["type"], *(row[name] for name in names)) for row in result["types"]]
    rows.append((_("all"), *(sum(row[name] for row in result["types"]) for name in names)))
    examples = [(e["check"], e["record"], e["bucket"], e["other"], e["detail"]) for e in result["examples"]]
    columns = (_("check"), _("record"), _("bucket"), _("other bucket"), _("about"))
    repaired = [
        _("Repaired: %(count)d %(about)s.") % {"count": count, "about": _(ABOUT[check])}
        for check, count in result["repaired"].items()
    ]
    nothing = _("Nothing was found.") if not result["findings"] else ""
    return joined(
        table(head, rows),
        table(columns, examples) if examples else "",
        "\n".join(repaired),
        problems(result["problems"]) or nothing,
    )
