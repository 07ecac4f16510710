"""Chains, `_has`, includes and `_filter` (https://hl7.org/fhir/R4/search.html#chaining, #has, #include)."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest


@pytest.fixture(params=["rare", "frequent", "crowded"], autouse=True)
def frequency(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each question is asked as if what it looks for were rare, frequent, or frequent and many in each chart."""
    if request.param != "rare":
        monkeypatch.setattr("fhir.search.plan.FEW", -1.0)
        monkeypatch.setattr("fhir.search.plan.RARE", -1.0)
        monkeypatch.setattr("fhir.search.costs.asking_is_cheaper", lambda *_arguments, **_options: True)
        monkeypatch.setattr("fhir.search.costs._CROWDED", -1.0 if request.param == "crowded" else float("inf"))
        monkeypatch.setattr("fhir.search.batches.SIZE", 2)


@pytest.fixture
def net(api: Any) -> Any:
    """Two patients, one of an organization with a parent, with encounters and observations; all by one identifier."""
    client = api(role="administrator")
    mark = uuid4().hex[:10]
    made: dict[str, str] = {}

    def make(label: str, kind: str, **elements: Any) -> None:
        body = {"resourceType": kind, "identifier": [{"system": mark, "value": "v"}], **elements}
        answer = client.post(kind, body)
        assert answer.status_code == 201, answer.content
        made[label] = answer.json()["id"]

    def to(label: str, kind: str) -> dict[str, str]:
        return {"reference": f"{kind}/{made[label]}"}

    make("parent", "Organization", name=f"Parent {mark}")
    make("org", "Organization", name=f"Hospital {mark}", partOf=to("parent", "Organization"))
    make("dr", "Practitioner", name=[{"family": f"House{mark}"}])
    make("ana", "Patient", name=[{"family": f"Alba{mark}"}], gender="female", birthDate="1950-01-01",
         managingOrganization=to("org", "Organization"), generalPractitioner=[to("dr", "Practitioner")])  # fmt: skip
    make("eva", "Patient", name=[{"family": f"Bello{mark}"}], gender="female", birthDate="1990-01-01")
    act = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"}
    make("visit", "Encounter", status="finished", subject=to("ana", "Patient"), **{"class": act})
    code = {"coding": [{"system": mark, "code": "x"}]}
    make(
        "o1", "Observation", status="final", code=code, subject=to("ana", "Patient"), encounter=to("visit", "Encounter")
    )
    make("o2", "Observation", status="final", code=code, subject=to("eva", "Patient"))
    # Its subject is somebody without a record, and a patient took part: that patient decides its place.
    make("o3", "Observation", status="final", code=code, performer=[to("eva", "Patient")],
         subject={"type": "Patient", "identifier": {"system": mark, "value": "elsewhere"}})  # fmt: skip

    def ask(path: str, mode: str = "match") -> set[str]:
        for label, resource_id in made.items():
            path = path.replace("{" + label + "}", resource_id)
        answer = client.get(path.replace("{mark}", mark).replace("{iso}", f"identifier={mark}|v"))
        assert answer.status_code == 200, answer.content
        names = {resource_id: label for label, resource_id in made.items()}
        entries = answer.json().get("entry", ())
        return {names[e["resource"]["id"]] for e in entries if e["search"]["mode"] == mode}

    return ask


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("Observation?{iso}&patient.family=alba{mark}", {"o1"}),
        ("Observation?{iso}&subject.gender=female", {"o1", "o2"}),
        ("Observation?{iso}&subject:Patient.birthdate=lt1980", {"o1"}),
        ("Observation?{iso}&performer:Patient.family=bello{mark}", {"o3"}),
        ("Observation?{iso}&patient.organization.partof.name=parent", {"o1"}),
        ("Observation?{iso}&encounter.class=AMB", {"o1"}),
        ("Observation?{iso}&patient.organization:missing=true", {"o2"}),
        ("Patient?{iso}&_has:Observation:patient:code={mark}|x", {"ana", "eva"}),
        ("Patient?{iso}&_has:Observation:patient:encounter.class=AMB", {"ana"}),
        ("Patient?{iso}&_has:Observation:performer:code={mark}|x", {"eva"}),
        ("Organization?{iso}&_has:Patient:organization:_has:Observation:patient:status=final", {"org"}),
        ("Encounter?{iso}&patient._has:Observation:patient:code={mark}|x", {"visit"}),
        ("Observation?{iso}&patient:missing=false", {"o1", "o2", "o3"}),
        ("Observation?{iso}&subject:identifier={mark}|elsewhere", {"o3"}),
        ("Observation?{iso}&patient={eva}", {"o2"}),
        ("Patient/{eva}/Observation?{iso}", {"o2", "o3"}),
        ("Encounter/{visit}/Observation", {"o1"}),
    ],
)
def test_links_are_followed(net: Any, path: str, expected: set[str]) -> None:
    assert net(path) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("Observation?{iso}&_include=Observation:patient", {"ana", "eva"}),
        ("Observation?{iso}&_include=Observation:subject:Group", set()),
        ("Observation?{iso}&_include=Observation:patient&_include:iterate=Patient:organization", {"ana", "eva", "org"}),
        ("Organization?_id={org}&_include:iterate=Organization:partof", {"parent"}),
        ("Patient?_id={ana}&_revinclude=Observation:patient&_revinclude=Encounter:*", {"o1", "visit"}),
        (
            "Organization?_id={org}&_revinclude=Patient:organization&_revinclude:iterate=Observation:patient",
            {"ana", "o1"},
        ),
        ("Observation?_id={o1}&_include=*", {"ana", "visit"}),
        ("Encounter?_id={visit}&_revinclude=*", {"o1"}),
        ("Organization?_id={org}&_revinclude=*", {"ana"}),
    ],
)
def test_includes_come_once_and_only_as_asked(net: Any, path: str, expected: set[str]) -> None:
    assert net(path, "include") == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("gender eq female", {"ana", "eva"}),
        ("birthdate lt 1980", {"ana"}),
        # From left to right: R4 gives `and` no precedence over `or`.
        ("birthdate lt 1980 or birthdate gt 1980 and family sw bello", {"eva"}),
        ("birthdate lt 1980 or (birthdate gt 1980 and family sw bello)", {"ana", "eva"}),
        ("(birthdate lt 1980 or birthdate gt 1980) and family co bello", {"eva"}),
        ("not (birthdate lt 1980)", {"eva"}),
        ('family eq "ALBA{mark}"', {"ana"}),
        ("family ew {mark}", {"ana", "eva"}),
        ("family eq alba", set()),
        ("organization pr true", {"ana"}),
        ("organization pr false", {"eva"}),
        ("birthdate po 1950", {"ana"}),
        ("gender ne male", {"ana", "eva"}),
        ("organization.name co hospital", {"ana"}),
        ("general-practitioner re Practitioner/{dr}", {"ana"}),
        ("organization[name co hospital].partof.name co parent", {"ana"}),
        ("organization[name co nowhere or partof pr false].name co hospital", set()),
        ("organization[partof[name co parent].name co parent].name co hospital", {"ana"}),
        ("organization[partof[name co hospital].name co parent].name co hospital", set()),
        ('not (organization[name eq "hospital {mark}" and active pr false].identifier eq {mark}|v)', {"eva"}),
        ("gender sb http://hl7.org/fhir/administrative-gender|female", {"ana", "eva"}),
        ("gender in http://hl7.org/fhir/ValueSet/administrative-gender", {"ana", "eva"}),
    ],
)
def test_filters(net: Any, expression: str, expected: set[str]) -> None:
    assert net("Patient?{iso}&_filter=" + quote(expression, safe="{}")) == expected


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "gender",
        "gender eq",
        "gender eq male and",
        "(gender eq male",
        "gender like male",
        "a eq b",
        "gender co a",
        "organization[name eq x",
        "organization[name eq x] eq y",
        "organization[nonsense eq x].name eq y",
        "gender[a eq b].name eq x",
        "organization].name eq y",
    ],  # fmt: skip
)
def test_filters_that_are_not_understood_are_refused(api: Any, expression: str) -> None:
    assert api(role="administrator").get(f"Patient?_filter={quote(expression)}").status_code == 400


