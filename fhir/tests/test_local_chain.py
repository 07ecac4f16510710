"""Chains inside a patient's chart: what is asked of the chart alone, and what is asked of all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

import pytest

from accounts import tokens
from accounts.scopes import scope_for
from audit.models import AuditRecord
from clinical_records.testing import ApiClient
from fhir.database import trips
from fhir.search import custom, local_chain, parse, plan
from fhir.search.statistics import Statistics

LOCAL, ELSEWHERE = 1, 2  # round trips
ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
Resource = dict[str, Any]


class Charts:
    """Two patients, and what is stored about them; every resource has a label."""

    def __init__(self, api: Callable[..., ApiClient]) -> None:
        self.api, self.client = api, api()
        self.labels: dict[str, str] = {}
        self.ids: dict[str, str] = {}
        self.mark = uuid4().hex[:10]
        for name in ("ana", "eva"):
            self.store(name, "Patient", name=[{"family": f"{name}{self.mark}"}])
        self.visit("walk-in", "ana", "AMB")
        self.visit("ward", "ana", "IMP")
        self.visit("hers", "eva", "AMB")

    def store(self, label: str, kind: str, **elements: Any) -> str:
        answer = self.client.post(kind, {"resourceType": kind, **elements})
        assert answer.status_code == 201, answer.content
        self.ids[label] = answer.resource()["id"]
        self.labels[self.ids[label]] = label
        return self.ids[label]

    def put(self, resource: Resource) -> None:
        answer = self.client.put(f"{resource['resourceType']}/{resource['id']}", resource)
        assert answer.status_code in (200, 201), answer.content

    def encounter(self, who: str, act: str) -> Resource:
        subject = {"reference": f"Patient/{self.ids[who]}"}
        return {"status": "finished", "class": {"system": ACT, "code": act}, "subject": subject}

    def visit(self, label: str, who: str, act: str, **more: Any) -> str:
        return self.store(label, "Encounter", **self.encounter(who, act), **more)

    def observe(self, label: str, encounter: str | Resource | None = None, **more: Any) -> str:
        """An observation of Ana, in an encounter with this label or with this reference."""
        if isinstance(encounter, str):
            encounter = {"reference": f"Encounter/{self.ids[encounter]}"}
        found = {} if encounter is None else {"encounter": encounter}
        code = {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]}
        subject = {"reference": f"Patient/{self.ids['ana']}"}
        return self.store(
            label, "Observation", **{"status": "final", "code": code, "subject": subject, **found, **more}
        )

    def ask(self, question: str, client: ApiClient | None = None) -> tuple[list[str], int]:
        """The labels of what Ana's chart has for a question, and in how many round trips it was answered."""
        with trips() as counted:
            answer = (client or self.client).get(self.url(question))
        assert answer.status_code == 200, answer.content
        return self.found(answer.resource()), counted[0]

    def url(self, question: str) -> str:
        kind, _mark, rest = question.partition("?")
        return f"{kind}?patient={self.ids['ana']}&{rest.replace('{mark}', self.mark)}"

    def found(self, bundle: Resource) -> list[str]:
        return sorted(self.labels[entry["resource"]["id"]] for entry in bundle.get("entry", ()))


@pytest.fixture(params=["few", "many"])
def charts(request: pytest.FixtureRequest, api: Callable[..., ApiClient], monkeypatch: pytest.MonkeyPatch) -> Charts:
    """Nothing but the search is asked during a test; as if charts had few possible targets, or many."""
    monkeypatch.setattr(local_chain, "_MANY", {"few": float("inf"), "many": -1.0}[request.param])
    monkeypatch.setattr(tokens, "RECHECK_SECONDS", 3600.0)
    monkeypatch.setattr(custom, "CHECK_SECONDS", 3600.0)
    monkeypatch.setattr(custom, "_watched_until", 0.0)
    found = Charts(api)
    found.observe("at the walk-in", "walk-in")
    found.observe("on the ward", "ward")
    found.observe("anywhere")
    found.ask("Observation?encounter.class=AMB")
    return found


def test_a_chart_that_has_all_targets_is_asked_once(charts: Charts) -> None:
    assert charts.ask("Observation?encounter.class=AMB") == (["at the walk-in"], LOCAL)
    assert charts.ask("Observation?encounter.class=IMP,AMB") == (["at the walk-in", "on the ward"], LOCAL)
    assert charts.ask("Observation?encounter.class=HH") == ([], LOCAL)


