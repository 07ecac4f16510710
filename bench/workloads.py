"""What is measured: requests with the checks of their answers, and the recordings of the SQL that they send."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from fhir import content
from fhir.interactions import create, read, search, transaction, update

from . import client, data
from .client import Request, Response
from .environment import Environment
from .recording import Recording, Trips, copies, record

BASE = "/fhir/R4"
RECORDED = 24
RECORDED_BUNDLES = 3
UPDATED_BARE = 300


@dataclass(slots=True)
class Stored:
    """What the bench knows of the server: observation bodies by id with their versions, the charts to be searched."""

    bodies: dict[str, dict[str, Any]] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    patients: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Workload:
    """One line of the bench. `size` is resources a request; `atomic`: its SQL is framed by BEGIN and COMMIT."""

    name: str
    requests: Callable[[int], list[Request]]
    replays: Callable[[int], list[Trips]]
    recordings: list[Recording]
    count: int
    size: int = 1
    atomic: bool = False


class Charts:
    """The seeded charts, and the workloads on them.

    Half of the patients are read and searched, and never change; the other half's observations are updated: those of
    one list through the server, those of another by the bare loop, so that each knows its versions.
    """

    def __init__(self, at: Environment, patients: int, factor: float) -> None:
        self.at, self.context, self.factor = at, at.context(), factor
        self.rng = random.Random(data.SEED)
        self.stored = Stored()
        self.charts = [data.chart(self.rng) for _number in range(patients)]
        requests = [self._bundle_request(chart, self.stored) for chart in self.charts]
        client.run(at.port, requests, 2)
        half = patients // 2
        kept = set(self.stored.patients[:half])
        self.still = [i for i, body in self.stored.bodies.items() if body["subject"]["reference"][8:] in kept]
        changing = [i for i in self.stored.bodies if i not in set(self.still)]
        self.changed_here, self.changed_bare = changing[::2], changing[1::2]
        self.kept = self.stored.patients[:half]

    # --- requests

    def _render(self, method: str, path: str, body: Any = None) -> bytes:
        text = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        return client.render(method, BASE + path, self.at.token, text)

    def _bundle_request(self, chart: dict[str, Any], stored: Stored | None = None) -> Request:
        def check(response: Response) -> None:
            assert response.status == 200, response.body[:500]
            answers = json.loads(response.body)["entry"]
            assert len(answers) == len(chart["entry"])
            new = [_created_id(a["response"]["location"], a["response"]["status"]) for a in answers]
            assert len(set(new)) == len(new)
            if stored is not None:
                _remember(stored, chart, new)

        return Request(self._render("POST", "", chart), check)

    def reads(self, count: int) -> list[Request]:
        return [self._read(self.rng.choice(self.still)) for _number in range(count)]

    def _read(self, resource_id: str) -> Request:
        value = str(self.stored.bodies[resource_id]["valueQuantity"]["value"]).encode()

        def check(response: Response) -> None:
            assert response.status == 200, response.body[:500]
            assert response.headers["etag"] == content.etag(1)
            assert f'"id":"{resource_id}"'.encode() in response.body and value in response.body

        return Request(self._render("GET", f"/Observation/{resource_id}"), check)

    def creates(self, count: int) -> list[Request]:
        return [self._create() for _number in range(count)]

    def _new_observation(self) -> dict[str, Any]:
        patient = self.rng.choice(self.stored.patients[len(self.kept) :])
        return data.observation(self.rng, f"Patient/{patient}", self.rng.randrange(200))

    def _create(self) -> Request:
        def check(response: Response) -> None:
            assert response.headers["etag"] == content.etag(1)
            resource_id = _created_id(response.headers["location"], str(response.status))
            assert f'"id":"{resource_id}"'.encode() in response.body

        return Request(self._render("POST", "/Observation", self._new_observation()), check)

    def updates(self, count: int) -> list[Request]:
        return [self._update(resource_id) for resource_id in self.rng.sample(self.changed_here, count)]

    def _changed(self, resource_id: str) -> dict[str, Any]:
        body = self.stored.bodies[resource_id]
        quantity = {**body["valueQuantity"], "value": self.rng.randrange(300, 2000) / 10}
        return {**body, "id": resource_id, "status": "amended", "valueQuantity": quantity}

    def _update(self, resource_id: str) -> Request:
        version = self.stored.versions[resource_id] = self.stored.versions[resource_id] + 1

        def check(response: Response) -> None:
            assert response.status == 200, response.body[:500]
            assert response.headers["etag"] == content.etag(version)
            assert f'"versionId":"{version}"'.encode() in response.body

        return Request(self._render("PUT", f"/Observation/{resource_id}", self._changed(resource_id)), check)

    def searches(self, count: int) -> list[Request]:
        return [self._search(self.rng.choice(self.kept)) for _number in range(count)]

    def _pairs(self, patient: str) -> list[tuple[str, str]]:
        code = self.rng.choice(data.VITAL_SIGNS)[0]
        return [("patient", patient), ("code", f"{data.LOINC}|{code}"), ("_sort", "-date"), ("_count", "50")]

    def _search(self, patient: str) -> Request:
        pairs = self._pairs(patient)
        code = pairs[1][1].partition("|")[2]
        expected = {
            i for i in self.still
            if _code(self.stored.bodies[i]) == code and self.stored.bodies[i]["subject"]["reference"][8:] == patient
        }  # fmt: skip

        def check(response: Response) -> None:
            assert response.status == 200, response.body[:500]
            found = [entry["resource"] for entry in json.loads(response.body)["entry"]]
            assert len(found) == len(expected) and {resource["id"] for resource in found} == expected
            dates = [resource["effectiveDateTime"] for resource in found]
            assert dates == sorted(dates, reverse=True)

        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in pairs)
        return Request(self._render("GET", f"/Observation?{query}"), check)

    def bundles(self, count: int) -> list[Request]:
        return [self._bundle_request(data.chart(self.rng)) for _number in range(count)]

    # --- the same through the interactions, to record their SQL

    def record_all(self) -> dict[str, list[Recording]]:
        """Recordings of every kind of request."""
        context = self.context
        return {
            "read": _each(self.rng.choices(self.still, k=RECORDED), lambda i: read.read("Observation", i, context)),
            "create": _each(
                [self._new_observation() for _number in range(RECORDED)],
                lambda body: create.create("Observation", body, context),
            ),
            "update": _each(
                self.changed_bare[:UPDATED_BARE],
                lambda i: update.update("Observation", i, self._exact(self._changed(i)), context),
            ),
            "search": _each(
                self.rng.choices(self.kept, k=RECORDED),
                lambda patient: search.search("Observation", self._pairs(patient), context),
            ),
            "transaction": _each(
                [data.chart(self.rng) for _number in range(RECORDED_BUNDLES)],
                lambda chart: transaction.process(lambda: self._exact(chart), context),
            ),
        }

    @staticmethod
    def _exact(resource: dict[str, Any]) -> dict[str, Any]:
        parsed = content.parse(json.dumps(resource, ensure_ascii=False).encode())
        assert isinstance(parsed, dict)
        return parsed

    def workloads(self) -> list[Workload]:
        """All lines of the bench, in order."""
        recorded = self.record_all()
        made = {
            "read": (self.reads, 300),
            "create": (self.creates, 240),
            "update": (self.updates, 240),
            "search": (self.searches, 120),
            "transaction": (self.bundles, 16),
        }
        return [self._workload(name, recorded[name], *made[name]) for name in made]

    def _workload(
        self, name: str, recordings: list[Recording], requests: Callable[[int], list[Request]], count: int
    ) -> Workload:
        def replays(number: int) -> list[Trips]:
            if name == "update":  # each of them at most once a round: a replay must not race with another
                return [recording.copy() for recording in self.rng.sample(recordings, number)]
            return copies(recordings, number, self.rng)

        bundle = name == "transaction"
        return Workload(
            name,
            requests,
            replays,
            recordings,
            max(4, int(count * self.factor)),
            size=data.ENTRIES if bundle else 1,
            atomic=bundle,
        )


def _each(items: Sequence[Any], interaction: Callable[[Any], Any]) -> list[Recording]:
    return [record(lambda item=item: interaction(item)) for item in items]


def _created_id(location: str, status: str) -> str:
    assert status.startswith("201"), status
    *_base, resource_id, history, version = location.split("/")
    assert (history, version) == ("_history", "1"), location
    return resource_id


def _code(body: dict[str, Any]) -> str:
    code = body["code"]["coding"][0]["code"]
    assert isinstance(code, str)
    return code


def _remember(stored: Stored, chart: dict[str, Any], new: Sequence[str]) -> None:
    patient = new[0]
    stored.patients.append(patient)
    for resource_id, entry in zip(new[1:], chart["entry"][1:], strict=True):
        stored.bodies[resource_id] = {**entry["resource"], "subject": {"reference": f"Patient/{patient}"}}
        stored.versions[resource_id] = 1


def shapes(workload: Workload) -> str:
    """How many statements go in each round trip: `1`, `1+1`, `6`."""
    counts = Counter("+".join(str(len(trip)) for trip in made.trips) for made in workload.recordings)
    return counts.most_common(1)[0][0]
