"""The 30 public queries (bench/queries.py) on generated charts: each answer is what a plain computation finds."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from bench.queries import HEIGHT, PAIN, PUBLIC, SYSTOLIC, WEIGHT, Query
from fhir.charts import chart, facility
from fhir.interactions.bulk import store_resources
from fhir.management.actor import command_context

SEED = 35
PATIENTS = 20
ASKED = 3
Resource = dict[str, Any]
Values = dict[str, str]


def visitor() -> list[Resource]:
    """A chart in English, so that what the public queries look for is there."""
    patient, name = f"visitor-{uuid4().hex[:8]}", "http://loinc.org"
    subject = {"reference": f"Patient/{patient}"}
    narrative = '<div xmlns="http://www.w3.org/1999/xhtml">John Smith of Boston</div>'
    return [
        {
            "resourceType": "Patient",
            "id": patient,
            "text": {"status": "generated", "div": narrative},
            "name": [{"family": "Smith", "given": ["John", "Adam"]}],
            "gender": "male",
            "birthDate": "1960-02-03",
            "address": [{"line": ["1 Beacon Street"], "city": "Boston", "country": "US"}],
        },
        {
            "resourceType": "Observation",
            "id": f"{patient}-pain",
            "status": "final",
            "code": {"coding": [{"system": name, "code": "72514-3"}], "text": "Pain in the blood vessel"},
            "subject": subject,
            "effectiveDateTime": "2019-12-31T23:30:00-05:00",
            "valueInteger": 3,
        },
        {
            "resourceType": "Observation",
            "id": f"{patient}-systolic",
            "status": "final",
            "code": {"coding": [{"system": name, "code": "8480-6", "display": "Systolic blood pressure"}]},
            "subject": subject,
            "effectiveDateTime": "2020-01-01",
            "valueInteger": 140,
        },
        {
            "resourceType": "Condition",
            "id": f"{patient}-heart",
            "code": {
                "coding": [{"system": "http://snomed.info/sct", "code": "64715009", "display": "Hypertensive heart"}]
            },
            "subject": subject,
            "note": [{"text": "Hypertension since 2011"}],
        },
    ]


@dataclass
class World:
    """All resources, in no order, and the values that the queries ask for, patient by patient."""

    resources: list[Resource]
    values: list[Values]


def world() -> World:
    charts = [chart(SEED, index) for index in range(PATIENTS)]
    everything = [*facility(SEED), *(r for c in charts for r in c), *visitor()]
    procedures = [r for r in everything if r["resourceType"] == "Procedure"]
    values = []
    for number, resources in enumerate(charts[:ASKED]):
        patient, encounter = resources[0], _first(resources, "Encounter")
        values.append(
            {
                "patient": patient["id"],
                "family": patient["name"][0]["family"],
                "condition_code": _token(_first(resources, "Condition")),
                "procedure_code": _token(procedures[number]),
                "practitioner": encounter["participant"][0]["individual"]["reference"].split("/")[1],
                "location": encounter["location"][0]["location"]["reference"].split("/")[1],
            }
        )
    return World(everything, values)


def _first(resources: list[Resource], resource_type: str) -> Resource:
    return next(r for r in resources if r["resourceType"] == resource_type)


def _token(resource: Resource) -> str:
    coding = resource["code"]["coding"][0]
    return f"{coding['system']}|{coding['code']}"


# --- the plain computation: what each query means, said of one resource


def folded(text: str) -> str:
    """Lower case without accents; good enough for the texts of these charts."""
    return "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))


def tokens(concept: Resource) -> set[str]:
    return {f"{coding['system']}|{coding['code']}" for coding in concept.get("coding", ())}


def texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict | list):
        for item in node.values() if isinstance(node, dict) else node:
            yield from texts(item)


def refers(key: str, prefix: str) -> Callable[[Resource, Values], bool]:
    def test(resource: Resource, values: Values) -> bool:
        return bool(resource.get(key, {}).get("reference") == f"{prefix}/{values['patient']}")

    return test


def coded(code: str) -> Callable[[Resource, Values], bool]:
    return lambda resource, values: code.format_map(values) in tokens(resource["code"])


def begins(part: Callable[[Resource], list[str]], start: str) -> Callable[[Resource, Values], bool]:
    return lambda resource, values: any(
        folded(text).startswith(folded(start.format_map(values))) for text in part(resource)
    )


def families(resource: Resource) -> list[str]:
    return [name["family"] for name in resource["name"] if "family" in name]


def given(resource: Resource) -> list[str]:
    return [text for name in resource["name"] for text in name.get("given", ())]


def says(word: str) -> Callable[[Resource, Values], bool]:
    return lambda resource, values: any(word.lower() in text.lower() for text in texts(resource))


def within(element: str, part: str) -> Callable[[Resource, Values], bool]:
    def test(resource: Resource, values: Values) -> bool:
        found = [{k: v for k, v in item.items() if not k.startswith("_")} for item in resource.get(element, ())]
        return any(folded(part) in folded(text) for text in texts(found))

    return test


def narrated(word: str) -> Callable[[Resource, Values], bool]:
    return lambda resource, values: word.lower() in resource.get("text", {}).get("div", "").lower()


def named(part: str) -> Callable[[Resource, Values], bool]:
    """The text of the code, or the display of one of its codings, as a string search has it: from its beginning."""

    def test(resource: Resource, values: Values) -> bool:
        code = resource["code"]
        found = [code.get("text", ""), *(coding.get("display", "") for coding in code.get("coding", ()))]
        return any(folded(text).startswith(part) for text in found)

    return test


def since_2020(resource: Resource, values: Values) -> bool:
    """All dates of the charts are local ones of the facility's time zone."""
    return str(resource.get("effectiveDateTime", "")) >= "2020-01-01"