@pytest.fixture
def canonical(api: Any) -> Any:
    """Two questionnaires of one publisher, and an answer to one of them; matches and includes by name."""
    client = api(role="administrator")
    mark = uuid4().hex[:10]
    names: dict[str, str] = {}

    def make(name: str, kind: str, **elements: Any) -> None:
        answer = client.post(kind, {"resourceType": kind, **elements})
        assert answer.status_code == 201, answer.content
        names[answer.json()["id"]] = name

    for name in ("pain", "sleep"):
        url = f"http://forms.example/{mark}/{name}"
        make(name, "Questionnaire", status="active", url=url, version="1.2", title=f"{name} {mark}")
    make("answer", "QuestionnaireResponse", status="completed", questionnaire=f"http://forms.example/{mark}/pain|1.2")

    def ask(path: str, mode: str = "match") -> set[str]:
        answer = client.get(path.replace("{mark}", mark))
        assert answer.status_code == 200, answer.content
        return {names[e["resource"]["id"]] for e in answer.json().get("entry", ()) if e["search"]["mode"] == mode}

    return ask


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("QuestionnaireResponse?questionnaire.title=pain {mark}", {"answer"}),
        ("QuestionnaireResponse?questionnaire:Questionnaire.title=sleep {mark}", set()),
        ("Questionnaire?_has:QuestionnaireResponse:questionnaire:status=completed&title=pain {mark}", {"pain"}),
        ("Questionnaire?_has:QuestionnaireResponse:questionnaire:status=completed&title=sleep {mark}", set()),
        ("Questionnaire?url=http://forms.example/{mark}/pain|1.2", {"pain"}),
        ("Questionnaire?url=http://forms.example/{mark}/pain|1.3", set()),
        ("Questionnaire?url=http://forms.example/{mark}/pain|1.3,http://forms.example/{mark}/sleep", {"sleep"}),
    ],
)
def test_canonical_references_lead_to_what_has_their_url(canonical: Any, path: str, expected: set[str]) -> None:
    assert canonical(path) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("QuestionnaireResponse?questionnaire.title=pain {mark}&_include=QuestionnaireResponse:questionnaire", "pain"),
        ("Questionnaire?title=pain {mark}&_revinclude=QuestionnaireResponse:questionnaire", "answer"),
        ("Questionnaire?title=pain {mark}&_revinclude=*", "answer"),
    ],
)
def test_canonical_references_are_included(canonical: Any, path: str, expected: str) -> None:
    assert canonical(path, "include") == {expected}


