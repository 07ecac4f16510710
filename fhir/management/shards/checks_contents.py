"""Checks of contents: each resource lies with the patient whom it names, and is indexed as what it says.

Reading every content is the long part of a verification; without it, only resources are read that lie where there is
no patient of theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fhir import compartment, database, json, store_index
from fhir.definitions.structure import TYPE_NAME, TYPE_NUMBER
from fhir.index_rows import IndexRows
from fhir.place_rows import PlaceRows
from fhir.search import extract
from fhir.store_index import Stored

from . import checks_links
from .checks_places import twice
from .findings import Finding, Findings, Key

_STORED = """SELECT r.bucket, r.type, r.id, r.version, c.body, r.terms, r.present, r.sdate, r.pat FROM resource r
 JOIN content c ON c.bucket = r.bucket AND c.type = r.type AND c.id = r.id WHERE NOT r.deleted"""
_WITHIN = f"{_STORED} AND r.bucket BETWEEN %s AND %s"
_ROWS = {
    "ranges": "SELECT x.bucket, x.type, x.id, x.param, x.unit, x.lo, x.hi FROM range_index x",
    "strings": "SELECT x.bucket, x.type, x.id, x.param, x.value, x.exact FROM string_index x",
    "code_values": "SELECT x.bucket, x.type, x.id, x.code, x.unit, x.lo, x.hi FROM code_value_index x",
}
# Patients, whose id decides; and what lies in a bucket in which there is no such patient.
_PATIENT = f"type = {TYPE_NUMBER['Patient']}::smallint"
_SUSPECT = f"""{_WITHIN} AND (r.{_PATIENT} OR r.pat IS NOT NULL AND NOT EXISTS (
 SELECT 1 FROM resource p WHERE p.bucket = r.bucket AND p.{_PATIENT} AND p.pat = r.pat))"""
_OF_BUCKETS = " WHERE x.bucket BETWEEN %s AND %s"
_PAT = "SELECT pat FROM resource WHERE bucket = %s AND type = %s AND id = %s"


@dataclass(frozen=True, slots=True)
class Read:
    """A current version as it is stored, with its patient's hash."""

    stored: Stored
    pat: int | None


@dataclass(frozen=True, slots=True)
class Judged:
    """What was found of a version; `rows` are those that it should have, where they were asked for."""

    stored: Stored
    findings: list[Finding]
    rows: IndexRows | None = None


def suspects(first: int, last: int, base_url: str, findings: Findings) -> None:
    """Only the places of what may be at a wrong one, in the buckets `first` to `last`."""
    read = _read(database.fetch(_SUSPECT, (first, last)))
    _report([_judged(each, base_url) for each in read], base_url, findings)


def look(first: int, last: int, base_url: str, findings: Findings) -> None:
    """Places, index rows and links of all resources of the buckets `first` to `last`."""
    read = _read(database.fetch(_WITHIN, (first, last)))
    by_key = {each.stored.key: each.stored.rows for each in read}
    for name, text in _ROWS.items():
        for bucket, number, resource_id, *values in database.fetch(f"{text}{_OF_BUCKETS}", (first, last)):
            if (bucket, number, resource_id) in by_key:
                getattr(by_key[bucket, number, resource_id], name).append(tuple(values))
    judged = [_judged(each, base_url, rows_too=True) for each in read]
    _report(judged, base_url, findings)
    checks_links.look(_links(judged), lambda keys: _links(_again(keys, base_url)), findings)


def _read(rows: Iterable[database.Row]) -> list[Read]:
    return [Read(Stored(*row[:5], IndexRows(terms=row[5], present=row[6], sdate=row[7])), row[8]) for row in rows]  # type: ignore[call-arg]


def _report(judged: Sequence[Judged], base_url: str, findings: Findings) -> None:
    found = [finding for each in judged for finding in each.findings]
    findings.add(twice(found, lambda seen: _findings_again(seen, base_url)))


def _findings_again(seen: Sequence[Finding], base_url: str) -> list[Finding]:
    checks = {(finding.check, finding.key) for finding in seen}
    found = [f for each in _again(sorted({finding.key for finding in seen}), base_url) for f in each.findings]
    return [finding for finding in found if (finding.check, finding.key) in checks]


def _again(keys: Iterable[Key], base_url: str) -> list[Judged]:
    """The same resources as they are now, those that are still there."""
    judged = []
    for key in keys:
        stored, pats = store_index.one(key), database.fetch(_PAT, key)
        if stored is not None and pats:
            judged.append(_judged(Read(stored, pats[0][0]), base_url, rows_too=True))
    return judged


def _links(judged: Iterable[Judged]) -> PlaceRows:
    wanted = PlaceRows()
    for each in judged:
        if each.rows is not None:
            wanted.add(*each.stored.key, each.rows)
    return wanted


def _judged(read: Read, base_url: str, *, rows_too: bool = False) -> Judged:
    stored = read.stored
    try:
        # The type number decides what is read of a content, as in a reindex.
        resource = {"resourceType": TYPE_NAME[stored.type], "id": stored.id, **json.loads(stored.body)}
    except (ValueError, TypeError, KeyError):
        return Judged(stored, [Finding("content-damaged", stored.key)])
    if (resource["resourceType"], resource["id"]) != (TYPE_NAME[stored.type], stored.id):
        name = f"{resource['resourceType']}/{resource['id']}"
        return Judged(stored, [Finding("content-of-another", stored.key, detail=name)])
    found = _placed(read, compartment.patients(resource, base_url))
    rows = extract.index(resource, base_url) if rows_too else None
    if rows is not None and store_index.difference(stored, rows) is not None:
        found.append(Finding("index", stored.key))
    return Judged(stored, found, rows)


def _placed(read: Read, named: list[str]) -> list[Finding]:
    stored = read.stored
    bucket, pat = compartment.place(TYPE_NAME[stored.type], stored.id, named)
    if bucket != stored.bucket:
        return [Finding("place", stored.key, bucket)]
    return [Finding("patient", stored.key)] if pat != read.pat else []
