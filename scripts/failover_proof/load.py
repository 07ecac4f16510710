"""Who works with the server while its nodes fail: writers, readers, searchers, and somebody who logs in and out."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from . import resources
from .answers import Answers
from .client import Client
from .ledger import Key, Ledger, Written
from .resources import BUNDLED, GROWING, STEADY, Resource

BASE = "/fhir/R4"
PAUSE_SECONDS = (0.05, 0.25)
STALE_SHARE = 0.1  # updates that must be refused


@dataclass(frozen=True, slots=True)
class Chart:
    """A patient, and the group of nodes that the record lies on."""

    patient: str
    node: int


@dataclass(slots=True)
class Own:
    """What one writer alone writes to, so that it knows the versions."""

    key: Key
    chart: Chart


class Actor:
    """What one thread does, over and over, until `stop` is set."""

    def __init__(self, client: Client, rng: random.Random) -> None:
        self.client, self.rng = client, rng
        self.answers = Answers(client.ledger)

    @property
    def ledger(self) -> Ledger:
        return self.client.ledger

    def act(self) -> None:
        """One or two requests."""
        raise NotImplementedError

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set."""
        while not stop.wait(self.rng.uniform(*PAUSE_SECONDS)):
            self.act()
        self.client.close()


class Writer(Actor):
    """Creates, updates with If-Match, and transactions, all in the charts of one node."""

    def __init__(self, client: Client, rng: random.Random, charts: Sequence[Chart]) -> None:
        super().__init__(client, rng)
        self.charts = charts
        self.own: list[Own] = []

    def act(self) -> None:
        choices: list[Callable[[], None]] = [self.create, self.bundle]
        if self.own:
            choices += [self.update, self.update]
        self.rng.choice(choices)()

    def create(self) -> None:
        """POST of an Observation."""
        chart = self.rng.choice(self.charts)
        written = self._observation(chart, GROWING)
        call = self.client.ask(
            *("create", {chart.node}, "POST", f"{BASE}/Observation", written.body),
            expect={201},
            writes=(written,),
            check=self.answers.located(written),
        )
        if call.acknowledged and not call.fault:
            self.own.append(Own(written.key, chart))

    def update(self) -> None:
        """PUT with the version that the writer knows; now and then with one that is too old, which must be refused."""
        own = self.rng.choice(self.own)
        head = self.ledger.head(own.key)
        if head.attempts:
            self.look(own)
            return
        version = head.written.version or 0
        if version > 1 and self.rng.random() < STALE_SHARE:
            self._put("stale update", own, version - 1, expect={412})
        else:
            self._put("update", own, version, expect={200})

    def look(self, own: Own) -> None:
        """After an update without an answer: which version is there? The next update begins from that one."""
        call = self.client.ask(
            *("read", {own.chart.node}, "GET", f"{BASE}/{own.key[0]}/{own.key[1]}"),
            expect={200},
            check=self.answers.read(own.key),
        )
        if call.acknowledged and not call.fault:
            self.own.remove(own)  # an update still under way could come after this look: it stays as it is

    def _put(self, kind: str, own: Own, version: int, *, expect: set[int]) -> None:
        written = self._observation(own.chart, GROWING)
        written.id, written.body["id"] = own.key[1], own.key[1]
        stored = kind == "update"
        self.client.ask(
            *(kind, {own.chart.node}, "PUT", f"{BASE}/{own.key[0]}/{own.key[1]}", written.body),
            expect=expect,
            writes=(written,) if stored else (),
            check=self.answers.located(written) if stored else self.answers.nothing,
            If_Match=f'W/"{version}"',
        )

    def bundle(self) -> None:
        """A transaction of one patient: an Encounter, three Observations in it, and a new version of an older one."""
        chart = self.rng.choice(self.charts)
        entries, writes = self._visit(chart)
        mine = [own for own in self.own if own.chart == chart and not self.ledger.head(own.key).attempts]
        if mine:
            own = self.rng.choice(mine)
            written = self._observation(chart, GROWING)
            written.id, written.body["id"] = own.key[1], own.key[1]
            entries.append(resources.put(written.body, self.ledger.head(own.key).written.version or 0))
            writes.append(written)
        self._transaction("transaction", {chart.node}, entries, writes)

    def _transaction(self, kind: str, nodes: set[int], entries: list[Resource], writes: list[Written]) -> None:
        self.client.ask(
            *(kind, nodes, "POST", BASE, resources.transaction(entries)),
            expect={200},
            writes=tuple(writes),
            check=self.answers.transaction(writes, [entry.get("fullUrl") for entry in entries]),
        )

    def _visit(self, chart: Chart) -> tuple[list[Resource], list[Written]]:
        url = f"urn:uuid:{uuid.uuid4()}"
        mark = resources.new_mark()
        writes = [Written(mark, "Encounter", resources.encounter(mark, chart.patient))]
        writes += [self._observation(chart, BUNDLED, url) for _number in range(3)]
        urls = [url, *(f"urn:uuid:{uuid.uuid4()}" for _number in range(3))]
        return [resources.posted(one.body, full_url) for one, full_url in zip(writes, urls, strict=True)], writes

    def _observation(self, chart: Chart, code: str, encounter: str | None = None) -> Written:
        mark = resources.new_mark()
        value = self.rng.randrange(40, 180)
        return Written(mark, "Observation", resources.observation(mark, code, chart.patient, value, encounter))


