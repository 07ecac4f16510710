"""$everything: https://hl7.org/fhir/R4/operation-patient-everything.html

Proved here: what is in it, each once over all pages (also while rows are written), dates, types, since, who may see
what, how often PostgreSQL is waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from clinical_records.testing import ApiClient
from fhir import citus
from fhir.database import trips

Api = Callable[..., ApiClient]
MARKER = "zzMARKERzz"


def reference(kind: str, resource_id: str) -> dict[str, str]:
    return {"reference": f"{kind}/{resource_id}"}


class Chart:
    """Ana's chart, what it refers to, and another patient's; `ids` by name."""

    def __init__(self, client: ApiClient) -> None:
        self.client = client
        self.ids: dict[str, str] = {}
        self.make("dr", "Practitioner", name=[{"family": "Alba"}])
        self.make("org", "Organization", name="o")
        self.make("med", "Medication", code={"text": "m"})
        self.make("bin", "Binary", contentType="text/plain", data="YQ==")
        self.make("alone", "Practitioner", name=[{"family": "nobody's"}])
        own = {"generalPractitioner": [reference("Practitioner", self.ids["dr"])]}
        self.make("ana", "Patient", managingOrganization=reference("Organization", self.ids["org"]), **own)
        self.make("carlos", "Patient", name=[{"family": MARKER}])
        ana = reference("Patient", self.ids["ana"])
        self.observation("old", ana, effectiveDateTime="2010-05-05")
        self.observation("new", ana, effectiveDateTime="2020-05-05")
        self.observation("his", reference("Patient", self.ids["carlos"]), valueString=MARKER)
        self.make("condition", "Condition", subject=ana)
        code = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"}
        self.make(
            "encounter",
            "Encounter",
            status="finished",
            subject=ana,
            period={"start": "2018-12-30", "end": "2019-01-02"},
            **{"class": code},
        )
        self.make(
            "request",
            "MedicationRequest",
            status="active",
            intent="order",
            subject=ana,
            medicationReference=reference("Medication", self.ids["med"]),
        )
        attachment = {"contentType": "text/plain", "url": f"Binary/{self.ids['bin']}"}
        self.make("document", "DocumentReference", status="current", subject=ana, content=[{"attachment": attachment}])
        self.make(
            "both",
            "Appointment",
            status="booked",
            start="2030-01-01T10:00:00Z",
            end="2030-01-01T11:00:00Z",
            participant=[
                {"actor": reference("Patient", self.ids[who]), "status": "accepted"} for who in ("carlos", "ana")
            ],
        )

    def make(self, name: str, kind: str, /, **elements: Any) -> str:
        answer = self.client.post(kind, {"resourceType": kind, **elements})
        assert answer.status_code == 201, answer.content
        self.ids[name] = answer.json()["id"]
        return self.ids[name]

    def observation(self, name: str, subject: dict[str, str], /, **elements: Any) -> str:
        return self.make(name, "Observation", status="final", code={"text": "t"}, subject=subject, **elements)

    def url(self, query: str = "", who: str = "ana") -> str:
        return f"Patient/{self.ids[who]}/$everything{query}"

    def names(self, entries: list[dict[str, Any]]) -> list[str]:
        back = {value: key for key, value in self.ids.items()}
        return [back.get(entry["resource"]["id"], entry["fullUrl"]) for entry in entries]


def pages(client: ApiClient, path: str) -> Iterator[dict[str, Any]]:
    url: str | None = path
    while url is not None:
        answer = client.get(url)
        assert answer.status_code == 200, answer.content
        bundle = answer.json()
        assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "searchset")
        yield bundle
        links = {link["relation"]: urlsplit(link["url"]) for link in bundle["link"]}
        url = f"{links['next'].path}?{links['next'].query}" if "next" in links else None


def entries(client: ApiClient, path: str) -> list[dict[str, Any]]:
    return [entry for page in pages(client, path) for entry in page.get("entry", ())]


@pytest.fixture
def chart(api: Api) -> Chart:
    return Chart(api())


OWN = {"ana", "old", "new", "condition", "encounter", "request", "document", "both"}
OTHERS = {"dr", "org", "med", "bin"}


def test_the_compartment_and_what_it_refers_to(chart: Chart) -> None:
    found = entries(chart.client, chart.url())
    names = chart.names(found)
    assert names[0] == "ana"
    assert sorted(names) == sorted(OWN | OTHERS)
    modes = {name: entry["search"]["mode"] for name, entry in zip(names, found, strict=True)}
    assert modes == {**dict.fromkeys(OWN, "match"), **dict.fromkeys(OTHERS, "include")}
    assert all(
        entry["fullUrl"].endswith(f"/{e['resourceType']}/{e['id']}") for entry in found if (e := entry["resource"])
    )
    (bundle,) = pages(chart.client, chart.url())
    assert bundle["total"] == len(OWN)


def test_post_with_parameters_is_the_same(chart: Chart) -> None:
    parameters = [
        {"name": "_type", "valueCode": "Observation"},
        {"name": "_type", "valueCode": "Condition,Encounter"},
        {"name": "start", "valueDate": "2019-01-01"},
        {"name": "_count", "valueInteger": 50},
    ]
    answer = chart.client.post(chart.url(), {"resourceType": "Parameters", "parameter": parameters})
    assert answer.status_code == 200, answer.content
    asked = chart.url("?_type=Observation,Condition&_type=Encounter&start=2019-01-01&_count=50")
    assert answer.json()["entry"] == chart.client.get(asked).json()["entry"]
    assert sorted(chart.names(answer.json()["entry"])) == ["condition", "encounter", "new"]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 8, 9, 11, 12, 13])
@pytest.mark.parametrize("query", ["", "&_since=2001-01-01T00:00:00Z", "&start=2019-01-01"])
def test_each_once_over_pages_of_any_size(chart: Chart, count: int, query: str) -> None:
    whole = chart.names(entries(chart.client, chart.url("?_count=500" + query)))
    found: list[str] = []
    for page in pages(chart.client, chart.url(f"?_count={count}{query}")):
        assert 0 < len(page["entry"]) <= count
        found += chart.names(page["entry"])
    assert found == whole
    assert len(set(found)) == len(found)


def test_each_once_while_rows_are_written(chart: Chart) -> None:
    """Between any two pages all rows are updated, one is added, one is deleted."""
    doomed = [chart.observation(f"doomed{n}", reference("Patient", chart.ids["ana"])) for n in range(12)]
    found: list[str] = []
    for number, page in enumerate(pages(chart.client, chart.url("?_count=3"))):
        found += [entry["resource"]["id"] for entry in page["entry"]]
        for name in ("old", "new"):
            url = f"Observation/{chart.ids[name]}"
            changed = {**chart.client.get(url).json(), "effectiveDateTime": f"20{30 + number}-01-01"}
            assert chart.client.put(url, changed).status_code == 200
        chart.observation(f"added{number}", reference("Patient", chart.ids["ana"]))
        if doomed:
            assert chart.client.delete(f"Observation/{doomed.pop()}").status_code in (200, 204)
    assert len(set(found)) == len(found)
    assert {chart.ids[name] for name in OWN | OTHERS} <= set(found)


@pytest.mark.parametrize(
    ("query", "absent"),
    [
        ("?start=2019-01-01", {"old"}),
        ("?end=2019-01-01", {"new", "both"}),
        ("?start=2019-01-01&end=2019-01-01", {"old", "new", "both"}),
        ("?start=2019-01-03", {"old", "encounter"}),
        ("?end=2018-12-29", {"new", "both", "encounter"}),
        ("?start=2019-01-01&end=2021-01-01", {"old", "both"}),
    ],
)
def test_dates_are_those_of_care(chart: Chart, query: str, absent: set[str]) -> None:
    assert set(chart.names(entries(chart.client, chart.url(query)))) == (OWN | OTHERS) - absent


def test_what_is_out_of_the_dates_brings_nothing_with_it(chart: Chart) -> None:
    chart.make("late", "Practitioner")
    performer = [reference("Practitioner", chart.ids["late"])]
    chart.observation("by", reference("Patient", chart.ids["ana"]), effectiveDateTime="2022-01-01", performer=performer)
    assert "late" in chart.names(entries(chart.client, chart.url("?start=2021-01-01")))
    assert "late" not in chart.names(entries(chart.client, chart.url("?end=2021-01-01")))


@pytest.mark.parametrize(
    ("types", "present"),
    [
        ("Observation", {"old", "new"}),
        ("Medication,Condition", {"med", "condition"}),
        ("Practitioner", {"dr"}),
        ("Patient", {"ana"}),
        ("Appointment", {"both"}),
        ("Device", set()),
    ],
)
def test_types(chart: Chart, types: str, present: set[str]) -> None:
    assert set(chart.names(entries(chart.client, chart.url(f"?_type={types}")))) == present


def test_since_gives_what_changed_and_what_that_refers_to(chart: Chart) -> None:
    time.sleep(0.002)  # versions of one millisecond are of one moment
    first = chart.observation("first", reference("Patient", chart.ids["ana"]))
    moment = chart.client.get(f"Observation/{first}").json()["meta"]["lastUpdated"]
    time.sleep(0.002)
    performer = [reference("Practitioner", chart.ids["alone"])]
    later = chart.observation("later", reference("Patient", chart.ids["ana"]), performer=performer)
    now = chart.client.get(f"Observation/{later}").json()["meta"]["lastUpdated"]
    found = set(chart.names(entries(chart.client, chart.url(f"?_since={moment}"))))
    assert found == {"first", "later", "alone"}
    found = set(chart.names(entries(chart.client, chart.url(f"?_since={now}"))))
    assert found == {"later", "alone"}
    doctor = chart.client.get(f"Practitioner/{chart.ids['dr']}").json()
    assert chart.client.put(f"Practitioner/{chart.ids['dr']}", {**doctor, "gender": "female"}).status_code == 200
    assert set(chart.names(entries(chart.client, chart.url(f"?_since={now}")))) == {"later", "alone", "dr"}


def test_unknown_deleted_and_bad(chart: Chart) -> None:
    client = chart.client
    assert client.get(f"Patient/{uuid4()}/$everything").status_code == 404
    gone = chart.make("gone", "Patient")
    assert client.delete(f"Patient/{gone}").status_code in (200, 204)
    assert client.get(f"Patient/{gone}/$everything").status_code == 410
    for query in ("?_count=x", "?_count=0", "?start=yesterday", "?_type=Nothing", "?name=x", "?start=2020&start=2021",
                  "?_cursor=xyz", "?_since=soon"):  # fmt: skip
        answer = client.get(chart.url(query))
        assert answer.status_code == 400, query
        assert answer.json()["issue"][0]["expression"] == [query[1:].partition("=")[0]]
    assert client.post(chart.url(), {"resourceType": "Patient"}).status_code == 400
    assert client.get("Patient/$everything").status_code == 400
    assert client.get(f"Observation/{chart.ids['new']}/$everything").status_code == 404


def test_a_cursor_is_of_one_user_and_one_question(chart: Chart, api: Api) -> None:
    first = next(pages(chart.client, chart.url("?_count=2")))
    following = {link["relation"]: link["url"] for link in first["link"]}["next"]
    path = following.split("/fhir/R4/")[1]
    assert chart.client.get(path).status_code == 200
    assert api(role="practitioner").get(path).status_code == 400
    assert chart.client.get(path.replace(chart.ids["ana"], chart.ids["carlos"])).status_code == 400
    assert chart.client.get(path + "&_type=Patient").status_code == 400
    for name in OWN:
        assert chart.ids[name] not in path.split("_cursor=")[1]


def test_a_page_ends_where_it_is_large(chart: Chart, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes of a page are bounded whatever the entries hold; here each is over the bound by itself."""
    from fhir.operations import everything_sql

    whole = chart.names(entries(chart.client, chart.url()))
    monkeypatch.setattr(everything_sql, "PAGE_BYTES", 1)
    sizes, found = [], []
    for page in pages(chart.client, chart.url()):
        sizes.append(len(page["entry"]))
        found += chart.names(page["entry"])
    assert found == whole
    assert max(sizes) <= 2 and len(sizes) > len(whole) // 2


