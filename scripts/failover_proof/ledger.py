"""What was asked of the server, and what it answered: the side of the proof that does not believe the database."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

Key = tuple[str, str]  # type and id


@dataclass(slots=True)
class Written:
    """One resource of a write. `id` and `version` are what the server acknowledged; None until then.

    `mark` is in the resource's identifier, and no other version of anything has it. `body` is what was sent.
    """

    mark: str
    type: str
    body: dict[str, Any]
    id: str | None = None
    version: int | None = None

    @property
    def key(self) -> Key:
        assert self.id is not None
        return self.type, self.id

    @property
    def patient(self) -> str:
        """The id of the patient that it is about; "" for a Patient."""
        return str(self.body.get("subject", {}).get("reference", "")).removeprefix("Patient/")

    @property
    def label(self) -> str:
        """What it is counted by: the code of an Observation, else the type."""
        return str(self.body["code"]["coding"][0]["code"]) if self.type == "Observation" else self.type


@dataclass(slots=True)
class Call:
    """One request. Times are seconds since the ledger was begun; `ended` is None while it is under way.

    `nodes` are the groups without which it cannot be answered. `status` None: no answer came. `fault` says what was
    wrong with the answer, or why there was none; a plain 503 with Retry-After is no fault.
    """

    request_id: str
    kind: str
    nodes: frozenset[int]
    started: float
    writes: tuple[Written, ...] = ()
    ended: float | None = None
    status: int | None = None
    fault: str = ""

    @property
    def seconds(self) -> float:
        """How long the client waited."""
        assert self.ended is not None
        return self.ended - self.started

    @property
    def answered(self) -> bool:
        """With what was to be expected where every node is there."""
        return self.status is not None and self.status < 500 and not self.fault

    @property
    def refused(self) -> bool:
        """503 with Retry-After: nothing wrong, but not answered."""
        return self.status == 503 and not self.fault

    @property
    def acknowledged(self) -> bool:
        """A success, so that it holds for ever."""
        return self.status is not None and 200 <= self.status < 300


@dataclass(slots=True)
class Head:
    """The newest acknowledged version of a resource, and its attempts since: one of them may have been stored."""

    written: Written
    attempts: list[Written] = field(default_factory=list)


class Ledger:
    """All calls, from all threads, and what they let one expect of reads and searches."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._marks: dict[str, Written] = {}
        self._settled: set[str] = set()
        self._heads: dict[Key, Head] = {}
        self._charts: defaultdict[str, set[Key]] = defaultdict(set)
        self._begun: Counter[str] = Counter()
        self._acknowledged: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._zero = time.monotonic()

    def now(self) -> float:
        """Seconds since the ledger was begun."""
        return time.monotonic() - self._zero

    def begin(self, call: Call) -> None:
        """Before the request is sent: from now on its writes may be stored."""
        with self._lock:
            self.calls.append(call)
            for written in call.writes:
                self._marks[written.mark] = written
                if written.id is None:
                    self._begun[written.label] += 1
                else:
                    self._heads[written.key].attempts.append(written)

    def end(self, call: Call, status: int | None, fault: str = "") -> None:
        """After the answer. An acknowledged write carries ids and versions by then."""
        with self._lock:
            call.ended, call.status, call.fault = self.now(), status, fault
            if call.acknowledged and not fault:
                for written in call.writes:
                    self._stored(written)

    def _stored(self, written: Written) -> None:
        if written.key not in self._heads:
            self._acknowledged[written.label] += 1
            self._charts[written.patient].add(written.key)
        self._heads[written.key] = Head(written)
        self._settled.add(written.mark)

    def head(self, key: Key) -> Head:
        """The newest acknowledged version and the attempts since, as they are at this moment."""
        with self._lock:
            head = self._heads[key]
            return Head(head.written, list(head.attempts))

    def written(self, mark: str) -> Written | None:
        """What carries this mark, whether it was acknowledged or not."""
        with self._lock:
            return self._marks.get(mark)

    def is_settled(self, written: Written) -> bool:
        """Whether it was acknowledged, so that its id, version and references are known."""
        with self._lock:
            return written.mark in self._settled

    def chart(self, patient_id: str, resource_type: str) -> set[Key]:
        """The acknowledged resources of one type of a patient."""
        with self._lock:
            return {key for key in self._charts[patient_id] if key[0] == resource_type}

    def begun(self, label: str) -> int:
        """How many resources of this label may be stored by now."""
        with self._lock:
            return self._begun[label]

    def acknowledged(self, label: str) -> int:
        """How many resources of this label must be stored by now."""
        with self._lock:
            return self._acknowledged[label]