def test_a_target_of_another_patient_is_found(charts: Charts) -> None:
    charts.observe("at hers", "hers")
    assert charts.ask("Observation?encounter.class=AMB") == (["at hers", "at the walk-in"], ELSEWHERE)
    assert charts.ask("Observation?encounter.class=IMP") == (["on the ward"], ELSEWHERE)


def test_a_target_that_moves_away_and_back_is_found(charts: Charts) -> None:
    for who, cost in (("eva", ELSEWHERE), ("ana", LOCAL)):
        moved = {"resourceType": "Encounter", "id": charts.ids["walk-in"], **charts.encounter(who, "AMB")}
        charts.put(moved)
        assert charts.ask("Observation?encounter.class=AMB") == (["at the walk-in"], cost)


def test_a_deleted_target_is_no_target(charts: Charts) -> None:
    assert charts.client.delete(f"Encounter/{charts.ids['ward']}").status_code in (200, 204)
    assert charts.ask("Observation?encounter.class=IMP") == ([], ELSEWHERE)
    assert charts.ask("Observation?encounter.class=AMB") == (["at the walk-in"], ELSEWHERE)


def test_a_deleted_target_that_comes_again_with_another_patient_is_found(charts: Charts) -> None:
    assert charts.client.delete(f"Encounter/{charts.ids['ward']}").status_code in (200, 204)
    charts.put({"resourceType": "Encounter", "id": charts.ids["ward"], **charts.encounter("eva", "IMP")})
    assert charts.ask("Observation?encounter.class=IMP") == (["on the ward"], ELSEWHERE)


@pytest.mark.parametrize(
    "reference",
    [
        {"reference": f"Encounter/none-{uuid4()}"},
        {"reference": f"http://other.example/fhir/Encounter/{uuid4()}"},
        {"identifier": {"system": "urn:visits", "value": "1"}},
        {"display": "Some visit"},
    ],
)
def test_what_refers_to_nothing_here_has_no_target(charts: Charts, reference: Resource) -> None:
    charts.observe("outside", reference)
    assert charts.ask("Observation?encounter.class=AMB") == (["at the walk-in"], ELSEWHERE)
    assert charts.ask("Observation?encounter.class:not=AMB") == (["on the ward"], ELSEWHERE)


def test_a_version_of_a_target_is_the_target(charts: Charts) -> None:
    charts.observe("at a version", {"reference": f"Encounter/{charts.ids['walk-in']}/_history/1"})
    charts.observe("at an address", {"reference": f"http://testserver/fhir/R4/Encounter/{charts.ids['walk-in']}"})
    expected = ["at a version", "at an address", "at the walk-in"]
    assert charts.ask("Observation?encounter.class=AMB") == (expected, LOCAL)


NEITHER = ["anywhere", "on the ward"]


@pytest.mark.parametrize(
    ("expression", "here", "also"),
    [
        ("encounter.class eq AMB", ["at the walk-in"], ["at hers"]),
        ("not (encounter.class eq AMB)", NEITHER, []),
        ("not (not (encounter.class eq AMB))", ["at the walk-in"], ["at hers"]),
        ("not (encounter.class eq AMB or encounter.class eq IMP)", ["anywhere"], []),
        ("encounter.class eq IMP or status eq final", ["anywhere", "at the walk-in", "on the ward"], ["at hers"]),
        ("status eq final and not (encounter.class eq IMP)", ["anywhere", "at the walk-in"], ["at hers"]),
    ],
)
def test_opposites(charts: Charts, expression: str, here: list[str], also: list[str]) -> None:
    question = f"Observation?_filter={expression}"
    assert charts.ask(question) == (here, LOCAL)
    charts.observe("at hers", "hers")
    assert charts.ask(question) == (sorted([*here, *also]), ELSEWHERE)


def test_only_rows_that_can_match_need_their_targets(charts: Charts) -> None:
    charts.observe("at hers", "hers", status="amended")
    assert charts.ask("Observation?encounter.class=AMB&status=final") == (["at the walk-in"], LOCAL)
    assert charts.ask("Observation?encounter.class=AMB&status=amended") == (["at hers"], ELSEWHERE)


def test_two_chains_and_two_charts(charts: Charts) -> None:
    charts.observe("at hers", "hers")
    assert charts.ask("Observation?encounter.class=AMB&encounter.status=finished")[0] == ["at hers", "at the walk-in"]
    answer = charts.client.get(f"Observation?patient={charts.ids['eva']}&encounter.class=AMB")
    assert charts.found(answer.resource()) == []