# --- who may see what


@pytest.mark.parametrize("query", ["", "?_count=2", "?_type=Practitioner,Observation,Appointment,AuditEvent"])
def test_a_patient_gets_the_own_chart_only(chart: Chart, api: Api, query: str) -> None:
    ana = api(role="patient", fhir_user=f"Patient/{chart.ids['ana']}")
    own = OWN if "_type" not in query else {"old", "new", "both"}
    for path in (chart.url(query), f"Patient/$everything{query}"):
        found = entries(ana, path)
        assert sorted(chart.names(found)) == sorted(own)
        assert MARKER not in str(found)


def test_another_patient_is_not_there(chart: Chart, api: Api) -> None:
    ana = api(role="patient", fhir_user=f"Patient/{chart.ids['ana']}")
    answers = [ana.get(path) for path in (chart.url(who="carlos"), f"Patient/{uuid4()}/$everything")]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].json()["issue"] == answers[1].json()["issue"]
    encounter = chart.ids["encounter"]
    carlos = api(role="patient", fhir_user=f"Patient/{chart.ids['carlos']}")
    assert carlos.get(f"Encounter/{encounter}/$everything").status_code == 404
    assert chart.names(entries(ana, f"Encounter/{encounter}/$everything")) == ["encounter", "ana"]
    assert sorted(chart.names(entries(carlos, chart.url(who="carlos")))) == ["both", "carlos", "his"]