def combined(resource: Resource, values: Values) -> bool:
    return SYSTOLIC in tokens(resource["code"]) | {t for c in resource.get("component", ()) for t in tokens(c["code"])}


def meets(resource: Resource, values: Values) -> bool:
    wanted = f"Practitioner/{values['practitioner']}"
    return any(p.get("individual", {}).get("reference") == wanted for p in resource.get("participant", ()))


def takes_place(resource: Resource, values: Values) -> bool:
    wanted = f"Location/{values['location']}"
    return any(place["location"]["reference"] == wanted for place in resource.get("location", ()))


def women_with_b(resource: Resource, values: Values) -> bool:
    return resource["gender"] == "female" and begins(families, "B")(resource, values)


MEANING: dict[str, Callable[[Resource, Values], bool]] = {
    "any observations": lambda resource, values: True,
    "observations, counted": lambda resource, values: True,
    "systolic by code": coded(SYSTOLIC),
    "systolic by combo-code": combined,
    "men, counted": lambda resource, values: resource["gender"] == "male",
    "family begins": begins(families, "S"),
    "given begins": begins(given, "A"),
    "women whose family begins": women_with_b,
    "heights, counted": coded(HEIGHT),
    "weights, counted": coded(WEIGHT),
    "pain, counted": coded(PAIN),
    "observations since 2020": since_2020,
    "a family": begins(families, "{family}"),
    "a patient's observations": refers("subject", "Patient"),
    "a patient's conditions": refers("subject", "Patient"),
    "conditions of a code": coded("{condition_code}"),
    "procedures of a code": coded("{procedure_code}"),
    "a patient's encounters": refers("subject", "Patient"),
    "a patient's prescriptions": refers("subject", "Patient"),
    "a practitioner's encounters": meets,
    "a location's encounters": takes_place,
    "a word in patients": says("Smith"),
    "a word in observations": says("blood"),
    "a word in conditions": says("hypertension"),
    "within names": within("name", "ohn"),
    "within addresses": within("address", "Boston"),
    "a word in narratives": narrated("Smith"),
    "names of codes": named("hypertensive"),
}
# The same with the values that stand in on our charts.
HERE: dict[str, Callable[[Resource, Values], bool]] = MEANING | {
    "a word in patients": says("Restrepo"),
    "within names": within("name", "uan"),
    "within addresses": within("address", "Medellín"),
    "a word in narratives": narrated("Restrepo"),
    "names of codes": named("essential hyper"),
}
PLAIN = ("capabilities", "one patient")


def whole(query: Query) -> Query:
    """The same question with all its answers on one page."""
    return replace(query, pairs=(*(pair for pair in query.pairs if pair[0] != "_count"), ("_count", "1000")))


def ids(bundle: Resource) -> list[str]:
    return [entry["resource"]["id"] for entry in bundle.get("entry", ())]


