"""Every shape of question that the product asks, as requests on generated charts: for the clock and for the tasks.

The same requests go to all layouts. Charts with an even number are read, and never change; those with an odd number are
written to.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import chain, cycle, zip_longest
from typing import Any, NamedTuple
from urllib.parse import quote

from fhir import charts

from . import data

SEED = 2024
COUNTED = 12  # charts, where tasks are counted
BASE = "/fhir/R4"
JSON_PATCH = "application/json-patch+json"
Resource = dict[str, Any]

# What a shape is about: one resource or chart (a bound belongs to it), some charts, or all of them.
READ, WRITE, CHART, FEW, ALL = "read", "write", "chart", "few", "all"
ONE_PATIENT = (READ, WRITE, CHART)
REPEATABLE = (READ, CHART, ALL)


class Question(NamedTuple):
    """A request; `path` is under the base. `as_patient`: the patient asks, whose id is that of the hand."""

    method: str
    path: str
    body: Any = None
    content_type: str = "application/fhir+json"
    headers: dict[str, str] = {}
    as_patient: bool = False

    @property
    def url(self) -> str:
        """The path of the server."""
        return f"{BASE}/{self.path}" if self.path[:1] not in ("", "?") else BASE + self.path


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of request. `example` is what the documentation shows; `ask` makes one from the values of a hand."""

    name: str
    kind: str
    example: str
    ask: Callable[[Hand], Question]
    statuses: tuple[int, ...] = (200,)


@dataclass(frozen=True, slots=True)
class Count:
    """What one interaction costs the cluster.

    `trips` has the tasks of each statement, in each round trip to the coordinator; `shards` is how many different ones
    they name, of `all_shards`; `commands` is all that was sent to nodes, BEGIN and COMMIT among it.
    """

    trips: tuple[tuple[int, ...], ...]
    shards: int
    all_shards: int
    commands: int

    @property
    def statements(self) -> str:
        """How many statements go in each round trip: `1`, `1+1`, `1+6`."""
        return "+".join(str(len(trip)) for trip in self.trips)

    @property
    def tasks(self) -> str:
        """Their sum, with statements over all shards apart: `2`, `all + 1`, `2 × all + 3`."""
        counts = [count for trip in self.trips for count in trip]
        whole = sum(count // self.all_shards for count in counts)
        rest = sum(count % self.all_shards for count in counts)
        parts = [f"{whole} × all" if whole > 1 else "all"] if whole else []
        return " + ".join([*parts, str(rest)] if rest or not parts else parts)

    @property
    def reached(self) -> str:
        """The number of shards, or `all`."""
        return "all" if self.shards == self.all_shards else str(self.shards)


@cache
def chart(index: int) -> list[Resource]:
    """All resources of patient number `index`, the Patient first."""
    return charts.chart(SEED, index)


def _kept(index: int, kind: str) -> list[Resource]:
    return [resource for resource in chart(index) if resource["resourceType"] == kind]


@dataclass(slots=True)
class Hand:
    """Draws values from the charts 0 to `patients` - 1; the same seed draws the same."""

    patients: int
    seed: int = 1
    rng: random.Random = field(init=False)
    _updated: Iterator[Resource] = field(init=False)
    _deleted: Iterator[Resource] = field(init=False)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self._updated = cycle(filter(None, self._observations(0)))
        self._deleted = filter(None, self._observations(1))

    def _observations(self, first: int) -> Iterator[Resource]:
        """Every other observation of the charts that are written to, one chart after the other."""
        lists = [_kept(index, "Observation")[first::2] for index in range(1, self.patients, 2)]
        return chain.from_iterable(zip_longest(*lists))

    @property
    def patient(self) -> str:
        """The patient who has an account: the first one."""
        return str(chart(0)[0]["id"])

    def read(self, kind: str = "Patient") -> Resource:
        """A resource of a chart that does not change, and that has such a one."""
        while True:
            found = _kept(self.rng.randrange(0, self.patients, 2), kind)
            if found:
                return self.rng.choice(found)

    def written(self) -> Resource:
        """The Patient of a chart that is written to."""
        return chart(self.rng.randrange(1, self.patients, 2))[0]

    def apart(self, count: int) -> list[Resource]:
        """So many different ones of them."""
        indexes = range(1, self.patients, 2)
        return [chart(index)[0] for index in self.rng.sample(indexes, min(count, len(indexes)))]

    def observation(self, patient: Resource) -> Resource:
        """A new observation for a patient."""
        return data.observation(self.rng, f"Patient/{patient['id']}", self.rng.randrange(200))

    def to_update(self) -> Resource:
        """An observation that may be changed."""
        return next(self._updated)

    def to_delete(self) -> Resource:
        """One that may be deleted; each comes once."""
        return next(self._deleted)

    def token(self, kind: str) -> str:
        """The code of some resource of this type, as a search value."""
        coding = self.read(kind)["code"]["coding"][0]
        return quote(f"{coding['system']}|{coding['code']}", safe="")

    def identifier(self, patient: Resource | None = None) -> str:
        """A patient's identifier, as a search value."""
        found = (patient or self.read())["identifier"][0]
        return quote(f"{found['system']}|{found['value']}", safe="")

    def family(self) -> str:
        """A patient's family name."""
        return quote(self.read()["name"][0]["family"])


def _get(path: str, **headers: str) -> Question:
    return Question("GET", path, headers=headers)


def _put(resource: Resource, rng: random.Random) -> Question:
    """A version that differs from every other one."""
    changed = {**resource, "status": "amended", "note": [{"text": f"{rng.getrandbits(60)}"}]}
    return Question("PUT", f"Observation/{resource['id']}", changed)


def _patched(resource: Resource, rng: random.Random) -> Question:
    change = [{"op": "add", "path": "/note", "value": [{"text": f"{rng.getrandbits(60)}"}]}]
    return Question("PATCH", f"Observation/{resource['id']}", change, JSON_PATCH)


def _post_entry(resource: Resource, urn: str = "") -> Resource:
    request = {"method": "POST", "url": resource["resourceType"]}
    return {"resource": resource, "request": request, **({"fullUrl": urn} if urn else {})}


def _over_patients(hand: Hand, count: int) -> Question:
    entries = [_post_entry(hand.observation(patient)) for patient in hand.apart(count)]
    return Question("POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": entries})


