"""Where a search looks on Citus: never too narrow, whatever the tables of places hold too much of.

On plain PostgreSQL the same statements are sent: `routed` makes the code believe that the tables are distributed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any
from unittest import mock
from uuid import uuid4

import pytest

from clinical_records.testing import ApiClient
from fhir import citus, database, ids
from fhir.definitions.structure import TYPE_NUMBER
from fhir.search import local_chain, places

from .oracle.parameters import COMPARTMENT
from .oracle.queries import Asker, Query
from .oracle.runs import BASE_URL, Patient, Refused, Run
from .test_place_rows import appointment, identifier, observation, patient, posted, put, three

CASES = 250


@pytest.fixture
def client(api: Callable[..., ApiClient]) -> ApiClient:
    return api()


@contextmanager
def routed(*, narrow: bool = True) -> Iterator[None]:
    """As on Citus; without `narrow` all shards are asked."""
    with mock.patch.object(citus, "distributed", lambda: True):
        if narrow:
            yield
        else:
            everywhere = mock.patch.object(local_chain, "local", lambda _plan, _statistics: None)
            with everywhere, mock.patch.object(places, "_of_plan", lambda _plan: None):
                yield


def found(client: ApiClient, question: str) -> list[str]:
    with routed():
        answer = client.get(question)
    assert answer.status_code == 200, answer.content
    return sorted(entry["resource"]["id"] for entry in answer.resource().get("entry", ()))


def test_identifiers(client: ApiClient) -> None:
    mine, other = identifier(), identifier()
    made = posted(client, patient(mine, other))
    same = posted(client, {"resourceType": "Organization", "name": "x", "identifier": [mine]})
    alike = posted(client, patient(identifier(mine["value"], "urn:another")))
    either = sorted((made["id"], alike["id"]))
    assert found(client, f"Patient?identifier={mine['value']}") == either
    assert found(client, f"Patient?identifier=urn:places|{mine['value']}") == [made["id"]]
    assert found(client, f"Patient?identifier=urn:places|{mine['value']},urn:another|{mine['value']}") == either
    assert found(client, f"Patient?identifier=|{mine['value']}") == []
    assert found(client, f"?_type=Patient,Organization&identifier=urn:places|{mine['value']}") == sorted(
        (made["id"], same["id"])
    )
    put(client, {**made, "identifier": [other]})
    assert found(client, f"Patient?identifier=urn:places|{mine['value']}") == []
    assert found(client, f"Patient?identifier=urn:places|{other['value']}") == [made["id"]]
    assert found(client, f"Patient?identifier:not={other['value']}&_id={alike['id']},{made['id']}") == [alike["id"]]


def test_chains_and_the_way_back_by_patient(client: ApiClient) -> None:
    mine = identifier()
    made = posted(client, patient(mine))
    chart = posted(client, observation(made["id"]))
    assert found(client, f"Observation?patient.identifier=urn:places|{mine['value']}") == [chart["id"]]
    assert found(client, f"Observation?subject:Patient._id={made['id']}&status=final") == [chart["id"]]
    assert found(client, f"Patient?_has:Observation:patient:_id={chart['id']}") == [made["id"]]
    assert found(client, f"Patient?_has:Observation:patient:_id={chart['id']}&active=true") == []


def test_ids_of_what_has_moved(client: ApiClient) -> None:
    ana, carlos, _eva = three(client)
    made = posted(client, observation(ana))
    put(client, {**observation(carlos), "id": made["id"]})
    foreign = put(client, {**observation(carlos), "id": f"places-{uuid4()}"})
    assert found(client, f"Observation?_id={made['id']}") == [made["id"]]
    assert found(client, f"Observation?_id={made['id']},{foreign['id']},nobody") == sorted((made["id"], foreign["id"]))
    assert found(client, f"Patient?_id={made['id']}") == []


def test_a_patient_sees_what_is_placed_elsewhere(client: ApiClient, api: Callable[..., ApiClient]) -> None:
    ana, carlos, eva = three(client)
    shared, hers = posted(client, appointment(ana, carlos)), posted(client, appointment(carlos))
    of_others = posted(client, appointment(ana, eva))
    his = api(role="patient", fhir_user=f"Patient/{carlos}")
    both = sorted((shared["id"], hers["id"]))
    assert found(his, "Appointment") == both
    assert found(client, f"Patient/{carlos}/Appointment") == both
    assert found(client, f"Patient/{carlos}/*") == sorted((*both, carlos))
    assert found(client, f"Patient/{carlos}/$everything") == sorted((*both, carlos))
    assert found(his, f"Appointment?_id={of_others['id']}") == []
    assert client.delete(f"Appointment/{shared['id']}").status_code in (200, 204)
    assert found(his, "Appointment") == [hers["id"]]
    assert found(client, f"Patient/{carlos}/$everything") == sorted((hers["id"], carlos))


def test_what_a_patient_asks_of_other_types_that_are_placed_elsewhere(
    client: ApiClient, api: Callable[..., ApiClient]
) -> None:
    """A chain leads to an appointment that lies with another patient, while the encounter lies with the caller."""
    ana, carlos, _eva = three(client)
    shared = posted(client, appointment(ana, carlos))
    encounter = {
        "resourceType": "Encounter",
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
        "subject": {"reference": f"Patient/{carlos}"},
        "appointment": [{"reference": f"Appointment/{shared['id']}"}],
    }
    made = posted(client, encounter)
    his = api(role="patient", fhir_user=f"Patient/{carlos}")
    assert found(his, f"Encounter?appointment.status={shared['status']}") == [made["id"]]
    assert found(his, f"Appointment?_has:Encounter:appointment:status=finished&_id={shared['id']}") == [shared["id"]]


def test_rows_too_many_change_no_answer(client: ApiClient) -> None:
    """Planted: identifiers and compartments of others, and places where nothing lies."""
    mine = identifier()
    made = posted(client, patient(mine))
    ana, carlos, eva = three(client)
    shared, of_others = posted(client, appointment(ana, carlos)), posted(client, appointment(ana, eva))
    ((bucket, value, term),) = database.fetch(
        "SELECT bucket, value, term FROM identifier_locator WHERE id = %s", (made["id"],)
    )
    for target in (1, 2, ids.bucket_of(ana)):
        row = (bucket, value, term, TYPE_NUMBER["Patient"], f"stale-{target}", target)
        database.fetch("INSERT INTO identifier_locator (bucket, value, term, type, id, target)"
                       " VALUES (%s, %s, %s, %s, %s, %s)", row)  # fmt: skip
    for name, target in ((of_others["id"], ids.bucket_of(ana)), (f"stale-{carlos}", 3)):
        row = (ids.bucket_of(carlos), ids.patient_hash(carlos), TYPE_NUMBER["Appointment"], name, target)
        database.fetch("INSERT INTO compartment_link (bucket, pat, type, id, target) VALUES (%s, %s, %s, %s, %s)", row)
    assert found(client, f"Patient?identifier=urn:places|{mine['value']}") == [made["id"]]
    assert found(client, f"Patient/{carlos}/Appointment") == [shared["id"]]
    assert found(client, f"Patient/{carlos}/$everything") == sorted((shared["id"], carlos))


def test_too_many_places_are_all_places(client: ApiClient) -> None:
    """Beyond places.MOST the list would name all shards."""
    shared = identifier()
    made = posted(client, patient(shared))
    ((bucket, value, term),) = database.fetch(
        "SELECT bucket, value, term FROM identifier_locator WHERE id = %s", (made["id"],)
    )
    names = [f"stale-{uuid4()}" for _number in range(places.MOST + 1)]
    database.fetch(
        "INSERT INTO identifier_locator (bucket, value, term, type, id, target)"
        " SELECT %s::int, %s::bigint, %s::bigint, %s::smallint, x.id, 2000 + x.n::int"
        " FROM unnest(%s::text[]) WITH ORDINALITY x(id, n)",
        (bucket, value, term, TYPE_NUMBER["Patient"], names),
    )
    assert found(client, f"Patient?identifier={shared['value']}") == [made["id"]]


def test_a_conditional_create_finds_what_there_is(client: ApiClient) -> None:
    mine = identifier()
    condition = {"If-None-Exist": f"identifier=urn:places|{mine['value']}"}
    with routed():
        first = client.post("Patient", patient(mine), headers=condition)
        second = client.post("Patient", patient(mine), headers=condition)
    assert (first.status_code, second.status_code) == (201, 200)
    assert found(client, f"Patient?identifier=urn:places|{mine['value']}") == [first.resource()["id"]]


# --- random questions: the same answers as of all shards


class Bounded:
    """Makes questions that have a clause which tells where to look, beside others that do not."""

    def __init__(self, run: Run) -> None:
        self.random: Random = run.random
        self.asker = Asker(run.random, run.world.resources, BASE_URL)
        self.of_type = self.asker.of_type

    def query(self) -> Query:
        others = self.asker.query()
        resource_type = others.types[0]
        clauses = [self._id(resource_type)]
        if resource_type in ids.LOCATED_TYPES:
            clauses.append(self._identifier(resource_type, "identifier"))
        if resource_type in ("Observation", "Condition", "Encounter"):
            clauses.append(self._identifier("Patient", "subject:Patient.identifier"))
            clauses.append(("patient._id", self._some("Patient")))
        if resource_type == "Patient":
            clauses.append(("_has:Observation:patient:_id", self._some("Observation")))
        if len(others.types) == 1 and resource_type in COMPARTMENT and self.random.random() < 0.3:
            return Query(others.types, others.pairs, others.sort, self._some("Patient"), others.post)
        extra = others.pairs if self.random.random() < 0.4 else ()
        pairs = (self.random.choice(clauses), *extra)
        return Query(others.types, pairs, others.sort, post=others.post, includes=others.includes)

    def _some(self, resource_type: str) -> str:
        return str(self.random.choice(self.of_type[resource_type])["id"])

    def _id(self, resource_type: str) -> tuple[str, str]:
        names = [self._some(resource_type) for _number in range(self.random.randint(1, 4))]
        return "_id", ",".join(names)

    def _identifier(self, resource_type: str, name: str) -> tuple[str, str]:
        values = [each for item in self.of_type[resource_type] for each in item.get("identifier", ())]
        values = [each for each in values if each.get("value") and not set(each["value"]) & set(",|$\\")]
        if not values:
            return "_id", self._some("Patient")
        chosen = self.random.choice(values)
        with_system = "system" in chosen and self.random.random() < 0.6
        return name, f"{chosen['system']}|{chosen['value']}" if with_system else chosen["value"]


def answer(run: Run, query: Query) -> tuple[Any, ...]:
    try:
        pages, total = run.ask(query, _count="4", _total="accurate")
    except Refused as refusal:
        return refusal.status, refusal.code
    return [(page.ids, sorted(resource["id"] for resource in page.others)) for page in pages], total


@pytest.mark.parametrize("as_patient", [False, True])
def test_random_questions_find_in_few_places_what_they_find_in_all(
    api: Callable[..., ApiClient], as_patient: bool
) -> None:
    run = Run(api(role="administrator"), 40 + as_patient)
    asker = Bounded(run)
    matches = bounded = 0
    for number in range(CASES):
        if as_patient and number % 25 == 0:
            view: Run = Patient(run, api)
        asked = asker.query()
        seen = view if as_patient else run
        with routed(narrow=False):
            expected = answer(seen, asked)
        with routed(), mock.patch.object(places, "within", wraps=places.within) as within:
            assert answer(seen, asked) == expected, asked
        bounded += within.called
        matches += bool(expected[-1])
    assert bounded > CASES / 3 and matches > CASES / 10