class BundleWriter(Writer):
    """Transactions over patients of several nodes."""

    def act(self) -> None:
        chosen = [self.rng.choice(own) for own in self._by_node()]
        entries: list[Resource] = []
        writes: list[Written] = []
        for chart in chosen:
            more, written = self._visit(chart)
            entries += more
            writes += written
        self._transaction("transaction of several", {chart.node for chart in chosen}, entries, writes)

    def _by_node(self) -> list[list[Chart]]:
        nodes = sorted({chart.node for chart in self.charts})
        return [[chart for chart in self.charts if chart.node == node] for node in nodes]


class Reader(Actor):
    """Reads and chart searches in the charts of one node."""

    def __init__(self, client: Client, rng: random.Random, charts: Sequence[Chart]) -> None:
        super().__init__(client, rng)
        self.charts = charts

    def act(self) -> None:
        chart = self.rng.choice(self.charts)
        known = sorted(self.ledger.chart(chart.patient, "Observation"))
        if known and self.rng.random() < 0.6:
            self.read(chart, self.rng.choice(known))
        else:
            self.search(chart)

    def read(self, chart: Chart, key: Key) -> None:
        """GET of a resource that was acknowledged."""
        self.client.ask(
            *("read", {chart.node}, "GET", f"{BASE}/{key[0]}/{key[1]}"),
            expect={200},
            check=self.answers.read(key),
        )

    def search(self, chart: Chart) -> None:
        """All Encounters of a patient: everything acknowledged before must come."""
        self.client.ask(
            *("chart search", {chart.node}, "GET", f"{BASE}/Encounter?patient={chart.patient}&_count=1000"),
            expect={200},
            check=self.answers.chart(chart.patient, "Encounter"),
        )


class Searcher(Actor):
    """Questions about all patients: each node has a part of the answer."""

    def __init__(self, client: Client, rng: random.Random, nodes: frozenset[int], steady: frozenset[Key]) -> None:
        super().__init__(client, rng)
        self.nodes, self.steady = nodes, steady

    def act(self) -> None:
        self.rng.choice((self.page, self.count))()

    def page(self) -> None:
        """A population that nobody changes: exactly these."""
        self.client.ask(
            *("population search", self.nodes, "GET", f"{BASE}/Observation?code={STEADY}&_count=1000"),
            expect={200},
            check=self.answers.exactly(self.steady),
        )

    def count(self) -> None:
        """A population that grows: not fewer than were acknowledged, not more than were sent."""
        self.client.ask(
            *("population count", self.nodes, "GET", f"{BASE}/Observation?code={GROWING}&_summary=count"),
            expect={200},
            check=self.answers.count(GROWING),
        )


class Visitor(Actor):
    """Somebody who needs no patient's record: logs in, and asks how the server is."""

    def __init__(self, client: Client, rng: random.Random, username: str, password: str) -> None:
        super().__init__(client, rng)
        self.credentials = {"username": username, "password": password}

    def act(self) -> None:
        kind = self.rng.choice(("live", "live", "ready", "ready", "login"))
        if kind == "login":
            self.client.ask(
                kind, (0,), "POST", "/auth/login", self.credentials, expect={200}, Content_Type="application/json"
            )
        else:
            self.client.ask(kind, (0,) if kind == "ready" else (), "GET", f"/health/{kind}", expect={200})


class Load:
    """All actors, each in a thread of its own."""

    def __init__(self, actors: Sequence[Actor]) -> None:
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=actor.run, args=(self.stop,), daemon=True) for actor in actors]

    def __enter__(self) -> Load:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join()
