"""The statements of $everything: rows of one chart in the order of (type, id), which no update of a row changes.

What one patient decides lies in one bucket and is asked of one shard: every alias carries the bucket. What names the
patient beside another one lies elsewhere and is found by a term.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from typing import Any

from fhir import citus
from fhir.database import Statement
from fhir.definitions.search_parameters import clinical_date
from fhir.definitions.structure import RESOURCE_TYPES, TYPE_NAME, TYPE_NUMBER
from fhir.search import hashing
from fhir.search.catalogue import parameters
from fhir.search.sql import CONTENTS, content_of
from fhir.versions import array

# A page ends with the entry that crosses this many bytes of stored content, so that a worker can hold it.
PAGE_BYTES = 8 * 1024 * 1024
Key = tuple[int, str]  # type number, id


@dataclass(frozen=True, slots=True)
class Root:
    """Whose everything is asked: a Patient, or an Encounter. `pat` is the patient who decides the place, if any.

    `terms` find what refers to it: elsewhere, for a Patient; everywhere, for an Encounter. `places`, on Citus, are the
    buckets of what lies elsewhere, as far as it does; None where they are not known.
    """

    type: int
    id: str
    bucket: int
    pat: int | None
    terms: tuple[int, ...]
    places: tuple[int, ...] | None = None

    @property
    def is_patient(self) -> bool:
        return TYPE_NAME[self.type] == "Patient"


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be looked at. `start` and `end` are microseconds since 1970, of clinical dates; `policy` is the
    (pat, term) of the patient to whom the caller is limited."""

    types: frozenset[int]
    start: float | None = None
    end: float | None = None
    since: datetime | None = None
    policy: tuple[int, int] | None = None


@cache
def _date_columns() -> str:
    """Column `param` of the clinical dates of all types, as an array."""
    found = []
    for name in RESOURCE_TYPES:
        code = clinical_date(name)
        if code is not None:
            found.append(hashing.parameter_number(name, parameters(name)[code].stored_as[0]))
    return array(found)


class _Where:
    """Conditions with their named parameters."""

    def __init__(self, **values: Any) -> None:
        self.conditions = ["NOT r.deleted"]
        self.values: dict[str, Any] = values

    def add(self, condition: str, **values: Any) -> None:
        self.conditions.append(condition)
        self.values |= values

    @property
    def text(self) -> str:
        return " AND ".join(self.conditions)

    def types(self, numbers: frozenset[int]) -> None:
        """As a filter: the order of the walk must not depend on it."""
        others = set(TYPE_NUMBER.values()) - numbers
        if not others:
            return
        if len(others) < len(numbers):
            self.add("r.type <> ALL(%(types)s::smallint[])", types=array(sorted(others)))
        else:
            self.add("(r.type = ANY(%(types)s::smallint[])) IS TRUE", types=array(sorted(numbers)))

    def dates(self, bucket: str, limits: Limits) -> None:
        """Care between start and end: a clinical date that overlaps it, or none at all.

        Column `sdate` is the beginning of the earliest date; where it does not decide, the rows of dates do.
        """
        if limits.start is None and limits.end is None:
            return
        within, overlaps = ["r.sdate > '-Infinity'"], []
        if limits.start is not None:
            within.append("r.sdate >= %(start)s::float8")
            overlaps.append("d.hi > %(start)s::float8")
        if limits.end is not None:
            within.append("r.sdate < %(end)s::float8")
            overlaps.append("d.lo < %(end)s::float8")
        # An aggregate, because the planner would gather the dates of all charts for an EXISTS.
        rows = (
            f"SELECT bool_or({' AND '.join(overlaps)}) FROM range_index d WHERE d.bucket = {bucket}"
            " AND d.type = r.type AND d.id = r.id AND d.param = ANY(%(dates)s::int[])"
        )
        condition = f"(({' AND '.join(within)}) OR COALESCE(({rows}), true))"
        self.add(condition, dates=_date_columns(), start=limits.start, end=limits.end)

    def policy(self, limits: Limits) -> None:
        if limits.policy is not None:
            self.add(
                "(r.pat = %(policy_pat)s::bigint OR r.terms @> %(policy_term)s::bigint[])",
                policy_pat=limits.policy[0],
                policy_term=array(limits.policy[1:]),
            )

    def after(self, key: Key | None) -> None:
        if key is not None:
            self.add("(r.type, r.id) > (%(after_type)s::smallint, %(after_id)s)", after_type=key[0], after_id=key[1])


