"""Does the database hold what the server has acknowledged? Compares a ledger with a snapshot, and asks nobody."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .ledger import Call, Key, Written
from .resources import comparable


@dataclass(frozen=True, slots=True)
class Version:
    """One stored version of a resource; `mark` and `body` are None where it has none."""

    type: str
    id: str
    number: int
    mark: str | None
    body: dict[str, Any] | None

    @property
    def key(self) -> Key:
        return self.type, self.id


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All versions in the database, which of them an audit row speaks of, and the request ids of all audit rows.

    `prepared` counts two-phase commits that nobody has finished.
    """

    versions: Sequence[Version]
    audited: frozenset[tuple[str, str, int]]
    requests: frozenset[str]
    prepared: int


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not be: one of KINDS, and what it is about."""

    kind: str
    text: str


LOST, CHANGED, TWICE, HALF = "lost write", "changed content", "stored twice", "half bundle"
UNAUDITED_CALL, UNAUDITED_VERSION = "request without audit row", "version without audit row"
PREPARED = "prepared transaction left over"
KINDS = (LOST, CHANGED, TWICE, HALF, UNAUDITED_CALL, UNAUDITED_VERSION, PREPARED)

# Requests that leave no audit row: they ask for no record.
UNAUDITED = frozenset({"live", "ready"})


def findings(calls: Sequence[Call], snapshot: Snapshot) -> list[Finding]:
    """What is wrong; [] when the database holds what was acknowledged."""
    by_mark: dict[str, list[Version]] = defaultdict(list)
    for version in snapshot.versions:
        if version.mark is not None:
            by_mark[version.mark].append(version)
    newest: dict[Key, int] = {}
    for version in snapshot.versions:
        newest[version.key] = max(version.number, newest.get(version.key, 0))
    found = list(_twice(by_mark))
    for call in calls:
        found += _bundle(call, by_mark)
        if call.acknowledged:
            for written in call.writes:
                found += _acknowledged(written, call, by_mark.get(written.mark, []), newest)
    found += _audit(calls, snapshot)
    if snapshot.prepared:
        found.append(Finding(PREPARED, f"{snapshot.prepared} of them"))
    return found


def counted(found: Iterable[Finding]) -> dict[str, int]:
    """How many of each kind, zeros included."""
    counts = Counter(finding.kind for finding in found)
    return {kind: counts[kind] for kind in KINDS}


def _acknowledged(written: Written, call: Call, stored: Sequence[Version], newest: dict[Key, int]) -> Iterator[Finding]:
    where = f"{written.type}/{written.id}/_history/{written.version} of request {call.request_id}"
    if newest.get(written.key, 0) < (written.version or 0):
        yield Finding(LOST, f"{where}: the newest version is {newest.get(written.key, 0)}")
        return
    match = [version for version in stored if version.key == written.key and version.number == written.version]
    if not match:
        yield Finding(LOST, f"{where}: no such version with this content")
    elif match[0].body is None or comparable(match[0].body) != comparable(written.body):
        yield Finding(CHANGED, where)


def _twice(by_mark: dict[str, list[Version]]) -> Iterator[Finding]:
    for stored in by_mark.values():
        if len(stored) > 1:
            places = ", ".join(f"{version.type}/{version.id}/_history/{version.number}" for version in stored)
            yield Finding(TWICE, places)


def _bundle(call: Call, by_mark: dict[str, list[Version]]) -> Iterator[Finding]:
    """All of a bundle is there, or nothing, whatever was answered."""
    present = sum(written.mark in by_mark for written in call.writes)
    if 0 < present < len(call.writes):
        yield Finding(HALF, f"{present} of {len(call.writes)} entries of request {call.request_id} ({call.status})")


def _audit(calls: Sequence[Call], snapshot: Snapshot) -> Iterator[Finding]:
    for call in calls:
        if call.acknowledged and call.kind not in UNAUDITED and call.request_id not in snapshot.requests:
            yield Finding(UNAUDITED_CALL, f"{call.kind} {call.request_id}")
    for version in snapshot.versions:
        if (version.type, version.id, version.number) not in snapshot.audited:
            yield Finding(UNAUDITED_VERSION, f"{version.type}/{version.id}/_history/{version.number}")
