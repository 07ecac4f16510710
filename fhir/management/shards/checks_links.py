"""Each resource is known at the patients whom it names and at its identifiers (fhir.place_rows): none is missing.

Rows that lead to nothing are no finding: whatever they lead to is judged again, and writes leave them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from fhir import database
from fhir.place_rows import PlaceRows
from fhir.versions import array

from .checks_places import SECOND_LOOK_SECONDS
from .findings import Finding, Findings, Key

_LINKS = """SELECT r.bucket, r.pat, r.type, r.id, r.target FROM compartment_link r
 JOIN unnest(%s::int[], %s::bigint[], %s::smallint[], %s::text[]) AS k(bucket, pat, type, id)
 ON r.bucket = k.bucket AND r.pat = k.pat AND r.type = k.type AND r.id = k.id WHERE r.bucket = ANY(%s::int[])"""
_IDENTIFIERS = """SELECT r.bucket, r.value, r.term, r.type, r.id, r.target FROM identifier_locator r
 JOIN unnest(%s::int[], %s::bigint[], %s::bigint[], %s::smallint[], %s::text[]) AS k(bucket, value, term, type, id)
 ON r.bucket = k.bucket AND r.value = k.value AND r.term = k.term AND r.type = k.type AND r.id = k.id
 WHERE r.bucket = ANY(%s::int[])"""


def look(wanted: PlaceRows, again: Callable[[Sequence[Key]], PlaceRows], findings: Findings) -> None:
    """Which of the wanted rows are not there; `again` gives, a moment later, those that these resources want then."""
    missing = _missing(wanted)
    if missing.names:
        time.sleep(SECOND_LOOK_SECONDS)
        missing = _missing(again(sorted({_key(row) for row in (*missing.links, *missing.identifiers)})))
    for check, rows, part in (
        ("link", missing.links, PlaceRows(links=missing.links)),
        ("identifier", missing.identifiers, PlaceRows(identifiers=missing.identifiers)),
    ):
        findings.add([Finding(check, _key(row), row[0]) for row in rows])
        findings.mend(check, part.statements(), [_key(row) for row in rows], len(rows))


def _key(row: Sequence[Any]) -> Key:
    """Of the resource: each row ends with its type, its id and its bucket."""
    return row[-1], row[-3], row[-2]


def _missing(wanted: PlaceRows) -> PlaceRows:
    return PlaceRows(
        links=_absent(_LINKS, wanted.links),
        identifiers=_absent(_IDENTIFIERS, wanted.identifiers),
    )


def _absent(sql: str, rows: Sequence[Any]) -> list[Any]:
    if not rows:
        return []
    *columns, _targets = zip(*rows, strict=True)
    there = set(database.fetch(sql, [*map(array, columns), array(sorted(set(columns[0])))]))
    return [row for row in rows if row not in there]