def _batch(hand: Hand, count: int) -> Question:
    entries = [{"request": {"method": "GET", "url": f"Patient/{patient['id']}"}} for patient in hand.apart(count)]
    return Question("POST", "", {"resourceType": "Bundle", "type": "batch", "entry": entries})


def _conditional_create(hand: Hand, *, there: bool) -> Question:
    """With an identifier that is there, or with a new one."""
    if there:
        patient = hand.read()
        body = {name: value for name, value in patient.items() if name != "id"}
        return Question("POST", "Patient", body, headers={"If-None-Exist": f"identifier={hand.identifier(patient)}"})
    body = data.patient(hand.rng)
    return Question("POST", "Patient", body, headers={"If-None-Exist": f"identifier={hand.identifier(body)}"})


def _conditional_update(hand: Hand) -> Question:
    patient = hand.written()
    changed = {**patient, "telecom": [{"system": "phone", "value": f"{hand.rng.getrandbits(40)}"}]}
    return Question("PUT", f"Patient?identifier={hand.identifier(patient)}", changed)


def _own_id(hand: Hand) -> Question:
    new_id = str(uuid.UUID(int=hand.rng.getrandbits(128), version=4))
    return Question("PUT", f"Observation/{new_id}", {**hand.observation(hand.written()), "id": new_id})


def _in_chart(hand: Hand, more: str, kind: str = "Patient") -> str:
    """The query of the chart that a resource of this type was found in."""
    found = hand.read(kind)
    patient = found["id"] if kind == "Patient" else found["subject"]["reference"].split("/")[1]
    return f"patient={patient}&{more}"


def _practitioner(hand: Hand) -> str:
    return str(hand.read("Encounter")["participant"][0]["individual"]["reference"])


_HEIGHT = quote(f"{data.LOINC}|8302-2", safe="")
_VITAL = "category=vital-signs"

