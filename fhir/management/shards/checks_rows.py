"""Checks within a bucket: each is one set-based question, which Citus sends to every shard as it is.

All rows of a resource carry its (bucket, type, id), so that what belongs together is joined on the node that has it,
and each task sees one moment: a write beside it, which is one transaction, is seen whole or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from fhir import database

from .findings import Finding, Findings

_WITHIN = "x.bucket BETWEEN %s AND %s"
_SAME = "{a}.bucket = x.bucket AND {a}.type = x.type AND {a}.id = x.id"


def _same(alias: str) -> str:
    return _SAME.format(a=alias)


@dataclass(frozen=True, slots=True)
class Check:
    """Rows x of a table for which `wrong` holds; `harmless`: nothing is lost if they are deleted."""

    name: str
    table: str
    wrong: str
    harmless: bool = False


_RESOURCE = f"SELECT 1 FROM resource r WHERE {_same('r')}"
_CONTENT = f"SELECT 1 FROM content c WHERE {_same('c')}"
_VERSIONS = f"SELECT count(*), coalesce(max(h.version), 0) FROM history h WHERE {_same('h')}"
CHECKS = (
    Check("content-missing", "resource", f"NOT x.deleted AND NOT EXISTS ({_CONTENT})"),
    Check("content-of-deleted", "resource", f"x.deleted AND EXISTS ({_CONTENT})"),
    Check("content-orphan", "content", f"NOT EXISTS ({_RESOURCE})"),
    *(
        Check(f"{table.replace('_', '-')}-orphan", table, f"NOT EXISTS ({_RESOURCE} AND NOT r.deleted)", harmless=True)
        for table in ("range_index", "string_index", "code_value_index")
    ),
    Check("history-orphan", "history", f"NOT EXISTS ({_RESOURCE})"),
)
# Versions are numbered without gaps, and all but the newest are in the history.
_GAPS = f"""SELECT x.bucket, x.type, x.id, x.version, coalesce(h.n, 0) FROM resource x
 LEFT JOIN (SELECT bucket, type, id, count(*) AS n, max(version) AS last FROM history
 WHERE bucket BETWEEN %s AND %s GROUP BY bucket, type, id) h ON {_same("h")}
 WHERE {_WITHIN} AND (coalesce(h.n, 0) <> x.version - 1 OR coalesce(h.last, 0) >= x.version)"""
_TYPES = """SELECT x.type, count(*) FILTER (WHERE NOT x.deleted), count(*) FILTER (WHERE x.deleted)
 FROM resource x WHERE x.bucket BETWEEN %s AND %s GROUP BY x.type"""
_COUNTED = "SELECT x.type, count(*) FROM {table} x WHERE x.bucket BETWEEN %s AND %s GROUP BY x.type"
TALLIES = ("content", "history", "range_index", "string_index", "code_value_index")


def look(first: int, last: int, findings: Findings) -> None:
    """All checks of the buckets `first` to `last`."""
    within = (first, last)
    for check in CHECKS:
        where = f"FROM {check.table} x WHERE {_WITHIN} AND {check.wrong}"
        ((number,),) = database.fetch(f"SELECT count(*) {where}", within)
        if number:
            _report(check, where, within, int(number), findings)
    for bucket, number, resource_id, version, kept in database.fetch(_GAPS, within * 2):
        detail = _("version %(version)d, older ones: %(kept)d") % {"version": version, "kept": kept}
        findings.add([Finding("history-gap", (bucket, number, resource_id), detail=detail)])


def _report(check: Check, where: str, within: tuple[int, int], number: int, findings: Findings) -> None:
    findings.count(check.name, number)
    room = findings.wanted(check.name)
    if room > 0:
        rows = database.fetch(f"SELECT DISTINCT x.bucket, x.type, x.id {where} LIMIT {room}", within)
        for row in rows:
            findings.keep(Finding(check.name, (row[0], row[1], row[2])))
    if check.harmless:
        findings.mend(check.name, [(f"DELETE {where}", within)], (), number)


def tally(first: int, last: int, totals: dict[int, dict[str, int]]) -> None:
    """Adds to each type's counts: live and deleted resources, and rows of each table."""
    for number, live, deleted in database.fetch(_TYPES, (first, last)):
        _add(totals, number, {"resource": live, "deleted": deleted})
    for table in TALLIES:
        for number, count in database.fetch(_COUNTED.format(table=table), (first, last)):
            _add(totals, number, {table: count})


def _add(totals: dict[int, dict[str, int]], number: int, counts: dict[str, Any]) -> None:
    kept = totals.setdefault(number, dict.fromkeys(("resource", "deleted", *TALLIES), 0))
    for name, count in counts.items():
        kept[name] += int(count)
