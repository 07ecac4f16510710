"""Search over HTTP: https://hl7.org/fhir/R4/search.html and http.html#search."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from fhir import citus
from fhir import database as round_trips


@pytest.fixture
def client(api: Any) -> Any:
    return api(role="administrator")


@pytest.fixture
def system() -> str:
    """A system of identifiers that only this test uses."""
    return f"http://records.example/{uuid4().hex}"


def make(client: Any, system: str, **elements: Any) -> str:
    kind = elements.pop("resourceType", "Patient")
    body = {"resourceType": kind, "identifier": [{"system": system, "value": "v"}], **elements}
    answer = client.post(kind, body)
    assert answer.status_code == 201, answer.content
    return str(answer.json()["id"])


def found(client: Any, path: str) -> list[str]:
    answer = client.get(path)
    assert answer.status_code == 200, answer.content
    return [entry["resource"]["id"] for entry in answer.json().get("entry", ())]


def link(bundle: dict[str, Any], relation: str) -> str | None:
    urls = [item["url"] for item in bundle["link"] if item["relation"] == relation]
    return urls[0].split("/fhir/R4/", 1)[1] if urls else None


def walk(client: Any, path: str, relation: str = "next") -> list[list[str]]:
    """The ids of each page."""
    pages, following = [], path
    while following:
        bundle = client.get(following).json()
        pages.append([entry["resource"]["id"] for entry in bundle.get("entry", ())])
        following = link(bundle, relation)
    return pages


def test_a_page_and_its_audit_row_are_one_round_trip(client: Any, system: str) -> None:
    make(client, system)
    client.get(f"Patient?identifier={system}|v")
    with round_trips.trips() as count:
        assert len(found(client, f"Patient?identifier={system}|v")) == 1
    assert count == [2 if citus.distributed() else 1]  # on Citus its place is asked for first


def test_pages_hold_every_match_once_and_lead_back(client: Any, system: str) -> None:
    made = [make(client, system, birthDate=f"19{50 + n}-01-01") for n in range(7)]
    pages = walk(client, f"Patient?identifier={system}|v&_sort=birthdate&_count=3")
    assert pages == [made[:3], made[3:6], made[6:]]
    last = client.get(f"Patient?identifier={system}|v&_sort=birthdate&_count=3").json()
    while link(last, "next"):
        last = client.get(link(last, "next")).json()
    assert walk(client, link(last, "previous") or "", "previous") == [made[3:6], made[:3]]


@pytest.mark.parametrize(
    "sort", ["family", "-family", "birthdate,-family", "-birthdate", "gender,-birthdate", "-gender"]
)
def test_rows_without_a_value_come_last_on_every_page(client: Any, system: str, sort: str) -> None:
    rows = [
        {"name": [{"family": "Alba"}], "birthDate": "1990", "gender": "female"},
        {"name": [{"family": "Ñuñez"}], "gender": "male"},
        {"birthDate": "1980-05"},
        {"name": [{"family": "Zapata"}], "birthDate": "1990"},
        {},
        {},
        {"name": [{"family": "Ortiz"}], "birthDate": "1970", "gender": "male"},
    ]
    for row in rows:
        make(client, system, **row)
    whole = found(client, f"Patient?identifier={system}|v&_sort={sort}")
    assert len(whole) == len(rows)
    paged = walk(client, f"Patient?identifier={system}|v&_sort={sort}&_count=2")
    assert [i for page in paged for i in page] == whole
    bundle = client.get(f"Patient?identifier={system}|v&_sort={sort}&_count=2").json()
    while link(bundle, "next"):
        bundle = client.get(link(bundle, "next")).json()
    backwards = [[e["resource"]["id"] for e in bundle["entry"]], *walk(client, link(bundle, "previous"), "previous")]
    assert [i for page in reversed(backwards) for i in page] == whole
    first = sort.split(",")[0].removeprefix("-")
    element = {"family": "name", "birthdate": "birthDate", "gender": "gender"}[first]
    entries = client.get(f"Patient?identifier={system}|v&_sort={sort}").json()["entry"]
    without = [element not in entry["resource"] for entry in entries]
    assert without == sorted(without)


def test_pages_stay_whole_while_rows_are_written(client: Any, system: str) -> None:
    made = {make(client, system, birthDate=f"19{50 + n}-01-01") for n in range(6)}
    following, seen = f"Patient?identifier={system}|v&_count=2&_sort=birthdate", []
    while following and len(seen) < 20:
        bundle = client.get(following).json()
        seen += [entry["resource"]["id"] for entry in bundle["entry"]]
        make(client, system, birthDate="1900-01-01")
        following = link(bundle, "next")
    assert len(seen) == len(set(seen))
    assert made <= set(seen)


def test_a_chart_comes_newest_first_in_pages_with_its_total(client: Any, system: str) -> None:
    patient = make(client, system)
    subject = {"subject": {"reference": f"Patient/{patient}"}, "status": "final", "code": {"text": "x"}}
    dates = ["2020-01-01", "2024-03-01", "2022-02-02", "2024-03-01T10:00:00Z", "1999"]
    made = {d: make(client, system, resourceType="Observation", effectiveDateTime=d, **subject) for d in dates}
    undated = make(client, system, resourceType="Observation", **subject)
    newest = [made[d] for d in ("2024-03-01T10:00:00Z", "2024-03-01", "2022-02-02", "2020-01-01", "1999")] + [undated]
    assert found(client, f"Observation?patient={patient}") == newest
    assert [i for page in walk(client, f"Observation?patient=Patient/{patient}&_count=2") for i in page] == newest
    assert client.get(f"Observation?patient={patient}&_count=2").json()["total"] == 6
    assert found(client, f"Observation?patient={patient}&_sort=date") == [*reversed(newest[:5]), undated]
    assert found(client, f"Observation?patient={patient}&date=ge2022&date=lt2024") == [made["2022-02-02"]]


@pytest.mark.parametrize(
    "query", ["_total=accurate&_count=1", "_total=estimate&_count=1", "_count=0", "_summary=count"]
)
def test_totals_that_are_asked_for_are_right(client: Any, system: str, query: str) -> None:
    for _number in range(3):
        make(client, system)
    assert client.get(f"Patient?identifier={system}|v&{query}").json()["total"] == 3


def test_what_is_not_known_is_refused_by_name(client: Any) -> None:
    answer = client.get("Patient?colour=red")
    assert answer.status_code == 400
    issue = answer.json()["issue"][0]
    assert issue["expression"] == ["colour"]
    assert "birthdate" in issue["details"]["text"]


def test_a_lenient_client_is_told_what_was_ignored(client: Any, system: str) -> None:
    made = make(client, system)
    path = f"Patient?identifier={system}|v&colour=red"
    bundle = client.get(path, headers={"Prefer": "handling=lenient"}).json()
    assert [(e["search"]["mode"], e["resource"].get("id")) for e in bundle["entry"]] == [
        ("match", made),
        ("outcome", None),
    ]
    assert "colour" in bundle["entry"][1]["resource"]["issue"][0]["details"]["text"]
    assert "colour" not in bundle["link"][0]["url"]


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("gender=", "gender"),
        ("gender=,", "gender"),
        ("gender:exact=male", "gender"),
        ("active:missing=maybe", "active"),
        ("birthdate=xx1980", "birthdate"),
        ("identifier=a|b|c|d", "identifier"),
        ("_count=-1", "_count"),
        ("_sort=colour", "_sort"),
        ("_total=most", "_total"),
        ("_include=Patient:colour", "_include"),
        ("_has:Observation:colour:code=x", "colour"),
        ("name=%00", None),
        ("_cursor=x", "_cursor"),
        ("general-practitioner:Patient.name=x", "general-practitioner"),
        ("birthdate.name=x", "birthdate"),
        ("identifier:of-type=MR|1", "identifier"),
    ],
)
def test_what_is_malformed_is_refused_naming_the_parameter(client: Any, query: str, where: str | None) -> None:
    answer = client.get(f"Patient?{query}")
    assert answer.status_code == 400, answer.content
    assert answer.json()["issue"][0].get("expression") == ([where] if where else None)


def test_a_search_by_post_is_the_same_search(client: Any, system: str) -> None:
    made = make(client, system, gender="male")
    make(client, system, gender="female")
    answer = client.form("Patient/_search?gender=male", f"identifier={quote(system + '|v')}")
    assert [e["resource"]["id"] for e in answer.json()["entry"]] == [made]


def test_a_search_of_several_types(client: Any, system: str) -> None:
    tag = {"tag": [{"system": system, "code": "t"}]}
    patient = make(client, system, meta=tag)
    observation = make(client, system, resourceType="Observation", status="final", code={"text": "x"}, meta=tag)
    assert set(found(client, f"?_type=Patient,Observation&_tag={system}|t")) == {patient, observation}
    assert found(client, f"?_type=Observation&_tag={system}|t") == [observation]
    assert set(found(client, f"?_tag={system}|t")) == {patient, observation}
    assert set(found(client, f"?_type=Patient,Observation&identifier={system}|v&_sort=_lastUpdated")) == {
        patient,
        observation,
    }


def test_a_resource_is_found_by_id_wherever_it_lies(client: Any, system: str) -> None:
    patient = make(client, system)
    chosen = f"own-{uuid4().hex[:10]}"
    body = {"resourceType": "Observation", "id": chosen, "status": "final", "code": {"text": "x"}}
    client.put(f"Observation/{chosen}", {**body, "subject": {"reference": f"Patient/{patient}"}})
    assert found(client, f"Observation?_id={chosen}") == [chosen]
    assert found(client, f"Observation?_id={chosen}&patient={patient}") == [chosen]
    assert found(client, f"Observation?_id={uuid4()}") == []
    assert found(client, f"Patient?_has:Observation:patient:_id={chosen}") == [patient]


def test_summaries_and_elements_are_projections(client: Any, system: str) -> None:
    make(client, system, gender="male", birthDate="1980", maritalStatus={"text": "m"})
    entry = client.get(f"Patient?identifier={system}|v&_elements=gender").json()["entry"][0]["resource"]
    assert entry["gender"] == "male"
    assert "birthDate" not in entry
    assert (
        "maritalStatus" not in client.get(f"Patient?identifier={system}|v&_summary=true").json()["entry"][0]["resource"]
    )


def test_a_deleted_resource_is_found_by_nothing(client: Any, system: str) -> None:
    made = make(client, system, name=[{"family": f"Fin{system[-8:]}"}], birthDate="1970")
    client.delete(f"Patient/{made}")
    for query in (
        f"identifier={system}|v",
        f"_id={made}",
        f"family=Fin{system[-8:]}",
        f"family=Fin{system[-8:]}&_total=accurate",
    ):
        bundle = client.get(f"Patient?{query}").json()
        assert "entry" not in bundle
        assert bundle["total"] == 0


def test_the_audit_row_says_what_was_asked(client: Any, system: str) -> None:
    patient = make(client, system)
    client.get(f"Observation?patient={patient}&code=x")
    rows = round_trips.fetch(
        "SELECT query, patient, status FROM audit_record WHERE patient = %s AND interaction = 10", (patient,)
    )
    assert rows == [(f"Observation?patient={patient}&code=x", patient, 200)]


def test_a_part_of_another_type_is_no_value_of_a_composite(client: Any, system: str) -> None:
    def group(**value: Any) -> str:
        characteristic = {"code": {"text": "age"}, "exclude": False, **value}
        elements = {"type": "person", "actual": False, "characteristic": [characteristic]}
        return make(client, system, resourceType="Group", **elements)

    amount, flag = group(valueQuantity={"value": 5}), group(valueBoolean=True)
    asked = f"Group?identifier={system}|v&characteristic-value:missing="
    assert found(client, asked + "true") == [amount]
    assert found(client, asked + "false") == [flag]
