"""What befalls the cluster, and what must hold then."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from clinical_records.local_cluster import LocalCluster, Node

from . import availability, database, judge
from .availability import Accident, Criterion
from .judge import Finding
from .ledger import Call
from .load import Load
from .patroni import PatroniCluster
from .stage import CommandFailed, Stage

BACK_SECONDS = 5.0  # without Patroni: from when the process is back until its patients are answered
BEFORE_SECONDS = 5.0
VICTIM = 2


@dataclass(slots=True)
class Result:
    """What happened in a scenario. `calls` are those of its load, `notes` what a reader of the report should know."""

    name: str
    title: str
    calls: Sequence[Call] = ()
    accident: Accident | None = None
    criteria: list[Criterion] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return bool(self.criteria) and all(criterion.kept for criterion in self.criteria)


def play(stage: Stage, result: Result, event: Callable[[Result], Accident | None], after: float) -> Result:
    """Load, the event in the middle of it, quiet, and the judgement."""
    first = len(stage.ledger.calls)
    with Load(stage.actors()):
        time.sleep(BEFORE_SECONDS)
        result.accident = event(result)
        time.sleep(after)
    result.calls = stage.ledger.calls[first:]
    with stage.cluster.connect() as connection:
        seconds = database.wait_until_quiet(connection)
        result.notes.append(f"All was quiet {seconds:.1f} s after the last answer.")
        snapshot = database.snapshot(connection)
    result.findings = judge.findings(stage.ledger.calls, snapshot)
    _stored(stage, result, snapshot)
    if result.accident is not None:
        result.criteria += availability.of_accident(result.calls, result.accident)
    else:
        result.criteria.append(availability.all_answered(result.calls))
    result.criteria.append(availability.no_faults(result.calls))
    return result


def _stored(stage: Stage, result: Result, snapshot: judge.Snapshot) -> None:
    """The criteria about what is stored: all that this stage has ever written is looked at."""
    counts = judge.counted(result.findings)
    calls = stage.ledger.calls
    acknowledged = sum(len(call.writes) for call in calls if call.acknowledged)
    unanswered = sum(bool(call.writes) and not call.acknowledged for call in calls)
    result.criteria += [
        _none(
            "Every acknowledged write is there, with its content and version, once",
            [counts[judge.LOST], counts[judge.CHANGED], counts[judge.TWICE]],
            f"of {acknowledged} acknowledged versions",
        ),
        _none("No half bundle", [counts[judge.HALF]], f"{unanswered} writes had no success"),
        _none(
            "Every acknowledged request and every version has its audit row",
            [counts[judge.UNAUDITED_CALL], counts[judge.UNAUDITED_VERSION]],
            f"of {sum(call.acknowledged for call in calls)} requests and {len(snapshot.versions)} versions",
        ),
        _none("No prepared transaction is left over", [counts[judge.PREPARED]], ""),
    ]


def _none(text: str, counts: Sequence[int], of_what: str) -> Criterion:
    return Criterion(text, not sum(counts), f"{sum(counts)} {'fail, ' if of_what else ''}{of_what}".strip())


# --- without Patroni


def dead_worker(stage: Stage, cluster: LocalCluster, seconds: float) -> Result:
    """kill -9 of a worker, which is started again after `seconds`."""
    result = Result("a", f"kill -9 of a worker, down {seconds:.0f} s, started again")
    return _away(stage, cluster, result, cluster.kill, cluster.restart, seconds, "killed and was back")


def frozen_worker(stage: Stage, cluster: LocalCluster, seconds: float) -> Result:
    """SIGSTOP of all processes of a worker, SIGCONT after `seconds`."""
    result = Result("b", f"all processes of a worker frozen for {seconds:.0f} s")
    return _away(stage, cluster, result, cluster.freeze, cluster.thaw, seconds, "frozen and thawed")


def _away(
    stage: Stage,
    cluster: LocalCluster,
    result: Result,
    stop: Callable[[Node], None],
    start: Callable[[Node], None],
    seconds: float,
    said: str,
) -> Result:
    """The victim is away for `seconds`; `said` is what a note says of it."""

    def event(result: Result) -> Accident:
        node = cluster.node(f"worker{VICTIM}")
        down = stage.ledger.now()
        stop(node)
        gone = stage.ledger.now()
        time.sleep(seconds)
        start(node)
        back = stage.ledger.now()
        result.notes.append(f"worker{VICTIM} was {said} {back - down:.1f} s later.")
        return Accident(VICTIM, down, gone, back + BACK_SECONDS, back)

    return play(stage, result, event, 12)


# --- with Patroni


def failover(stage: Stage, cluster: PatroniCluster, name: str, group: int) -> Result:
    """kill -9 of the Patroni and the PostgreSQL of a group's primary; nobody starts them before the load has ended."""
    what = "the coordinator" if group == 0 else "a worker group"
    killed = cluster.primary(group)
    limit = cluster.failover_seconds

    def event(result: Result) -> Accident:
        down = stage.ledger.now()
        cluster.kill(killed)
        gone = stage.ledger.now()
        time.sleep(down + limit - gone)
        result.notes.append(f"{killed.name} was killed; {cluster.primary(group).name} is the primary now.")
        return Accident(group, down, gone, down + limit)

    result = play(stage, Result(name, f"kill -9 of the primary of {what} under Patroni"), event, 8)
    started = time.monotonic()
    cluster.start(killed)
    cluster.wait_until_whole()
    seconds = time.monotonic() - started
    result.notes.append(f"{killed.name} was a standby in step {seconds:.1f} s after it was started again.")
    return result


# --- another node


def rebalance(stage: Stage, cluster: LocalCluster) -> Result:
    """A further worker, to which shards move while everybody works."""

    def event(result: Result) -> None:
        node = cluster.add_node()
        started = time.monotonic()
        stage.manage("shards", "add-worker", "127.0.0.1", str(node.port), "--lang=en")
        stage.manage("shards", "rebalance", "--lang=en")
        seconds = time.monotonic() - started
        after = _shards(cluster)
        spread = ", ".join(f"group {group}: {number}" for group, number in after.items())
        result.notes.append(f"{node.name} was added and the shards moved in {seconds:.0f} s; shards now: {spread}.")
        result.criteria.append(Criterion("The new worker has shards", len(after) > len(before), spread))

    before = _shards(cluster)
    result = Result("e", "a further worker is added and shards move to it")
    result.criteria.append(_verified(stage, "before"))
    play(stage, result, event, 5)
    result.criteria.append(_verified(stage, "after"))
    return result


def _shards(cluster: LocalCluster) -> dict[int, int]:
    with cluster.connect() as connection:
        return database.shards_of(connection)


def _verified(stage: Stage, when: str) -> Criterion:
    """`manage.py shards verify` must find nothing."""
    try:
        said, kept = stage.manage("shards", "verify", "--lang=en"), True
    except CommandFailed as error:
        said, kept = str(error), False
    return Criterion(f"`shards verify` finds nothing {when}", kept, said.strip().splitlines()[-1])