@pytest.mark.parametrize(("name", "code"), [("problems", "problems"), ("medications", "medications")])
def test_current_lists(api: Any, name: str, code: str) -> None:
    client = api(role="administrator")
    patient = client.post("Patient", {"resourceType": "Patient"}).json()["id"]
    subject = {"reference": f"Patient/{patient}"}
    made = [
        client.post("Condition", {"resourceType": "Condition", "subject": subject, "code": {"text": str(n)}}).json()[
            "id"
        ]
        for n in range(3)
    ]
    system = "http://terminology.hl7.org/CodeSystem/list-example-codes"
    for status, item in (("current", made[0]), ("retired", made[1])):
        entry = [{"item": {"reference": f"Condition/{item}"}}]
        kind = {"coding": [{"system": system, "code": code}]}
        body = {"resourceType": "List", "status": status, "mode": "working", "code": kind, "subject": subject}
        assert client.post("List", body | {"entry": entry}).status_code == 201
    answer = client.get(f"Condition?patient={patient}&_list=$current-{name}").json()
    assert [entry["resource"]["id"] for entry in answer["entry"]] == [made[0]]
    assert client.get("Condition?_list=$current-nonsense").status_code == 400


def test_words_of_narrative_and_content(api: Any) -> None:
    client = api(role="administrator")
    word = f"zq{uuid4().hex[:10]}"
    narrative = {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">told {word}a</div>'}
    made = client.post(
        "Patient", {"resourceType": "Patient", "name": [{"family": f"{word}b"}], "text": narrative}
    ).json()["id"]

    def found(query: str) -> list[str]:
        return [entry["resource"]["id"] for entry in client.get(f"Patient?{query}").json().get("entry", ())]

    assert found(f"_text=told%20{word.upper()}a") == [made]
    assert found(f"_text={word}b") == []
    assert found(f"_content={word}b") == [made]
    assert found(f"_content={word[:5]}%25{word[6:]}") == []


@pytest.fixture
def charts(api: Any) -> Any:
    """Seven patients; those of even numbers have two Observations of one code and one of another."""
    client = api(role="administrator")
    mark = uuid4().hex[:10]
    names: dict[str, int] = {}

    def make(kind: str, **elements: Any) -> str:
        answer = client.post(kind, {"resourceType": kind, **elements})
        assert answer.status_code == 201, answer.content
        return str(answer.json()["id"])

    for number in range(7):
        patient = make("Patient", gender="female" if number < 3 else "male", birthDate=f"19{80 - number}-01-01")
        names[patient] = number
        for code in ("x", "x", "y") if number % 2 == 0 else ("z",):
            coding = {"coding": [{"system": mark, "code": code}]}
            make("Observation", status="final", code=coding, subject={"reference": f"Patient/{patient}"})

    def pages(query: str, asking: Any = client) -> list[list[int]]:
        """The numbers of the patients, page by page; each page but the first leads back to the one before it."""
        path, found = f"Patient?{query.replace('{mark}', mark)}", []
        before: list[int] = []
        while True:
            answer = asking.get(path)
            assert answer.status_code == 200, answer.content
            bundle = answer.json()
            found.append([names[entry["resource"]["id"]] for entry in bundle.get("entry", ())])
            links = {link["relation"]: link["url"].partition("/fhir/R4/")[2] for link in bundle["link"]}
            if before:
                previous = asking.get(links["previous"]).json()
                assert [names[entry["resource"]["id"]] for entry in previous["entry"]] == before
            if "next" not in links:
                return found
            path, before = links["next"], found[-1]

    return pages, {number: patient for patient, number in names.items()}, mark


X = "_has:Observation:patient:code={mark}|x"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (X, [[6, 4, 2, 0]]),
        (f"{X}&_count=3", [[6, 4, 2], [0]]),
        (f"{X}&_count=2", [[6, 4], [2, 0]]),
        (f"{X}&_count=1&_sort=_id", [[0], [2], [4], [6]]),
        (f"{X}&_count=2&_sort=-_lastUpdated", [[6, 4], [2, 0]]),
        (f"{X}&_count=3&_sort=birthdate", [[6, 4, 2], [0]]),
        (f"{X}&gender=female", [[2, 0]]),
        (f"{X}&gender:not=female&_count=1", [[6], [4]]),
        (f"{X}&_has:Observation:patient:code={{mark}}|y&_count=3", [[6, 4, 2], [0]]),
        (f"{X}&_has:Observation:patient:code={{mark}}|z", [[]]),
        ("_has:Observation:patient:code={mark}|x,{mark}|z&_count=5", [[6, 5, 4, 3, 2], [1, 0]]),
    ],
)
def test_patients_by_what_is_in_their_charts_page_by_page(charts: Any, query: str, expected: list[list[int]]) -> None:
    pages, _patients, _mark = charts
    assert pages(query) == expected


