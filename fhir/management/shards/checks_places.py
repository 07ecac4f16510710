"""Checks between buckets: an id leads to its resource, by itself or by its locator, and to nothing else.

What two statements saw may be two moments, so that whatever looks wrong is looked at again before it counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from fhir import database, ids
from fhir.store_many import KEYS, ON_KEYS
from fhir.versions import array

from .findings import Finding, Findings, Key

SECOND_LOOK_SECONDS = 0.3
T = TypeVar("T")

# Ids that this server gave in the bucket that they carry need nothing: the rest is judged here.
_AT_HOME = """CASE WHEN x.id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$'
 THEN ('x' || substr(x.id, 25, 4))::bit(16)::int = x.bucket ELSE false END"""
_ELSEWHERE = f"SELECT x.bucket, x.type, x.id FROM resource x WHERE x.bucket BETWEEN %s AND %s AND NOT {_AT_HOME}"
_LOCATORS = "SELECT x.bucket, x.type, x.id, x.target FROM locator x WHERE x.bucket BETWEEN %s AND %s"
_THERE = f"SELECT r.bucket, r.type, r.id FROM resource r JOIN {KEYS} ON {ON_KEYS} WHERE r.bucket = ANY(%s::int[])"
_TARGETS = f"""SELECT r.bucket, r.type, r.id, r.target FROM locator r JOIN {KEYS} ON {ON_KEYS}
 WHERE r.bucket = ANY(%s::int[])"""
_CLAIM = """INSERT INTO locator (bucket, type, id, target) VALUES (%s::int, %s::smallint, %s, %s::int)
 ON CONFLICT (bucket, type, id) DO UPDATE SET target = excluded.target"""
_DROP = "DELETE FROM locator WHERE bucket = %s::int AND type = %s::smallint AND id = %s AND target = %s::int"


def at_keys(sql: str, keys: Sequence[Key]) -> list[database.Row]:
    """The rows of a statement with KEYS and a list of buckets, for these keys."""
    if not keys:
        return []
    columns = [array(column) for column in zip(*keys, strict=True)]
    return database.fetch(sql, [*columns, array(sorted({bucket for bucket, _type, _id in keys}))])


def there(keys: Sequence[Key]) -> set[Key]:
    """Those of these keys at which there is a resource, deleted ones too."""
    return {(row[0], row[1], row[2]) for row in at_keys(_THERE, keys)}


def twice(found: Sequence[T], again: Callable[[Sequence[T]], Sequence[T]]) -> Sequence[T]:
    """What is still found a moment later."""
    if not found:
        return found
    time.sleep(SECOND_LOOK_SECONDS)
    return again(found)


def look(first: int, last: int, findings: Findings) -> None:
    """Resources of the buckets `first` to `last`, then locators there."""
    keys = [(row[0], row[1], row[2]) for row in database.fetch(_ELSEWHERE, (first, last))]
    for found in _parts(keys):
        _resources(twice(_lost(found), lambda lost: _lost(sorted(there([f.key for f in lost])))), findings)
    rows = database.fetch(_LOCATORS, (first, last))
    for listed in _parts(rows):
        stale = twice(_stale(listed), lambda seen: _stale(at_keys(_TARGETS, [(s[0], s[1], s[2]) for s in seen])))
        _locators(stale, findings)


def _parts(rows: Sequence[T], most: int = 2000) -> list[Sequence[T]]:
    return [rows[start : start + most] for start in range(0, len(rows), most)]


def _lost(keys: Sequence[Key]) -> list[Finding]:
    """Resources that their id's home does not know to be where they are."""
    homes = {key: ids.bucket_of(key[2]) for key in keys}
    asked = [(home, number, resource_id) for (_bucket, number, resource_id), home in homes.items()]
    targets = {(row[0], row[1], row[2]): row[3] for row in at_keys(_TARGETS, asked)}
    away = [(homes[key], key[1], key[2]) for key in keys if homes[key] != key[0]]
    taken = there(away)
    found = []
    for key in keys:
        home = (homes[key], key[1], key[2])
        if home in taken and home[0] != key[0]:
            found.append(Finding("duplicate", key, home[0]))
        elif home not in targets:
            found.append(Finding("locator-missing", key, home[0]))
        elif targets[home] != key[0]:
            found.append(Finding("locator-wrong", key, targets[home]))
    return found


def _resources(found: Sequence[Finding], findings: Findings) -> None:
    findings.add(found)
    rivals = there([(f.other or 0, f.key[1], f.key[2]) for f in found if f.check == "locator-wrong"])
    for check in ("locator-missing", "locator-wrong"):
        # Where the locator leads to another resource of that id, nobody can say which of them is right.
        mended = [f.key for f in found if f.check == check and (f.other, *f.key[1:]) not in rivals]
        statements = [(_CLAIM, (ids.bucket_of(key[2]), key[1], key[2], key[0])) for key in mended]
        findings.mend(check, statements, mended, len(mended))


def _stale(rows: Sequence[Any]) -> list[Any]:
    """Locators that are not at their id's home, or lead to where there is nothing."""
    known = there([(target, number, resource_id) for _bucket, number, resource_id, target in rows])
    return [
        row for row in rows if ids.bucket_of(row[2]) != row[0] or (row[3], row[1], row[2]) not in known
    ]  # fmt: skip


def _locators(stale: Sequence[Any], findings: Findings) -> None:
    findings.add([Finding("locator-stale", (r[0], r[1], r[2]), r[3]) for r in stale])
    keys = [(row[0], row[1], row[2]) for row in stale]
    findings.mend("locator-stale", [(_DROP, tuple(row)) for row in stale], keys, len(stale))
