"""Observation/$lastn: https://hl7.org/fhir/R4/observation-operation-lastn.html

Proved here: newest by code, ties, groups by codings and texts, what is required, pages, roles, round trips.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from clinical_records.testing import ApiClient
from fhir.database import trips

Api = Callable[..., ApiClient]
LOINC, LOCAL = "http://loinc.org", "urn:local"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
MARKER = "zzMARKERzz"


class Chart:
    def __init__(self, client: ApiClient) -> None:
        self.client = client
        self.patient = client.post("Patient", {"resourceType": "Patient"}).json()["id"]
        self.names: dict[str, str] = {}

    def add(self, name: str, date: str | None, *codings: tuple[str, str], text: str | None = None, **more: Any) -> None:
        code: dict[str, Any] = {"coding": [{"system": s, "code": c} for s, c in codings]} if codings else {}
        resource = {
            "resourceType": "Observation",
            "status": "final",
            "category": [{"coding": [{"system": CATEGORY, "code": "vital-signs"}]}],
            "code": code | ({"text": text} if text else {}),
            "subject": {"reference": f"Patient/{self.patient}"},
            **({"effectiveDateTime": date} if date else {}),
            **more,
        }
        answer = self.client.post("Observation", resource)
        assert answer.status_code == 201, answer.content
        self.names[answer.json()["id"]] = name

    def ask(self, query: str, who: ApiClient | None = None) -> list[str]:
        answer = (who or self.client).get(f"Observation/$lastn?{query}")
        assert answer.status_code == 200, answer.content
        bundle = answer.json()
        assert bundle["type"] == "searchset"
        found = [self.names[entry["resource"]["id"]] for entry in bundle.get("entry", ())]
        assert bundle["total"] == len(found)
        return found

    @property
    def base(self) -> str:
        return f"patient={self.patient}&category=vital-signs"


@pytest.fixture
def chart(api: Api) -> Chart:
    made = Chart(api())
    for number in (3, 1, 2, 5, 4):
        made.add(f"pulse{number}", f"2024-01-0{number}", (LOINC, "8867-4"), text=f"read {number}")
    made.add("weight1", "2023-01-01", (LOINC, "29463-7"))
    made.add("weight2", "2023-02-01", (LOINC, "29463-7"))
    return made


def test_the_newest_of_each_code(chart: Chart) -> None:
    assert chart.ask(chart.base) == ["pulse5", "weight2"]
    assert chart.ask(f"{chart.base}&max=2") == ["pulse5", "pulse4", "weight2", "weight1"]
    assert chart.ask(f"{chart.base}&max=50") == ["pulse5", "pulse4", "pulse3", "pulse2", "pulse1", "weight2", "weight1"]
    assert chart.ask(f"subject=Patient/{chart.patient}&code={LOINC}|29463-7&max=1") == ["weight2"]


def test_searches_limit_what_is_looked_at(chart: Chart) -> None:
    assert chart.ask(f"{chart.base}&date=lt2024-01-03&max=2") == ["pulse2", "pulse1", "weight2", "weight1"]
    assert chart.ask(f"{chart.base}&code=8867-4,29463-7&date=ge2024-01-01") == ["pulse5"]
    assert chart.ask(f"{chart.base}&code:not=8867-4") == ["weight2"]
    chart.add("wrong", "2025-01-01", (LOINC, "8867-4"), status="entered-in-error")
    assert chart.ask(chart.base) == ["wrong", "weight2"]
    assert chart.ask(f"{chart.base}&status=final") == ["pulse5", "weight2"]


def test_all_that_tie_come(chart: Chart) -> None:
    chart.add("pulse4b", "2024-01-04", (LOINC, "8867-4"))
    chart.add("pulse4c", "2024-01-04", (LOINC, "8867-4"))
    assert chart.ask(f"{chart.base}&max=1") == ["pulse5", "weight2"]
    found = chart.ask(f"{chart.base}&max=2")
    assert (found[0], set(found[1:4]), found[4:]) == (
        "pulse5",
        {"pulse4", "pulse4b", "pulse4c"},
        ["weight2", "weight1"],
    )


def test_what_has_no_date_is_the_oldest(chart: Chart) -> None:
    chart.add("undated", None, (LOINC, "29463-7"))
    chart.add("lonely", None, (LOCAL, "x"))
    assert chart.ask(chart.base)[:2] == ["pulse5", "weight2"]
    assert set(chart.ask(f"{chart.base}&max=3")[-2:]) == {"undated", "lonely"}


def test_groups_follow_shared_codings(api: Api) -> None:
    chart = Chart(api())
    chart.add("a", "2024-01-01", (LOINC, "a"))
    chart.add("b", "2024-01-02", (LOCAL, "b"))
    assert chart.ask(chart.base) == ["b", "a"]
    chart.add("c", "2023-01-01", (LOCAL, "c"), (LOINC, "a"))
    chart.add("other system", "2022-01-01", (LOCAL, "a"))
    assert chart.ask(chart.base) == ["b", "a", "other system"]
    chart.add("bridge", "2020-01-01", (LOCAL, "c"), (LOCAL, "b"))
    assert chart.ask(chart.base) == ["b", "other system"]
    assert chart.ask(f"{chart.base}&max=3") == ["b", "a", "c", "other system"]
    # A search that leaves out the bridge leaves two groups: groups are made of what matches.
    assert chart.ask(f"{chart.base}&date=ge2021-01-01") == ["b", "a", "other system"]


def test_texts_are_compared_as_they_are(api: Api) -> None:
    chart = Chart(api())
    for number, text in enumerate(("text", "Text", "t e x t", "text")):
        chart.add(f"{number}", f"2024-01-0{number + 1}", text=text)
    assert chart.ask(chart.base) == ["3", "2", "1"]


def test_post_with_parameters_is_the_same(chart: Chart) -> None:
    listed = [
        {"name": "max", "valuePositiveInt": 2},
        {"name": "patient", "valueString": chart.patient},
        {"name": "code", "valueString": "8867-4"},
    ]
    answer = chart.client.post("Observation/$lastn", {"resourceType": "Parameters", "parameter": listed})
    assert [chart.names[e["resource"]["id"]] for e in answer.json()["entry"]] == ["pulse5", "pulse4"]


def test_pages(chart: Chart) -> None:
    found: list[str] = []
    path = f"/fhir/R4/Observation/$lastn?{chart.base}&max=3&_count=2"
    while path:
        bundle = chart.client.get(path).json()
        assert (bundle["total"], len(bundle["entry"]) <= 2) == (5, True)
        found += [chart.names[entry["resource"]["id"]] for entry in bundle["entry"]]
        following = [urlsplit(link["url"]) for link in bundle["link"] if link["relation"] == "next"]
        path = f"{following[0].path}?{following[0].query}" if following else ""
    assert found == chart.ask(f"{chart.base}&max=3")


@pytest.mark.parametrize(
    "query",
    [
        "category=vital-signs",
        "patient={patient}",
        "patient={patient}&status=final",
        "patient={patient}&code:missing=false",
        "patient={patient},other&code=x",
        "patient={patient}&code=x&max=0",
        "patient={patient}&code=x&max=many",
        "patient={patient}&code=x&max=1&max=2",
        "patient={patient}&code=x&nonsense=1",
        "patient={patient}&code=x&_sort=date",
        "patient={patient}&code=x&_include=Observation:subject",
        "patient={patient}&code=x&_cursor=none",
    ],
)
def test_what_is_refused(chart: Chart, query: str) -> None:
    answer = chart.client.get("Observation/$lastn?" + query.format(patient=chart.patient))
    assert answer.status_code == 400, answer.content
    assert chart.client.get(f"Observation/{uuid4()}/$lastn?{chart.base}").status_code == 404
    assert chart.client.get(f"Condition/$lastn?{chart.base}").status_code == 404


def test_nothing_found_is_an_empty_bundle(chart: Chart) -> None:
    assert chart.ask(f"patient={uuid4()}&code=x") == []
    assert chart.ask(f"{chart.base}&code=none") == []


def test_roles(chart: Chart, api: Api) -> None:
    other = Chart(chart.client)
    other.add("his", "2025-01-01", (LOINC, "8867-4"), valueString=MARKER)
    own = api(role="patient", fhir_user=f"Patient/{chart.patient}")
    assert chart.ask(chart.base, own) == ["pulse5", "weight2"]
    assert chart.ask("category=vital-signs", own) == ["pulse5", "weight2"]
    answer = own.get(f"Observation/$lastn?{other.base}")
    assert (answer.status_code, answer.json()["total"], MARKER in answer.content.decode()) == (200, 0, False)
    assert chart.ask(chart.base, api(role="practitioner")) == ["pulse5", "weight2"]
    assert api(role="auditor").get(f"Observation/$lastn?{chart.base}").status_code == 403
    assert ApiClient().get(f"Observation/$lastn?{chart.base}").status_code == 401


def test_every_call_leaves_a_row_in_two_round_trips(chart: Chart, monkeypatch: pytest.MonkeyPatch) -> None:
    from accounts import tokens
    from audit.models import AuditRecord

    monkeypatch.setattr(tokens, "RECHECK_SECONDS", 3600.0)
    for _number in range(6):
        chart.ask(chart.base)
    with trips() as counted:
        chart.ask(chart.base)
    assert counted[0] == 2
    rows = AuditRecord.objects.filter(username=chart.client.user.username, interaction=15)
    assert [row.patient for row in rows] == [chart.patient] * 7