def _here(root: Root, limits: Limits) -> _Where:
    """What lies in the bucket of the root, by its patient, the root itself included."""
    where = _Where(b=root.bucket, p=root.pat, root_type=root.type, root_id=root.id)
    where.add("r.bucket = %(b)s AND r.pat = %(p)s::bigint")
    if not root.is_patient:
        where.add("((r.terms && %(own)s::bigint[]) IS TRUE OR (r.type = %(root_type)s AND r.id = %(root_id)s))")
        where.values["own"] = array(root.terms)
    where.types(limits.types)
    where.dates("%(b)s", limits)
    return where


def _elsewhere(root: Root, limits: Limits) -> _Where:
    where = _Where(own=array(root.terms), p=root.pat, root_type=root.type, root_id=root.id)
    if root.places is not None:
        where.values["places"] = array(root.places)
    where.types(limits.types)
    where.dates("c.bucket" if root.places is None else "c.bucket AND d.bucket = ANY(%(places)s::int[])", limits)
    where.policy(limits)
    if not root.is_patient and root.pat is not None:
        where.add("r.pat IS DISTINCT FROM %(p)s::bigint")
    return where


# Gathered first: by the term they are few, and a limit beside it would mislead the planner.
_BY_TERMS = """WITH m AS MATERIALIZED (SELECT r.bucket, r.type, r.id, r.updated, r.deleted, r.sdate, r.pat, r.terms
 FROM resource r WHERE {place} AND r.terms && %(own)s::bigint[])"""
_NOT_ROOT = "NOT (r.type = %(root_type)s AND r.id = %(root_id)s)"


def _place(root: Root, alias: str) -> str:
    """Where rows of an alias lie elsewhere."""
    return "true" if root.places is None else f"{alias}.bucket = ANY(%(places)s::int[])"


def head(root: Root, *, body: bool) -> Statement:
    """(deleted, updated, content or NULL) of the root."""
    content = "LEFT JOIN content c ON c.bucket = r.bucket AND c.bucket = %(b)s AND c.type = r.type AND c.id = r.id"
    text = (
        f"SELECT r.deleted, r.updated, {'c.body' if body else 'NULL'} FROM resource r {content if body else ''}"
        " WHERE r.bucket = %(b)s AND r.type = %(t)s AND r.id = %(i)s"
    )
    return text, {"b": root.bucket, "t": root.type, "i": root.id}


# The contents of rows `r` that lie with the root.
_HERE = content_of("%(b)s")


def _bounded(inner: str, contents: str) -> str:
    """The rows of `inner` with their content up to PAGE_BYTES, at least one; `found` is how many there were."""
    return f"""SELECT type, id, body, found FROM (SELECT r.type, r.id, c.body, count(*) OVER () AS found,
 sum(pg_column_size(c.body)) OVER (ORDER BY r.type, r.id) - pg_column_size(c.body) AS before
 FROM ({inner}) r JOIN {contents}) x
 WHERE before < {PAGE_BYTES} ORDER BY type, id"""


def walk(root: Root, limits: Limits, after: Key | None, limit: int) -> Statement:
    """(type, id, content, number of rows within `limit`) of what lies with the root, without the root."""
    where = _here(root, limits)
    where.add(_NOT_ROOT)
    if limits.since is not None:
        where.add("r.updated >= %(since)s", since=limits.since)
    where.after(after)
    inner = f"SELECT r.type, r.id FROM resource r WHERE {where.text} ORDER BY r.type, r.id LIMIT %(limit)s"
    return _bounded(inner, _HERE), {**where.values, "limit": limit}


def elsewhere(root: Root, limits: Limits, after: Key | None, limit: int) -> Statement:
    """(type, id, bucket, size) of what refers to the root from the charts of others, or from none."""
    where = _elsewhere(root, limits)
    where.add(_NOT_ROOT)
    if limits.since is not None:
        where.add("r.updated >= %(since)s", since=limits.since)
    where.after(after)
    text = (
        f"{_BY_TERMS.format(place=_place(root, 'r'))} SELECT r.type, r.id, r.bucket, pg_column_size(c.body) FROM m r"
        f" JOIN content c ON c.bucket = r.bucket AND c.type = r.type AND c.id = r.id AND {_place(root, 'c')}"
        f" WHERE {where.text} ORDER BY r.type, r.id LIMIT %(limit)s"
    )
    return text, {**where.values, "limit": limit}


# --- what is referred to