def test_other_roles(chart: Chart, api: Api) -> None:
    doctor = api(role="practitioner")
    assert set(chart.names(entries(doctor, chart.url()))) == OWN | OTHERS
    assert api(role="auditor").get(chart.url()).status_code == 403
    assert ApiClient().get(chart.url()).status_code == 401


def test_nothing_of_another_patient_by_references(chart: Chart) -> None:
    """A record of Ana that names one of Carlos does not bring it along."""
    derived = [reference("Observation", chart.ids["his"])]
    chart.observation("derived", reference("Patient", chart.ids["ana"]), derivedFrom=derived)
    found = entries(chart.client, chart.url())
    assert set(chart.names(found)) == OWN | OTHERS | {"derived"}
    assert MARKER not in str(found)


def test_every_call_leaves_a_row(chart: Chart) -> None:
    from audit.models import AuditRecord

    rows = AuditRecord.objects.filter(username=chart.client.user.username, query__contains="$everything")
    assert len(list(pages(chart.client, chart.url("?_count=6")))) == 2
    chart.client.get(f"Patient/{(never := uuid4())}/$everything")
    # Several of them may be of one millisecond.
    kept = sorted(((row.patient, row.status) for row in rows), key=lambda kept: kept[1])
    assert kept == [(chart.ids["ana"], 200), (chart.ids["ana"], 200), (str(never), 404)]