@pytest.mark.parametrize("cost", [LOCAL, ELSEWHERE])
def test_totals_and_pages(charts: Charts, cost: int) -> None:
    expected = {"at the walk-in"}
    for number in range(4):
        charts.observe(f"more {number}", "walk-in", effectiveDateTime=f"2024-03-0{number + 1}")
        expected.add(f"more {number}")
    if cost == ELSEWHERE:
        charts.observe("at hers", "hers", effectiveDateTime="2020-01-01")
        expected.add("at hers")
    for more in (
        "_total=accurate",
        "_count=0",
        "_summary=count",
        "_total=estimate",
        "_count=2",
        "_total=none&_count=2",
    ):
        with trips() as counted:
            bundle = charts.client.get(charts.url(f"Observation?encounter.class=AMB&{more}")).resource()
        assert (bundle.get("total"), counted[0]) == (None if "none" in more else len(expected), cost), more
    for order in ("date", "-date", "-status", "value-quantity"):
        assert walked(charts, f"Observation?encounter.class=AMB&_count=2&_sort={order}", cost) == expected
    newest = charts.client.get(charts.url("Observation?encounter.class=AMB&_count=2&_sort=-date")).resource()
    assert [charts.labels[entry["resource"]["id"]] for entry in newest["entry"]] == ["more 3", "more 2"]


def walked(charts: Charts, question: str, cost: int) -> set[str]:
    """What is found on all pages, there and back."""
    pages: list[list[str]] = []
    url = charts.url(question)
    relation = "next"
    back: list[list[str]] = []
    while True:
        with trips() as counted:
            bundle = charts.client.get(url).resource()
        assert counted[0] == cost
        (pages if relation == "next" else back).append(charts.found(bundle))
        links = {link["relation"]: link["url"] for link in bundle["link"]}
        if relation not in links:
            if relation == "previous":
                break
            relation = "previous"
        url = links[relation].partition("/fhir/R4/")[2]
    assert back == pages[-2::-1]
    found = [label for page in pages for label in page]
    assert len(found) == len(set(found))
    return set(found)


def test_a_patient_finds_what_is_in_the_own_chart(charts: Charts) -> None:
    """Others' records neither match nor are told from those that are not there."""
    charts.observe("at hers", "hers")
    ana = charts.api(role="patient", fhir_user=f"Patient/{charts.ids['ana']}")
    eva = charts.api(role="patient", fhir_user=f"Patient/{charts.ids['eva']}")
    assert charts.ask("Observation?encounter.class=AMB", ana)[0] == ["at the walk-in"]
    assert charts.ask("Observation?_filter=not (encounter.class eq AMB)", ana)[0] == sorted([*NEITHER, "at hers"])
    assert charts.ask("Observation?encounter.class=AMB", eva)[0] == []


def test_the_policy_is_asked_of_targets_in_the_chart(charts: Charts) -> None:
    """Eva may see an observation of Ana's that she made herself, and not the encounter behind it."""
    charts.observe("helped", "walk-in", performer=[{"reference": f"Patient/{charts.ids['eva']}"}])
    eva = charts.api(role="patient", fhir_user=f"Patient/{charts.ids['eva']}")
    assert charts.ask("Observation?encounter.class=AMB") == (["at the walk-in", "helped"], LOCAL)
    assert charts.ask("Observation?status=final", eva)[0] == ["helped"]
    assert charts.ask("Observation?encounter.class=AMB", eva)[0] == []
    assert charts.ask("Observation?_filter=not (encounter.class eq AMB)", eva)[0] == ["helped"]


def test_links_of_links(charts: Charts) -> None:
    charts.store("clinic", "Organization", name=f"Clinic {charts.mark}")
    provider = {"reference": f"Organization/{charts.ids['clinic']}"}
    inside = {"reference": f"Encounter/{charts.ids['ward']}"}
    charts.visit("consult", "ana", "AMB", partOf=inside, serviceProvider=provider)
    charts.observe("consulted", "consult")
    assert charts.ask("Observation?encounter.part-of.class=IMP") == (["consulted"], LOCAL)
    assert charts.ask("Observation?encounter.part-of.class=AMB") == ([], LOCAL)
    assert charts.ask("Observation?encounter.patient.family=ana{mark}&status=final")[1] == LOCAL
    assert charts.ask("Observation?encounter.service-provider.name=clinic")[0] == ["consulted"]
    assert charts.ask("Observation?encounter._has:Observation:encounter:status=final&encounter.class=AMB")[0] == [
        "at the walk-in",
        "consulted",
    ]
    # The row that leads out is not one of those that are searched, but one on the way.
    charts.visit("part of hers", "ana", "IMP", partOf={"reference": f"Encounter/{charts.ids['hers']}"})
    charts.observe("further", "part of hers")
    assert charts.ask("Observation?encounter.part-of.class=AMB") == (["further"], ELSEWHERE)
    assert charts.ask("Encounter?part-of.class=IMP&class=AMB") == (["consult"], LOCAL)
    assert charts.ask("Encounter?part-of.part-of.class=AMB&class=HH") == ([], ELSEWHERE)


