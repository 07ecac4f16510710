"""The judge finds what is wrong: each kind of damage is planted, and nothing is found without."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scripts.failover_proof import judge, resources
from scripts.failover_proof.judge import Finding, Snapshot, Version
from scripts.failover_proof.ledger import Call, Ledger, Written


def written(number: int, *, resource_id: str | None = None, version: int | None = None) -> Written:
    mark = f"mark-{number}"
    body = resources.observation(mark, resources.GROWING, "p", 60 + number)
    return Written(mark, "Observation", body, resource_id, version)


def call(number: int, *writes: Written, status: int | None = 201) -> Call:
    return Call(f"request-{number}", "create", frozenset({1}), 0.0, writes, ended=1.0, status=status)


def stored(one: Written, number: int = 1, resource_id: str | None = None) -> Version:
    body = {**one.body, "id": one.id, "meta": {"versionId": str(number), "lastUpdated": "2024-05-02T08:00:00Z"}}
    return Version(one.type, resource_id or one.id or "", number, one.mark, body)


def snapshot(calls: list[Call], versions: list[Version], prepared: int = 0) -> Snapshot:
    """A database in which everything has its audit row."""
    audited = frozenset((version.type, version.id, version.number) for version in versions)
    return Snapshot(versions, audited, frozenset(one.request_id for one in calls), prepared)


@pytest.fixture
def calls() -> list[Call]:
    """A create, its update, and a bundle of two."""
    first, second = written(1, resource_id="a", version=1), written(2, resource_id="a", version=2)
    bundle = written(3, resource_id="b", version=1), written(4, resource_id="c", version=1)
    return [call(1, first), call(2, second, status=200), call(3, *bundle, status=200)]


@pytest.fixture
def versions(calls: list[Call]) -> list[Version]:
    return [stored(one, one.version or 0) for each in calls for one in each.writes]


def kinds(found: list[Finding]) -> list[str]:
    return [finding.kind for finding in found]


def test_nothing_is_found_where_all_is_well(calls: list[Call], versions: list[Version]) -> None:
    assert judge.findings(calls, snapshot(calls, versions)) == []


def test_a_lost_create(calls: list[Call], versions: list[Version]) -> None:
    alone = [calls[0]]
    assert kinds(judge.findings(alone, snapshot(alone, []))) == [judge.LOST]


def test_an_update_that_is_gone_while_the_older_version_is_there(calls: list[Call], versions: list[Version]) -> None:
    assert kinds(judge.findings(calls, snapshot(calls, [v for v in versions if v.number != 2]))) == [judge.LOST]


def test_a_version_that_was_written_over_by_another(calls: list[Call], versions: list[Version]) -> None:
    other = written(9, resource_id="a", version=2)
    changed = [stored(other, 2) if v.number == 2 else v for v in versions]
    assert kinds(judge.findings(calls, snapshot(calls, changed))) == [judge.LOST]


def test_content_that_is_not_what_was_sent(calls: list[Call], versions: list[Version]) -> None:
    body = versions[0].body
    assert body is not None
    versions[0] = replace(versions[0], body={**body, "status": "amended"})
    assert kinds(judge.findings(calls, snapshot(calls, versions))) == [judge.CHANGED]


def test_a_write_that_was_stored_twice(calls: list[Call], versions: list[Version]) -> None:
    again = replace(versions[0], id="d")
    assert kinds(judge.findings(calls, snapshot(calls, [*versions, again]))) == [judge.TWICE]


@pytest.mark.parametrize("status", [None, 503])
def test_half_a_bundle_that_nobody_acknowledged(status: int | None) -> None:
    entries = written(1), written(2), written(3)
    calls = [call(1, *entries, status=status)]
    some = [stored(entries[0], resource_id="a"), stored(entries[1], resource_id="b")]
    assert kinds(judge.findings(calls, snapshot(calls, some))) == [judge.HALF]
    whole = [*some, stored(entries[2], resource_id="c")]
    assert judge.findings(calls, snapshot(calls, whole)) == []
    assert judge.findings(calls, snapshot(calls, [])) == []


def test_half_an_acknowledged_bundle(calls: list[Call], versions: list[Version]) -> None:
    found = kinds(judge.findings(calls, snapshot(calls, [v for v in versions if v.id != "c"])))
    assert sorted(found) == sorted([judge.HALF, judge.LOST])


def test_a_request_without_audit_row(calls: list[Call], versions: list[Version]) -> None:
    whole = snapshot(calls, versions)
    gap = replace(whole, requests=whole.requests - {"request-2"})
    assert kinds(judge.findings(calls, gap)) == [judge.UNAUDITED_CALL]


def test_a_version_without_audit_row(calls: list[Call], versions: list[Version]) -> None:
    whole = snapshot(calls, versions)
    gap = replace(whole, audited=whole.audited - {("Observation", "a", 1)})
    assert kinds(judge.findings(calls, gap)) == [judge.UNAUDITED_VERSION]


def test_a_prepared_transaction_that_was_left_over(calls: list[Call], versions: list[Version]) -> None:
    assert kinds(judge.findings(calls, snapshot(calls, versions, prepared=1))) == [judge.PREPARED]


def test_references_between_the_entries_of_a_bundle_lead_to_what_was_stored() -> None:
    sent = resources.observation("m", resources.BUNDLED, "p", 60, "urn:uuid:1")
    assert resources.resolved(sent, {"urn:uuid:1": "Encounter/e"})["encounter"] == {"reference": "Encounter/e"}


def test_the_ledger_knows_what_must_and_what_may_be_there() -> None:
    ledger = Ledger()
    one, other = written(1), written(2)
    first = Call("1", "create", frozenset({1}), 0.0, (one,))
    second = Call("2", "create", frozenset({1}), 0.0, (other,))
    ledger.begin(first)
    ledger.begin(second)
    one.id, one.version = "a", 1
    ledger.end(first, 201)
    ledger.end(second, 503)
    assert (ledger.acknowledged(resources.GROWING), ledger.begun(resources.GROWING)) == (1, 2)
    assert ledger.chart("p", "Observation") == {("Observation", "a")}
