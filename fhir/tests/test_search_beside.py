"""The patient who decides the place of a match comes with the page: each once, as the policy allows, no trip more."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from fhir import citus
from fhir.database import trips


@pytest.fixture
def world(api: Any) -> Any:
    """Observations 0 to 5 of Ana and Eva in turns, the newest last, 6 of a group; all have one code."""
    client = api(role="administrator")
    mark = uuid4().hex[:10]
    names: dict[str, str] = {}

    def make(label: str, kind: str, **elements: Any) -> dict[str, str]:
        answer = client.post(kind, {"resourceType": kind, **elements})
        assert answer.status_code == 201, answer.content
        names[answer.json()["id"]] = label
        return {"reference": f"{kind}/{answer.json()['id']}"}

    org = make("org", "Organization", name=mark)
    ana, eva = make("ana", "Patient", managingOrganization=org), make("eva", "Patient")
    group = make("group", "Group", type="person", actual=True)
    code = {"coding": [{"system": mark, "code": "x"}]}
    for number in range(7):
        subject = group if number == 6 else (ana, eva)[number % 2]
        day = f"2024-01-0{number + 1}"
        make(str(number), "Observation", status="final", code=code, subject=subject, effectiveDateTime=day)
    for number in (4, 5):  # a group is the subject, and a patient, who decides the place, takes part
        make(f"by{number}", "Observation", status="final", code={"coding": [{"system": mark, "code": "y"}]},
             subject=group, performer=[(ana, eva)[number % 2]])  # fmt: skip

    def ask(query: str, asking: Any = client) -> tuple[list[str], list[str], dict[str, str]]:
        """The names of matches and of what is included, in order, and the links of the Bundle."""
        path = query if "_cursor" in query else "Observation?" + query
        for name in ("ana", "eva"):
            path = path.replace("{" + name + "}", next(key for key, value in names.items() if value == name))
        answer = asking.get(path.replace("{mark}", mark))
        assert answer.status_code == 200, answer.content
        entries = [(e["search"]["mode"], names[e["resource"]["id"]]) for e in answer.json().get("entry", ())]
        links = {link["relation"]: link["url"].partition("/fhir/R4/")[2] for link in answer.json()["link"]}
        return [n for m, n in entries if m == "match"], [n for m, n in entries if m == "include"], links

    return client, ask, ana["reference"], mark


X = "code={mark}|x"


@pytest.mark.parametrize(
    ("query", "included"),
    [
        (f"{X}&_include=Observation:patient", ["ana", "eva"]),
        (f"{X}&_include=Observation:patient&_include=Observation:subject:Patient", ["ana", "eva"]),
        (f"{X}&_include=Observation:subject", ["ana", "eva", "group"]),
        (f"{X}&_include=Observation:subject:Patient", ["ana", "eva"]),
        (f"{X}&_include=Observation:subject:Group", ["group"]),
        (f"{X}&_include=Observation:*", ["ana", "eva", "group"]),
        (f"{X}&_sort=_id&_include=Observation:patient", ["ana", "eva"]),
        (f"{X}&_sort=code&_include=Observation:patient", ["ana", "eva"]),
        (f"{X}&_count=2&_include=Observation:patient", ["eva"]),  # 6 and 5; 4 is on the next page
        (f"{X}&_include=Observation:patient&_include:iterate=Patient:organization", ["ana", "eva", "org"]),
        (f"{X}&patient={{ana}}&_include=Observation:patient", ["ana"]),
        (f"{X}&patient={{ana}}&_include=Observation:patient&_total=accurate&_count=1", ["ana"]),
        ("code={mark}|y&_include=Observation:patient", []),
        ("code={mark}|y&_include=Observation:subject", ["group"]),
        ("code={mark}|y&_include=Observation:performer", ["ana", "eva"]),
        ("code={mark}|z&_include=Observation:patient", []),
    ],
)
def test_each_target_comes_once(world: Any, query: str, included: list[str]) -> None:
    _client, ask, _ana, _mark = world
    assert sorted(ask(query)[1]) == included


def test_every_page_has_the_patients_of_its_own_matches(world: Any) -> None:
    _client, ask, _ana, _mark = world
    pages = []
    matches, included, links = ask(f"{X}&_count=3&_include=Observation:patient")
    while True:
        pages.append((matches, sorted(included)))
        if "next" not in links:
            break
        matches, included, links = ask(links["next"])
    assert pages == [(["6", "5", "4"], ["ana", "eva"]), (["3", "2", "1"], ["ana", "eva"]), (["0"], ["ana"])]
    matches, included, links = ask(links["previous"])
    assert (matches, sorted(included)) == pages[1]


def test_a_deleted_patient_is_not_included(world: Any) -> None:
    client, ask, ana, _mark = world
    assert client.delete(ana).status_code in (200, 204)
    for reference in ("patient", "subject:Patient"):
        matches, included, _links = ask(f"{X}&_include=Observation:{reference}")
        assert (len(matches), included) == (7, ["eva"])


def test_a_patient_sees_nobody_else(world: Any, api: Any) -> None:
    _client, ask, ana, _mark = world
    patient = api(role="patient", fhir_user=ana)
    for reference in ("patient", "subject"):
        matches, included, _links = ask(f"{X}&_include=Observation:{reference}", patient)
        assert (matches, included) == (["4", "2", "0"], ["ana"])


def test_it_is_one_round_trip(world: Any) -> None:
    _client, ask, _ana, _mark = world
    counts = []
    for _number in range(3):  # what a process looks at now and then may fall into one of them
        with trips() as count:
            ask(f"{X}&_include=Observation:patient")
        counts.append(count[0])
    assert min(counts) == (2 if citus.distributed() else 1)