def pages(client: Any, url: str) -> list[str]:
    """The ids of all pages, one after the other."""
    found: list[str] = []
    following: str | None = url
    while following:
        answer = client.get(following)
        assert answer.status_code == 200, answer.content
        bundle = answer.json()
        found += ids(bundle)
        following = next((link["url"] for link in bundle["link"] if link["relation"] == "next"), None)
        following = following and following.split("/fhir/R4/", 1)[1]
    return found


def problems(client: Any, query: Query, values: Values, expected: set[str]) -> list[str]:
    """What is wrong with the answers to a query, to the same with all on one page, and to its pages."""
    answer = client.get(query.url(values))
    if answer.status_code != 200:
        return [f"{answer.status_code}: {answer.content[:300]!r}"]
    bundle, asked = answer.json(), dict(query.pairs)
    every = pages(client, whole(query).url(values))
    count = int(asked.get("_count", 50))
    wrong = []
    if sorted(every) != sorted(expected):
        missing, more = expected - set(every), set(every) - expected
        wrong.append(f"{len(every)} and not {len(expected)}: without {list(missing)[:2]}, with {list(more)[:2]}")
    if ids(bundle) != every[:count]:
        wrong.append("the page does not begin the whole")
    if asked.get("_total") == "accurate" and bundle.get("total") != len(expected):
        wrong.append(f"total {bundle.get('total')} and not {len(expected)}")
    if bundle.get("total", len(expected)) != len(expected):
        wrong.append(f"total {bundle['total']}")
    return wrong


def test_there_are_thirty_with_a_meaning_each() -> None:
    assert len(PUBLIC) == 30
    assert set(MEANING) | set(PLAIN) == {query.name for query in PUBLIC}


@pytest.mark.usefixtures("clean_database")
def test_each_answer_is_what_a_plain_computation_finds(api: Any) -> None:
    made, client = world(), api(role="administrator")
    report = store_resources(made.resources, command_context("test"))
    assert (report.stored, report.refused) == (len(made.resources), [])
    wrong: dict[str, list[str]] = {}
    empty = set()
    for query in PUBLIC:
        if query.name in PLAIN:
            continue
        for form, of, meaning in ((query, "", MEANING), (query.local(), "here", HERE)):
            found = 0
            for values in made.values:
                expected = {
                    r["id"] for r in made.resources if r["resourceType"] == form.path and meaning[query.name](r, values)
                }
                found += len(expected)
                if said := problems(client, form, values, expected):
                    wrong[form.url(values)] = said
            if not found:
                empty.add((query.name, of))
    assert wrong == {}
    # Every question found something, and with the values of our charts unless the table says otherwise.
    assert empty <= {(query.name, "here") for query in PUBLIC if query.empty}


@pytest.mark.usefixtures("clean_database")
def test_small_pages_lead_through_all_of_them(api: Any) -> None:
    made, client = world(), api(role="administrator")
    store_resources(made.resources, command_context("test"))
    values = made.values[0]
    for query in PUBLIC:
        if query.name not in PLAIN and query.name != "observations, counted":
            small = replace(query, pairs=(*(p for p in query.pairs if p[0] != "_count"), ("_count", "40")))
            assert pages(client, small.url(values)) == pages(client, whole(query).url(values)), query.name


def test_the_two_that_are_no_searches(api: Any) -> None:
    made, client = world(), api(role="administrator")
    store_resources(made.resources, command_context("test"))
    by_name = {query.name: query for query in PUBLIC}
    statement = client.get(by_name["capabilities"].url({})).json()
    assert statement["resourceType"] == "CapabilityStatement"
    offered = {
        resource["type"]: {parameter["name"] for parameter in resource.get("searchParam", ())}
        for resource in statement["rest"][0]["resource"]
    }
    for query in PUBLIC:
        asked = {quote(name.partition(":")[0]) for name, _value in query.pairs} - {"_count", "_total", "_content"}
        if query.name not in PLAIN:
            assert asked - {"_text"} <= offered[query.path], query.name
    for values in made.values:
        answer = client.get(by_name["one patient"].url(values))
        expected = next(r for r in made.resources if r["id"] == values["patient"])
        assert answer.status_code == 200
        read = answer.json()
        assert {k: v for k, v in read.items() if k != "meta"} == {k: v for k, v in expected.items() if k != "meta"}