def test_a_subject_of_several_types_is_the_patient(charts: Charts) -> None:
    expected = ["anywhere", "at the walk-in", "on the ward"]
    assert charts.ask("Observation?subject.identifier:missing=true") == (expected, LOCAL)
    assert charts.ask("Observation?subject.name=ana{mark}") == (expected, LOCAL)
    assert charts.ask("Observation?subject.name=eva{mark}") == ([], LOCAL)


@pytest.mark.parametrize(
    ("question", "cost"),
    [("Observation?encounter.class=AMB", LOCAL), ("Observation?encounter.class=AMB&status=final", ELSEWHERE)],
)
def test_an_answer_has_one_audit_row(charts: Charts, question: str, cost: int) -> None:
    if cost == ELSEWHERE:
        charts.observe("at hers", "hers")
    known = AuditRecord.objects.filter(pat__isnull=False).count()
    assert charts.ask(question)[1] == cost
    assert AuditRecord.objects.filter(pat__isnull=False).count() == known + 1


def test_an_explanation_is_of_the_plan_that_answered(charts: Charts) -> None:
    def told() -> str:
        bundle = charts.client.get(charts.url("Observation?encounter.class=AMB&_explain=true")).resource()
        (outcome,) = (e["resource"] for e in bundle["entry"] if e["search"]["mode"] == "outcome")
        return " ".join(issue.get("diagnostics", "") for issue in outcome["issue"])

    assert "elsewhere" in told()
    charts.observe("at hers", "hers")
    assert "elsewhere" not in told()


def made(question: str) -> plan.Plan:
    kind, _mark, query = question.partition("?")
    pairs = [tuple(pair.split("=", 1)) for pair in query.split("&")]
    scope = scope_for(user_id=str(uuid4()), username="x", role="administrator")
    request = parse.parse(kind, pairs, scope, "http://testserver/fhir/R4")  # type: ignore[arg-type]
    return plan.make(request, scope, Statistics())


@pytest.mark.parametrize(
    ("question", "is_local"),
    [
        ("Observation?patient=x&encounter.class=AMB", True),
        ("Observation?patient=x&specimen.status=available", True),
        ("Condition?patient=x&encounter.class=AMB&code=y", True),
        ("Encounter?patient=x&part-of.part-of.part-of.class=AMB", True),
        ("Observation?patient=x&encounter.patient.active=true", True),
        # No chain, or none that leads further than the patient.
        ("Observation?patient=x&code=y", False),
        ("Observation?patient=x&patient.active=true", False),
        # Of all charts.
        ("Observation?encounter.class=AMB", False),
        # Several references.
        ("DiagnosticReport?patient=x&result.code=y", False),
        ("Observation?patient=x&has-member:Observation.code=y", False),
        # What no chart has.
        ("Encounter?patient=x&service-provider.name=y", False),
        ("Observation?patient=x&encounter.service-provider.name=y", False),
        ("Condition?patient=x&asserter.identifier=y", False),
        # Those that refer here may be anywhere.
        ("Encounter?patient=x&_has:Observation:encounter:code=y", False),
        ("Observation?patient=x&encounter._has:Observation:encounter:code=y", False),
        ("Observation?patient=x&patient.organization.name=y", False),
    ],
)
def test_what_is_asked_of_the_chart_alone(question: str, is_local: bool) -> None:
    found = local_chain.local(made(question), Statistics())
    assert (found is not None) == is_local
    if found is not None:
        assert found.elsewhere and found.bucket is not None


def test_rows_without_their_guard() -> None:
    nothing: Sequence[Any] = [(False, None, None)]
    assert local_chain.whole(nothing) == []
    assert local_chain.whole([(False, 1, "a"), (False, 2, "b")]) == [(1, "a"), (2, "b")]
    assert local_chain.whole([(True, None, None)]) is None
    assert local_chain.whole([]) == []
