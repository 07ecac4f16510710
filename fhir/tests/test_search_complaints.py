"""What users of other servers complain of in search; each test has the number of the complaint in its name.

5, 6, 7 and 15 of that list are about transactions and upgrades, not about search.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, connections

from fhir import citus
from fhir import database as round_trips
from fhir.search import explain, hashing, sql
from fhir.search.plan import make
from fhir.search.statistics import Statistics
from fhir.tests.custom_parameters import forget

_SHARD = re.compile(r"_\d{6,}$")


class Ward:
    """Patients of one organization with observations, all under an identifier that only one test has."""

    def __init__(self, api: Any, patients: int = 6) -> None:
        self.api, self.client, self.mark = api, api(role="administrator"), uuid4().hex[:12]
        self.organization = self.make("Organization", name=f"Org {self.mark}")
        self.patients = [
            self.make("Patient", name=[{"family": f"Family{n}{self.mark}"}],
                      telecom=[{"system": "phone", "value": str(n)}],
                      managingOrganization={"reference": f"Organization/{self.organization}"})
            for n in range(patients)
        ]  # fmt: skip
        self.observations = [self.observe(patient, 10 * n) for n, patient in enumerate(self.patients)]

    def make(self, kind: str, **elements: Any) -> str:
        body = {"resourceType": kind, "identifier": [{"system": self.mark, "value": "v"}], **elements}
        answer = self.client.post(kind, body)
        assert answer.status_code == 201, answer.content
        return str(answer.json()["id"])

    def observe(self, patient: str, value: int) -> str:
        return self.make(
            "Observation",
            status="final",
            code={"coding": [{"system": self.mark, "code": "x"}]},
            subject={"reference": f"Patient/{patient}"},
            valueQuantity={"value": value},
        )

    def bundle(self, path: str, client: Any = None) -> dict[str, Any]:
        path = path.replace("MINE", "identifier=MARK|v").replace("MARK", self.mark)
        answer = (client or self.client).get(path)
        assert answer.status_code == 200, answer.content
        return dict(answer.json())

    def ids(self, path: str, mode: str = "match") -> list[str]:
        return [e["resource"]["id"] for e in self.bundle(path).get("entry", ()) if e["search"]["mode"] == mode]


@pytest.fixture
def ward(api: Any) -> Ward:
    return Ward(api)


def trips(question: Any) -> int:
    with round_trips.trips() as count:
        question()
    return count[0]


def test_01_an_include_is_one_more_round_trip_however_many_resources_it_adds(ward: Ward) -> None:
    assert trips(lambda: ward.bundle("Observation?MINE")) == 1
    # On one PostgreSQL the patient who decides the place lies beside the page and comes with it.
    beside = 2 if citus.distributed() else 1
    assert trips(lambda: ward.bundle("Observation?MINE&_include=Observation:subject")) == beside
    page = trips(lambda: ward.bundle("Organization?MINE"))
    assert trips(lambda: ward.bundle("Organization?MINE&_revinclude=Patient:organization")) == page + 1
    assert set(ward.ids("Observation?MINE&_include=Observation:subject", "include")) == set(ward.patients)
    assert len(ward.ids("Organization?MINE&_revinclude=Patient:organization", "include")) == len(ward.patients)


def test_02_reverse_chains_take_conditions_of_every_kind_and_an_order(ward: Ward) -> None:
    page = trips(lambda: ward.bundle("Patient?MINE"))
    assert page == (2 if citus.distributed() else 1)  # on Citus the identifier is asked first where it lies
    assert trips(lambda: ward.bundle("Patient?MINE&_has:Observation:patient:code=MARK|x")) == page
    composite = "Patient?MINE&_has:Observation:patient:code-value-quantity=MARK|x$gt25"
    assert ward.ids(composite + "&_sort=-family") == ward.patients[:2:-1]
    assert ward.ids("Observation?MINE&subject.organization.name=org MARK&_sort=-value-quantity&_count=1") == [
        ward.observations[-1]
    ]


def test_03_includes_and_reverse_chains_cross_the_places_of_patients(ward: Ward) -> None:
    """The same questions run on a cluster of several nodes, where organization and patients lie apart."""
    path = "Organization?MINE&_has:Patient:organization:_has:Observation:patient:code=MARK|x"
    assert ward.ids(path) == [ward.organization]
    path = "Observation?MINE&_include=Observation:subject&_include:iterate=Patient:organization"
    assert set(ward.ids(path, "include")) == {*ward.patients, ward.organization}


@pytest.fixture
def threads(database: None) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool
        list(pool.map(lambda _number: connections.close_all(), range(16)))


def test_04_of_many_conditional_creates_one_creates(ward: Ward, threads: ThreadPoolExecutor) -> None:
    value = uuid4().hex
    body = {"resourceType": "Patient", "identifier": [{"system": ward.mark, "value": value}]}
    clients = [type(ward.client)(ward.client.access_token) for _number in range(16)]

    def create(client: Any) -> int:
        headers = {"If-None-Exist": f"identifier={ward.mark}|{value}"}
        return int(client.post("Patient", body, headers=headers).status_code)

    assert sorted(threads.map(create, clients)) == [200] * 15 + [201]
    assert ward.bundle(f"Patient?identifier=MARK|{value}&_total=accurate")["total"] == 1


@pytest.mark.parametrize("more", ["", "&_include=Observation:subject", "&_count=1", "&_count=1&_sort=-value-quantity"])
def test_08_an_accurate_total_is_never_missing_and_counts_matches_only(ward: Ward, more: str) -> None:
    assert ward.bundle(f"Observation?MINE&_total=accurate{more}")["total"] == len(ward.observations)
    assert ward.bundle(f"Observation?MINE&code=nothing&_total=accurate{more}")["total"] == 0


def test_09_what_was_written_is_found_at_once(ward: Ward) -> None:
    for number in range(5):
        made = ward.observe(ward.patients[0], 1000 + number)
        assert made in ward.ids("Observation?MINE&value-quantity=ge1000")
        assert ward.client.delete(f"Observation/{made}").status_code in (200, 204)
        assert made not in ward.ids("Observation?MINE&value-quantity=ge1000")


def test_10_pages_stay_whole_while_rows_are_written(ward: Ward) -> None:
    path, seen = "Observation?MINE&_sort=value-quantity&_count=2", []
    for number in range(20):
        bundle = ward.bundle(path)
        seen += [entry["resource"]["id"] for entry in bundle.get("entry", ())]
        following = [link["url"] for link in bundle["link"] if link["relation"] == "next"]
        if not following:
            break
        path = following[0].split("/fhir/R4/", 1)[1]
        ward.observe(ward.patients[0], -1 - number)  # before the page that follows
    assert seen == ward.observations


@pytest.mark.parametrize(
    "code", ["family", "phone", "telecom", "organization", "deceased", "_id", "_lastUpdated", "identifier"]
)
def test_11_every_kind_of_parameter_can_be_sorted_by(ward: Ward, code: str) -> None:
    up, down = (ward.ids(f"Patient?MINE&_sort={sign}{code}") for sign in ("", "-"))
    assert sorted(up) == sorted(down) == sorted(ward.patients)
    if code in ("family", "phone", "telecom"):
        assert up == ward.patients and down == ward.patients[::-1]


def _execution(pairs: list[tuple[str, str]], resource_type: str, scope: Any) -> explain.Execution:
    """What answers a search if a scan of all were never cheap, as it is in the small tables of the tests.

    On Citus the plan of every shard, without the shard's number in the names.
    """
    from fhir.search.parse import parse

    request = parse(resource_type, pairs, scope, "http://testserver/fhir/R4")
    made = make(request, scope, Statistics(rows=1e6))
    settings = {"citus.propagate_set_commands": "local", "citus.explain_all_tasks": "on", "enable_seqscan": "off"}
    with round_trips.Transaction() as transaction:
        transaction.send([(f"SET LOCAL {name} = '{value}'", None) for name, value in settings.items()])
        done = explain.execution(made, sql.page(made, 21))
    nodes = tuple(replace(node, target=_SHARD.sub("", node.target)) for node in done.nodes)
    return replace(done, nodes=nodes)


@pytest.fixture
def scope(ward: Ward) -> Any:
    from accounts.tokens import scope_of

    return scope_of(f"Bearer {ward.client.access_token}")


@pytest.fixture
def many_names(database: None) -> Iterator[None]:
    """Twenty thousand family names of nobody, so that their number counts."""
    param = hashing.parameter_number("Patient", "family")
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO string_index (bucket, type, id, n, param, value, exact)"
            " SELECT 0, -1, i::text, 0, %s, md5(i::text), '' FROM generate_series(1, 20000) i",
            [param],
        )
        cursor.execute("ANALYZE string_index")
    yield
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM string_index WHERE bucket = 0 AND type = -1")
        cursor.execute("ANALYZE string_index")


def test_12_contains_is_answered_by_the_index_of_trigrams(ward: Ward, scope: Any, many_names: None) -> None:
    assert ward.ids("Patient?MINE&family:contains=mily3") == [ward.patients[3]]
    done = _execution([("family:contains", ward.mark)], "Patient", scope)
    assert "string_trigrams" in {node.target for node in done.nodes}


def test_13_hundreds_of_alternatives_are_one_probe(ward: Ward, scope: Any) -> None:
    codes = ",".join(f"MARK|c{number}" for number in range(500))
    assert ward.ids(f"Observation?code={codes},MARK|x&_count=3&MINE") != []
    pairs = [("code", codes.replace("MARK", ward.mark))]
    from fhir.search.parse import parse

    made = make(parse("Observation", pairs, scope, ""), scope, Statistics(rows=1e6))
    text, parameters = sql.page(made, 21)
    assert text.count(".terms ") + text.count(" IN (SELECT ") == 1
    assert len([p for p in parameters if str(p).count(",") == 499]) == 1


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("Patient", "identifier", "MARK|v"),
        ("Patient", "family", "FamilyMARK"),
        ("Patient", "organization", "Organization/1"),
        ("Patient", "_id", "1"),
        ("Patient", "gender:not", "female"),
        ("Observation", "code", "MARK|x"),
        ("Observation", "code:not", "MARK|x"),
        ("Observation", "patient", "Patient/1"),
        ("Observation", "value-quantity", "gt100"),
        ("Observation", "code-value-quantity", "MARK|x$gt100"),
        ("Observation", "date", "ge2024"),
        ("Observation", "_lastUpdated", "ge2024"),
        ("Observation", "patient.family", "FamilyMARK"),
        ("Patient", "_has:Observation:patient:code", "MARK|x"),
    ],
)
def test_14_no_plan_reads_a_table_from_end_to_end(ward: Ward, scope: Any, kind: str, name: str, value: str) -> None:
    done = _execution([(name, value.replace("MARK", ward.mark))], kind, scope)
    assert done.ran and done.nodes
    assert [node for node in done.nodes if node.kind == "Seq Scan"] == []


@pytest.fixture
def forgotten(ward: Ward) -> Iterator[None]:
    """What the test defines is gone after it: other tests count the rows of a Patient."""
    yield
    forget(ward.client)


def test_16_a_parameter_that_is_half_built_says_so(ward: Ward, forgotten: None) -> None:
    body = {
        "resourceType": "SearchParameter",
        "url": f"http://x.example/{ward.mark}",
        "name": "Marked",
        "status": "active",
        "description": "x",
        "code": f"m{ward.mark}",
        "base": ["Patient"],
        "type": "string",
        "expression": "Patient.name.family",
    }
    assert ward.client.post("SearchParameter", body).status_code == 201
    bundle = ward.bundle("Patient?mMARK=family1&MINE")
    outcomes = [e["resource"]["issue"] for e in bundle["entry"] if e["search"]["mode"] == "outcome"]
    assert [issue["code"] for issues in outcomes for issue in issues] == ["incomplete"]
