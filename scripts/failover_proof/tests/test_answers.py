"""Wrong answers are seen: too few matches, older versions, records of others, a 500, a 503 without Retry-After."""

from __future__ import annotations

from typing import Any

import pytest

from fhir import json
from scripts.failover_proof import resources
from scripts.failover_proof.answers import Answers
from scripts.failover_proof.availability import Accident, no_faults, of_accident, recovered
from scripts.failover_proof.client import Answer, Client, Wrong, nothing
from scripts.failover_proof.ledger import Call, Ledger, Written


@pytest.fixture
def ledger() -> Ledger:
    """Two Observations of patient p; the first is at version 2."""
    ledger = Ledger()
    for number, version in (("a", 1), ("a", 2), ("b", 1)):
        mark = f"{number}{version}"
        new = Written(mark, "Observation", resources.observation(mark, resources.GROWING, "p", 60))
        if version > 1:
            new.id = number
        call = Call(mark, "create", frozenset({1}), 0.0, (new,))
        ledger.begin(call)
        new.id, new.version = number, version
        ledger.end(call, 201)
    return ledger


def stored(ledger: Ledger, mark: str) -> dict[str, Any]:
    written = ledger.written(mark)
    assert written is not None
    return {**written.body, "id": written.id, "meta": {"versionId": str(written.version), "lastUpdated": "2024"}}


def answer(value: Any, status: int = 200, **headers: str) -> Answer:
    return Answer(status, headers, json.dumps(value))


def page(*found: dict[str, Any]) -> Answer:
    return answer({"entry": [{"resource": resource, "search": {"mode": "match"}} for resource in found]})


def test_reads(ledger: Ledger) -> None:
    check = Answers(ledger).read(("Observation", "a"))
    check(answer(stored(ledger, "a2")))
    with pytest.raises(Wrong, match="version 1"):
        check(answer(stored(ledger, "a1")))
    with pytest.raises(Wrong, match="other content"):
        check(answer({**stored(ledger, "a2"), "status": "amended"}))
    with pytest.raises(Wrong, match="another resource"):
        check(answer(stored(ledger, "b1")))


def test_charts(ledger: Ledger) -> None:
    check = Answers(ledger).chart("p", "Observation")
    check(page(stored(ledger, "a2"), stored(ledger, "b1")))
    with pytest.raises(Wrong, match="1 of 2 acknowledged"):
        check(page(stored(ledger, "b1")))
    with pytest.raises(Wrong, match="another patient"):
        Answers(ledger).chart("q", "Observation")(page(stored(ledger, "b1")))


def test_populations(ledger: Ledger) -> None:
    check = Answers(ledger).exactly(frozenset({("Observation", "a"), ("Observation", "b")}))
    check(page(stored(ledger, "a2"), stored(ledger, "b1")))
    with pytest.raises(Wrong, match="1 are missing"):
        check(page(stored(ledger, "a2")))


@pytest.mark.parametrize("total", [1, 3, None])
def test_totals(ledger: Ledger, total: int | None) -> None:
    check = Answers(ledger).count(resources.GROWING)
    check(answer({"total": 2}))
    with pytest.raises(Wrong, match="a total of"):
        check(answer({"total": total}))


def test_statuses() -> None:
    client = Client(1, Ledger())
    assert client._fault(answer({}, 503, **{"retry-after": "5"}), {200}, nothing) == ""
    assert "Retry-After" in client._fault(answer({}, 503), {200}, nothing)
    assert client._fault(answer({}, 500), {200}, nothing).startswith("status 500")


def calls(nodes: set[int], status: int, *starts: float, seconds: float = 0.1) -> list[Call]:
    return [Call("", "read", frozenset(nodes), start, (), start + seconds, status) for start in starts]


DOWN, GONE, BACK, DUE = 10.0, 10.1, 20.0, 25.0
ACCIDENT = Accident(2, DOWN, GONE, DUE, BACK)
SECONDS = [0.5 * number for number in range(100)]


def part(first: float, last: float) -> list[float]:
    return [second for second in SECONDS if first <= second < last]


def good() -> list[Call]:
    """Worker 1 is always there; worker 2 refuses until two seconds after it is back."""
    others = calls({1}, 200, *SECONDS) + calls(set(), 200, *SECONDS)
    theirs = calls({2}, 200, *part(0, 9), *part(22, 50)) + calls({2}, 503, *part(10, 22))
    return others + theirs


def kept(some: list[Call], accident: Accident = ACCIDENT) -> bool:
    return all(criterion.kept for criterion in (*of_accident(some, accident), no_faults(some)))


def test_a_short_outage_of_the_own_is_kept() -> None:
    assert kept(good())
    assert recovered(good(), ACCIDENT) == pytest.approx(22.1)


@pytest.mark.parametrize(
    "wrong",
    [
        calls({1}, 503, 15),  # another shard's request is refused
        calls({1}, 200, 15, seconds=6),  # or waits
        calls({2}, 503, 30),  # the own is refused after it was due
        [Call("", "read", frozenset({1}), 1, (), 2, 500, "status 500")],
        [Call("", "read", frozenset({2}), 12, (), 42, None, "no answer within 30 s")],
    ],
)
def test_what_must_not_be_is_seen(wrong: list[Call]) -> None:
    assert not kept(good() + wrong)


def test_an_outage_that_never_ends_and_one_that_never_was() -> None:
    theirs = [call for call in good() if call.nodes == {2}]
    others = [call for call in good() if call.nodes != {2}]
    assert not kept(others + calls({2}, 503, *part(10, 50)))
    assert not kept(others + calls({2}, 200, *SECONDS))
    assert not kept(theirs)  # nobody else has asked for anything


def test_without_the_coordinator_only_who_needs_nobody_goes_on() -> None:
    accident = Accident(0, DOWN, GONE, DUE)
    away = calls({1}, 503, *part(10, 25)) + calls({1}, 200, *part(25, 50)) + calls(set(), 200, *SECONDS)
    assert accident.concerns(away[0])
    assert not accident.concerns(away[-1])
    assert recovered(away, accident) == pytest.approx(25.1)


def test_what_the_dying_node_still_answers_is_no_recovery() -> None:
    accident = Accident(2, DOWN, GONE, 35.0)
    theirs = calls({2}, 200, *part(0, 10), 10.05) + calls({2}, 503, *part(11, 28)) + calls({2}, 200, *part(28, 50))
    assert recovered(theirs, accident) == pytest.approx(28.1)
    assert kept(theirs + calls({1}, 200, *SECONDS), accident)