@pytest.mark.parametrize(("query", "expected"), [(X, 4), (f"{X}&gender=female", 2), (f"{X}&gender:not=female", 2)])
def test_patients_by_what_is_in_their_charts_are_counted(charts: Any, api: Any, query: str, expected: int) -> None:
    _pages, _patients, mark = charts
    client = api(role="administrator")
    path = f"Patient?{query.replace('{mark}', mark)}"
    for asked in ("_count=1&_total=accurate", "_summary=count", "_count=1&_total=estimate"):
        assert client.get(f"{path}&{asked}").json()["total"] == expected


def test_a_patient_finds_only_the_own_chart(charts: Any, api: Any) -> None:
    pages, patients, _mark = charts
    for number, expected in ((4, [[4]]), (3, [[]])):
        asking = api(role="patient", fhir_user=f"Patient/{patients[number]}")
        assert pages(X, asking) == expected


def test_the_opposite_of_a_chain_that_leads_nowhere_is_true(api: Any) -> None:
    client, mark = api(role="administrator"), uuid4().hex
    tag = {"meta": {"tag": [{"system": "u:t", "code": mark}]}}
    patient = client.post("Patient", {"resourceType": "Patient"}).json()["id"]
    for subject in ({"subject": {"reference": f"Patient/{patient}"}}, {}):
        body = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, **tag, **subject}
        assert client.post("Observation", body).status_code == 201
    for path in ("subject.family", "subject:Patient._profile", "performer:Practitioner.name", "subject.identifier"):
        answer = client.get(f"Observation?_tag={mark}&_filter=" + quote(f"not ({path} eq {mark})"))
        assert len(answer.json().get("entry", ())) == 2, path


def test_includes_that_go_on_are_refused_instead_of_cut(api: Any) -> None:
    client = api(role="administrator")
    chain = [f"org-{uuid4().hex}" for _ in range(13)]
    for name, above in zip(chain, [None, *chain], strict=False):
        part = {"partOf": {"reference": f"Organization/{above}"}} if above else {}
        body = {"resourceType": "Organization", "id": name, "name": "x", **part}
        assert client.put(f"Organization/{name}", body).status_code == 201
    ask = "Organization?_id={}&_include:iterate=Organization:partof"
    whole = client.get(ask.format(chain[10])).json()
    assert {entry["resource"]["id"] for entry in whole["entry"]} == set(chain[:11])
    refused = client.get(ask.format(chain[11]))
    assert refused.status_code == 400 and refused.json()["issue"][0]["code"] == "too-costly"
