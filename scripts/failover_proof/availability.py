"""Who was answered while a node was away, and how soon its own were again: from the ledger alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from .ledger import Call

OTHERS_SECONDS = 5.0
LEAST_CALLS = 20  # in each part of a scenario: fewer prove nothing


@dataclass(frozen=True, slots=True)
class Accident:
    """What befell the group `victim` from `down` to `gone`, and from when on its answers are due again: `due`.

    `back` is when its process was there again; None where nobody brings it back but Patroni. Seconds of the ledger.
    """

    victim: int
    down: float
    gone: float
    due: float
    back: float | None = None

    def concerns(self, call: Call) -> bool:
        """Whether the call needs the victim; all that need anybody need the coordinator."""
        return self.victim in call.nodes or (self.victim == 0 and bool(call.nodes))

    @property
    def repaired(self) -> float:
        """From when recovery is counted."""
        return self.down if self.back is None else self.back


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing that must hold, whether it did, and the figures behind it."""

    text: str
    kept: bool
    measured: str


@dataclass(frozen=True, slots=True)
class Row:
    """The calls of one part: how many there were, and how they ended; `longest` is the longest wait in seconds."""

    calls: int
    answered: int
    refused: int
    faults: int
    longest: float


def row(calls: Sequence[Call]) -> Row:
    """The figures of these calls."""
    return Row(
        len(calls),
        sum(call.answered for call in calls),
        sum(call.refused for call in calls),
        sum(bool(call.fault) for call in calls),
        max((call.seconds for call in calls), default=0.0),
    )


def statuses(calls: Iterable[Call]) -> Counter[str]:
    """How many calls ended with each status; those without one by what happened to them."""
    return Counter(str(call.status) if call.status is not None else call.fault for call in calls)


def phases(calls: Sequence[Call], accident: Accident, end: float | None) -> dict[str, list[Call]]:
    """The calls before, during and after an outage that ended at `end`, which is None for one that never did.

    A call that was under way when the outage began belongs to it.
    """
    after = accident.due if end is None else end
    return {
        "before": [call for call in calls if (call.ended or 0) < accident.down],
        "during": [call for call in calls if (call.ended or 0) >= accident.down and call.started < after],
        "after": [call for call in calls if call.started >= after],
    }


def recovered(calls: Sequence[Call], accident: Accident) -> float | None:
    """When the first answer of the victim came that was asked for after it was gone; None: never."""
    first = accident.gone if accident.back is None else accident.back
    ends = [
        call.ended
        for call in calls
        if accident.concerns(call) and call.answered and call.started > first and call.ended is not None
    ]
    return min(ends, default=None)


def no_faults(calls: Sequence[Call]) -> Criterion:
    """No wrong answer, no 500, no request without an answer."""
    faults = [call for call in calls if call.fault]
    said = "; ".join(f"{text} ({count})" for text, count in Counter(c.fault[:160] for c in faults).most_common(5))
    return Criterion("No wrong answer, no 500, no hung request", not faults, said or f"0 of {len(calls)}")


def all_answered(calls: Sequence[Call]) -> Criterion:
    """Nothing was refused, by anybody."""
    refused = sum(not call.answered for call in calls)
    longest = max((call.seconds for call in calls), default=0.0)
    measured = f"{len(calls) - refused} of {len(calls)}, longest wait {longest:.2f} s"
    return Criterion("Every request is answered", not refused and len(calls) >= LEAST_CALLS, measured)


def of_accident(calls: Sequence[Call], accident: Accident) -> Iterator[Criterion]:
    """Others go on, the victim was really away, and came back in time."""
    others = [call for call in calls if not accident.concerns(call)]
    theirs = [call for call in calls if accident.concerns(call)]
    during = phases(others, accident, recovered(theirs, accident))["during"]
    answered = sum(call.answered for call in others)
    measured = f"{answered} of {len(others)}"
    yield Criterion(
        "All requests that do not need the node are answered",
        answered == len(others) and len(during) >= LEAST_CALLS,
        f"{measured}, {len(during)} of them during the outage",
    )
    longest = max((call.seconds for call in others), default=0.0)
    yield Criterion(
        f"Nobody else waits longer than {OTHERS_SECONDS:.0f} s", longest <= OTHERS_SECONDS, f"{longest:.2f} s"
    )
    gone = sum(call.refused or call.seconds > 1 for call in theirs)
    text = "The node was really away: its own were refused, or waited"
    yield Criterion(text, gone > 0, f"{gone} of 503, or after more than a second")
    yield _in_time(theirs, accident)


def _in_time(theirs: Sequence[Call], accident: Accident) -> Criterion:
    end = recovered(theirs, accident)
    late = [call for call in theirs if call.started >= accident.due]
    unanswered = [call for call in late if not call.answered]
    since = accident.repaired
    last = max((call.ended or 0 for call in theirs if not call.answered), default=None)
    measured = "never" if end is None else f"first answer after {end - since:.2f} s"
    if last is not None and last > since:
        measured += f", last refusal after {last - since:.2f} s"
    kept = end is not None and end <= accident.due and not unanswered and len(late) >= LEAST_CALLS
    since_what = "its process is back" if accident.back is not None else "it was killed"
    text = f"Its own are answered from {accident.due - since:.0f} s on after {since_what}"
    return Criterion(text, kept, f"{measured}; {len(unanswered)} of {len(late)} later ones refused")