_TARGET = r"([A-Z][A-Za-z]+/[A-Za-z0-9.-]{1,64})(?:/_history/[A-Za-z0-9.-]{1,64})?"


# Every reference and url of a text, one array: what Citus sends to its shards has no UNION of functions. The first
# part of a text that is cut is what comes before.
_TEXTS = """unnest((string_to_array(c.body, '"reference":"'))[2:] || (string_to_array(c.body, '"url":"'))[2:])"""


@lru_cache(maxsize=8)
def references(base_url: str) -> re.Pattern[str]:
    """Finds, in a stored text, `Type/id` of what it refers to on this server, by reference or by url (Attachment.url).

    Stored JSON has no white space and escapes quotation marks inside strings, so that what matches is an element.
    """
    return re.compile(f'"(?:reference|url)":"(?:{re.escape(base_url)}/)?{_TARGET}"')


def targets(root: Root, limits: Limits, *, nearby: bool) -> Statement:
    """(reference, whether a row changed since then has it) of all that the rows of the chart refer to.

    `nearby`: of the rows that lie with the root; else of those elsewhere. `references` finds the target. Texts are cut
    at constant strings: regular expressions take PostgreSQL 100 times as long.
    """
    where = _here(root, limits) if nearby else _elsewhere(root, limits)
    contents = _HERE if nearby else f"{CONTENTS} AND {_place(root, 'c')}"
    gathered = "" if nearby else _BY_TERMS.format(place=_place(root, "r"))
    fresh = "true" if limits.since is None else "bool_or(r.updated >= %(since)s)"
    text = (
        f"""{gathered} SELECT '"reference":"' || split_part(t.part, '"', 1) || '"', {fresh}"""
        f" FROM {'resource' if nearby else 'm'} r JOIN {contents}, {_TEXTS} t(part)"
        f" WHERE {where.text} GROUP BY 1"
    )
    return text, {**where.values, "since": limits.since}


def supporting(
    root: Root, limits: Limits, free: frozenset[int], keys: Sequence[tuple[int, int, str, bool]], limit: int
) -> Statement:
    """(type, id, content, number of rows within `limit`) of the resources with these keys that may be includes.

    `keys` are (bucket, type, id, whether what changed refers to it). What is in nobody's chart may be, if it is of one
    of the types `free`; and of an Encounter's patient what is not of the encounter itself.
    """
    buckets, types, names, fresh = ([key[n] for key in keys] for n in range(4))
    where = _Where(buckets=array(buckets), kinds=array(types), names=names, fresh=fresh, limit=limit)
    where.values["free"] = array(sorted(free))
    nobody = "(r.pat IS NULL AND r.type = ANY(%(free)s::smallint[]))"
    if root.is_patient:
        where.add(nobody)
    else:
        where.add(f"({nobody} OR r.pat = %(p)s::bigint)", p=root.pat)
        where.add("(r.terms && %(own)s::bigint[]) IS FALSE", own=array(root.terms))
    if limits.since is not None:
        where.add("(k.fresh OR r.updated >= %(since)s)", since=limits.since)
    # On Citus the list says which shards are asked; on plain PostgreSQL it would only mislead the planner.
    where.add("r.bucket = ANY(%(buckets)s::int[])" if citus.distributed() else "true")
    inner = (
        "SELECT r.bucket, r.type, r.id FROM unnest(%(buckets)s::int[], %(kinds)s::smallint[], %(names)s::text[],"
        " %(fresh)s::bool[]) k(bucket, type, id, fresh) JOIN resource r ON r.bucket = k.bucket AND r.type = k.type"
        f" AND r.id = k.id WHERE {where.text} ORDER BY r.type, r.id LIMIT %(limit)s"
    )
    return _bounded(inner, CONTENTS), where.values


def bodies(rows: Sequence[tuple[int, int, str]]) -> Statement:
    """(type, id, content) of rows (bucket, type, id)."""
    buckets, types, names = ([row[n] for row in rows] for n in range(3))
    place = "c.bucket = ANY(%(buckets)s::int[])" if citus.distributed() else "true"
    text = (
        "SELECT c.type, c.id, c.body FROM unnest(%(buckets)s::int[], %(types)s::smallint[], %(names)s::text[])"
        " k(bucket, type, id) JOIN content c ON c.bucket = k.bucket AND c.type = k.type AND c.id = k.id"
        f" WHERE {place}"
    )
    return text, {"buckets": array(buckets), "types": array(types), "names": names}