SHAPES = (
    Shape("read", READ, "GET Patient/[id]", lambda h: _get(f"Patient/{h.read()['id']}")),
    Shape("read, observation", READ, "GET Observation/[id]",
          lambda h: _get(f"Observation/{h.read('Observation')['id']}")),
    Shape("read, not modified", READ, "GET Observation/[id], If-None-Match",
          lambda h: _get(f"Observation/{h.read('Observation')['id']}", **{"If-None-Match": 'W/"1"'}), (304,)),
    Shape("vread", READ, "GET Observation/[id]/_history/1",
          lambda h: _get(f"Observation/{h.read('Observation')['id']}/_history/1")),
    Shape("history of a resource", READ, "GET Observation/[id]/_history",
          lambda h: _get(f"Observation/{h.read('Observation')['id']}/_history")),
    Shape("create", WRITE, "POST Observation",
          lambda h: Question("POST", "Observation", h.observation(h.written())), (201,)),
    Shape("update", WRITE, "PUT Observation/[id]", lambda h: _put(h.to_update(), h.rng)),
    Shape("patch", WRITE, "PATCH Observation/[id]", lambda h: _patched(h.to_update(), h.rng)),
    Shape("delete", WRITE, "DELETE Observation/[id]",
          lambda h: Question("DELETE", f"Observation/{h.to_delete()['id']}"), (200, 204)),
    Shape("transaction, one patient", WRITE, "POST Bundle of 20 entries: a patient and observations",
          lambda h: Question("POST", "", data.chart(h.rng, 20))),
    Shape("chart search", CHART, "GET Observation?patient=…&code=…&_sort=-date&_count=50",
          lambda h: _get(f"Observation?{_in_chart(h, f'code={_HEIGHT}&_sort=-date&_count=50')}")),
    Shape("chart search, total", CHART, "GET Observation?patient=…&_total=accurate",
          lambda h: _get(f"Observation?{_in_chart(h, '_total=accurate&_count=20')}")),
    Shape("chart search, dates", CHART, "GET Observation?patient=…&category=…&date=ge…",
          lambda h: _get(f"Observation?{_in_chart(h, f'{_VITAL}&date=ge2024&_count=20')}")),
    Shape("chart search, chain", CHART, "GET Observation?patient=…&encounter.class=AMB",
          lambda h: _get(f"Observation?{_in_chart(h, 'encounter.class=AMB&_count=20')}")),
    Shape("chart search, _include in the chart", CHART, "GET Observation?patient=…&_include=Observation:encounter",
          lambda h: _get(f"Observation?{_in_chart(h, '_count=20&_include=Observation:encounter')}")),
    Shape("patient, _revinclude", CHART, "GET Patient?_id=…&_revinclude=Condition:patient",
          lambda h: _get(f"Patient?_id={h.read()['id']}&_revinclude=Condition:patient")),
    Shape("compartment", CHART, "GET Patient/[id]/Observation",
          lambda h: _get(f"Patient/{h.read()['id']}/Observation?_count=20")),
    Shape("$everything", CHART, "GET Patient/[id]/$everything?_count=50",
          lambda h: _get(f"Patient/{h.read()['id']}/$everything?_count=50")),
    Shape("$lastn", CHART, "GET Observation/$lastn?patient=…",
          lambda h: _get(f"Observation/$lastn?{_in_chart(h, _VITAL)}")),
    Shape("the patient's own search", CHART, "GET Observation?code=…, asked by a patient",
          lambda h: Question("GET", f"Observation?code={_HEIGHT}&_count=20", as_patient=True)),
    Shape("by id", FEW, "GET Patient?_id=…", lambda h: _get(f"Patient?_id={h.read()['id']}")),
    Shape("by identifier", FEW, "GET Patient?identifier=…", lambda h: _get(f"Patient?identifier={h.identifier()}")),
    Shape("chart search, _include elsewhere", FEW, "GET Encounter?patient=…&_include=Encounter:participant",
          lambda h: _get(f"Encounter?{_in_chart(h, '_count=20&_include=Encounter:participant', 'Encounter')}")),
    Shape("conditional create, found", FEW, "POST Patient, If-None-Exist: identifier=…",
          lambda h: _conditional_create(h, there=True)),
    Shape("conditional create, new", FEW, "POST Patient, If-None-Exist: identifier=…",
          lambda h: _conditional_create(h, there=False), (201,)),
    Shape("conditional update", FEW, "PUT Patient?identifier=…", _conditional_update),
    Shape("update as create", FEW, "PUT Observation/[new id]", _own_id, (201,)),
    Shape("transaction, three patients", FEW, "POST Bundle of 3 entries: an observation each",
          lambda h: _over_patients(h, 3)),
    Shape("batch of three reads", FEW, "POST Bundle of 3 entries: GET Patient/[id]", lambda h: _batch(h, 3)),
    Shape("by name", ALL, "GET Patient?name=…&_count=10", lambda h: _get(f"Patient?name={h.family()}&_count=10")),
    Shape("population, 50 rows", ALL, "GET Observation?code=…&_sort=-date&_count=50",
          lambda h: _get(f"Observation?code={_HEIGHT}&_sort=-date&_count=50")),
    Shape("population, total", ALL, "GET Observation?code=…&_total=accurate&_count=1",
          lambda h: _get(f"Observation?code={_HEIGHT}&_total=accurate&_count=1")),
    Shape("population, _include", ALL, "GET Observation?code=…&_include=Observation:patient",
          lambda h: _get(f"Observation?code={_HEIGHT}&_count=20&_include=Observation:patient")),
    Shape("population, _revinclude", ALL, "GET Patient?gender=…&_revinclude=Condition:patient",
          lambda h: _get("Patient?gender=female&_count=10&_revinclude=Condition:patient")),
    Shape("_has", ALL, "GET Patient?_has:Condition:patient:code=…",
          lambda h: _get(f"Patient?_has:Condition:patient:code={h.token('Condition')}&_count=20")),
    Shape("chain by identifier", ALL, "GET Observation?patient.identifier=…",
          lambda h: _get(f"Observation?patient.identifier={h.identifier()}&_count=20")),
    Shape("chain by name", ALL, "GET Condition?patient.name=…",
          lambda h: _get(f"Condition?patient.name={h.family()}&_count=20")),
    Shape("by practitioner", ALL, "GET Encounter?participant=Practitioner/[id]",
          lambda h: _get(f"Encounter?participant={_practitioner(h)}&_count=10")),
    Shape("patients by name", ALL, "GET Patient?_sort=family", lambda h: _get("Patient?_sort=family&_count=20")),
    Shape("history of a type", ALL, "GET Observation/_history",
          lambda h: _get("Observation/_history?_count=20")),
    Shape("history of the system", ALL, "GET _history", lambda h: _get("_history?_count=20")),
    Shape("search of the system", ALL, "GET ?_type=Patient,Practitioner",
          lambda h: _get("?_type=Patient,Practitioner&_count=20")),
)  # fmt: skip
BY_NAME = {shape.name: shape for shape in SHAPES}