# --- encounters


def test_everything_of_an_encounter(chart: Chart) -> None:
    encounter = reference("Encounter", chart.ids["encounter"])
    chart.observation("seen", reference("Patient", chart.ids["ana"]), encounter=encounter)
    chart.observation("his2", reference("Patient", chart.ids["carlos"]))
    for count in (1, 2, 3, 50):
        found = entries(chart.client, f"Encounter/{chart.ids['encounter']}/$everything?_count={count}")
        assert chart.names(found) == ["encounter", "seen", "ana"]
    ana = Chart.names(chart, entries(chart.client, f"Encounter/{chart.ids['encounter']}/$everything?_type=Patient"))
    assert ana == ["ana"]
    assert chart.client.get(f"Encounter/{uuid4()}/$everything").status_code == 404
    assert chart.client.get(f"Encounter/{chart.ids['encounter']}/$everything?start=2020").status_code == 400


def test_everything_of_an_encounter_without_a_patient(chart: Chart) -> None:
    code = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"}
    provider = reference("Organization", chart.ids["org"])
    made = chart.make("empty", "Encounter", status="planned", serviceProvider=provider, **{"class": code})
    chart.observation("seen", reference("Patient", chart.ids["ana"]), encounter=reference("Encounter", made))
    assert chart.names(entries(chart.client, f"Encounter/{made}/$everything")) == ["empty", "seen", "org"]


# --- places and costs


def test_ids_of_clients(chart: Chart) -> None:
    """Resources whose ids carry another bucket lie with their patient all the same."""
    patient, doctor, seen = (f"everything-{uuid4()}" for _n in range(3))
    performer = [reference("Practitioner", doctor)]
    for resource in (
        {"resourceType": "Practitioner", "id": doctor},
        {"resourceType": "Patient", "id": patient},
        {"resourceType": "Observation", "id": seen, "status": "final", "code": {"text": "t"},
         "subject": reference("Patient", patient), "performer": performer},
    ):  # fmt: skip
        path = f"{resource['resourceType']}/{resource['id']}"
        assert chart.client.put(path, resource).status_code == 201
    found = [entry["resource"]["id"] for entry in entries(chart.client, f"Patient/{patient}/$everything")]
    assert found == [patient, seen, doctor]


def test_a_subject_that_changes_takes_the_record_along(chart: Chart) -> None:
    url = f"Observation/{chart.ids['new']}"
    moved = {**chart.client.get(url).json(), "subject": reference("Patient", chart.ids["carlos"])}
    assert chart.client.put(url, moved).status_code == 200
    assert "new" not in chart.names(entries(chart.client, chart.url()))
    assert "new" in chart.names(entries(chart.client, chart.url(who="carlos")))


def test_round_trips(chart: Chart, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chart is one, what it refers to and the audit row another; a row elsewhere costs one more."""
    from accounts import tokens

    monkeypatch.setattr(tokens, "RECHECK_SECONDS", 3600.0)
    alone = chart.make("lonely", "Patient", generalPractitioner=[reference("Practitioner", chart.ids["dr"])])
    chart.observation("lone", reference("Patient", alone))

    def cost(client: ApiClient, path: str) -> int:
        for _n in range(6):
            assert client.get(path).status_code == 200
        with trips() as counted:
            assert client.get(path).status_code == 200
        return counted[0]

    assert cost(chart.client, f"Patient/{alone}/$everything") == 2
    assert cost(chart.client, f"Patient/{alone}/$everything?_count=1") == 2
    assert cost(api(role="patient", fhir_user=f"Patient/{alone}"), f"Patient/{alone}/$everything") == 2
    assert cost(chart.client, chart.url()) == 3 + citus.distributed()  # where it lies is known after the first
