"""What lies in another patient's chart does not show, in no kind of question, by nothing in the answer.

Two marks of one shape: the values of one are planted in Carlos' resources, those of the other are nowhere. Whatever
Ana asks about the one, she asks about the other too: status, headers, entries, order, totals and texts of both answers
have to be the same. So neither a value shows nor that there is one.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from accounts import scopes

DIV = '<div xmlns="http://www.w3.org/1999/xhtml">{}</div>'


@dataclass(frozen=True)
class Mark:
    """Values that are nowhere else; resources of it are called `text` and a name."""

    text: str
    date: str
    amount: str

    def fill(self, template: str) -> str:
        named = {"{text}": self.text, "{date}": self.date, "{amount}": self.amount}
        return re.sub(r"\{\w+\}", lambda found: named[found[0]], template)


class Cast:
    """Ana, who asks; Carlos, in whose chart `real` is planted; `control` is planted nowhere."""

    def __init__(self, api: Any) -> None:
        self.api, self.admin = api, api(role="administrator")
        run = uuid4().hex[:8]
        self.real = Mark(f"zz{run}a", "1907-03-04", "735791.25")
        self.control = Mark(f"zz{run}b", "1907-05-06", "846802.75")
        self.ana, self.stored_of_ana = f"ana-{run}", set[str]()
        self.put("Patient", self.ana, gender="female", birthDate="1980-01-01", name=[{"family": "Own"}])
        self.plant(self.real)
        for mark in (self.real, self.control):
            self.refer(mark)
        self.patient = api(role="patient", fhir_user=f"Patient/{self.ana}")

    def put(self, kind: str, name: str, /, **elements: Any) -> None:
        answer = self.admin.put(f"{kind}/{name}", {"resourceType": kind, "id": name, **elements})
        assert answer.status_code in (200, 201), answer.content
        if name.startswith(self.ana):
            self.stored_of_ana.add(name)

    def plant(self, mark: Mark) -> None:
        """The mark's values in resources of Carlos, some of which refer to Ana's."""
        t, own = mark.text, self.ana
        carlos = {"reference": f"Patient/{t}-patient"}
        concept = {"coding": [{"system": "u:s", "code": t, "display": t}], "text": t}
        shared = {"identifier": [{"system": "u:i", "value": t}], "meta": {"tag": [{"system": "u:t", "code": t}]}}
        told = {"text": {"status": "generated", "div": DIV.format(t)}}
        amount = {"value": float(mark.amount), "unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"}
        self.put("Patient", f"{t}-patient", name=[{"family": t, "given": [t]}], birthDate=mark.date, **shared, **told)
        self.put("Observation", f"{own}-first", status="final", code={"text": "own"}, subject=self.me, **self.dated)
        first = {"reference": f"Observation/{own}-first"}
        self.put("Observation", f"{t}-obs", status="final", code=concept, subject=carlos, valueQuantity=amount,
                 effectiveDateTime=mark.date, derivedFrom=[first], focus=[self.me], **shared, **told)  # fmt: skip
        self.put("Condition", f"{t}-condition", subject=carlos, code=concept, recordedDate=mark.date, **shared)
        self.put("Encounter", f"{t}-encounter", status="finished", subject=carlos, type=[concept],
                 **{"class": {"system": "u:s", "code": t}}, period={"start": mark.date}, **shared)  # fmt: skip
        medicine = {"resourceType": "Medication", "id": "m", "code": concept}
        self.put("MedicationRequest", f"{t}-request", status="active", intent="order", subject=carlos,
                 contained=[medicine], medicationReference={"reference": "#m"}, authoredOn=mark.date,
                 **shared)  # fmt: skip
        self.put("DiagnosticReport", f"{t}-report", status="final", code=concept, subject=carlos, result=[first],
                 issued=f"{mark.date}T00:00:00Z", **shared)  # fmt: skip
        self.put("List", f"{t}-list", status="current", mode="working", title=t, subject=carlos,
                 code={"coding": [{"system": "http://loinc.org", "code": "11450-4"}]},
                 entry=[{"item": first}, {"item": {"reference": f"Condition/{own}-condition"}}])  # fmt: skip
        self.put("Provenance", f"{t}-provenance", target=[{"reference": f"Observation/{t}-obs"}],
                 recorded=f"{mark.date}T00:00:00Z", agent=[{"who": carlos}])  # fmt: skip

    def refer(self, mark: Mark) -> None:
        """Ana's own resources, which name those of a mark whether they are there or not."""
        t, own = mark.text, self.ana
        other = {"reference": f"Observation/{t}-obs"}
        self.put("Condition", f"{own}-condition", subject=self.me, code={"text": "own"})
        self.put("Observation", f"{own}-{t}", status="final", code={"text": "own"}, subject=self.me,
                 hasMember=[other], focus=[{"reference": f"Patient/{t}-patient"}], **self.dated)  # fmt: skip
        self.put("DiagnosticReport", f"{own}-report-{t}", status="final", code={"text": "own"}, subject=self.me,
                 result=[other], encounter={"reference": f"Encounter/{t}-encounter"})  # fmt: skip

    @property
    def own(self) -> int:
        """How many resources Ana has."""
        return len(self.stored_of_ana)

    @property
    def me(self) -> dict[str, str]:
        return {"reference": f"Patient/{self.ana}"}

    @property
    def dated(self) -> dict[str, str]:
        return {"effectiveDateTime": "2020-01-01"}

    def answers(self, client: Any, method: str, template: str, body: Any = None, **headers: str) -> list[Any]:
        """What a question about each mark is answered, the marks taken out."""
        return [self.answer(client, mark, method, template, body, **headers) for mark in (self.real, self.control)]

    def answer(
        self, client: Any, mark: Mark, method: str, template: str, body: Any = None, **headers: str
    ) -> tuple[int, dict[str, str], str]:
        sent = None if body is None else json.loads(mark.fill(json.dumps(body)))
        filled = {name.replace("_", "-"): mark.fill(value) for name, value in headers.items()}
        path, question, query = mark.fill(template).partition("?")
        answer = client.send(method, path + question + quote(query, safe="=&:,|.$*/%()"), sent, headers=filled)
        assert answer.status_code < 500, answer.content
        if client is self.patient:
            self.only_own(answer)
        names = ("ETag", "Location", "Content-Location", "Last-Modified", "Retry-After", "Allow")
        shown = {name: self.without(answer[name]) for name in names if name in answer}
        return answer.status_code, shown, self.without(answer.content.decode())

    def only_own(self, answer: Any) -> None:
        """Every entry is Ana's: the ids of her resources begin with that of her own."""
        bundle = json.loads(answer.content or b"{}")
        if bundle.get("type") not in ("searchset", "history"):
            return
        for entry in bundle.get("entry", ()):
            held = entry.get("resource", {})
            assert held.get("resourceType") == "OperationOutcome" or held["id"].startswith(self.ana), held
        if "total" in bundle:
            assert bundle["total"] <= self.own, bundle["total"]

    def without(self, text: str) -> str:
        """A text without the marks, and without what is new in every answer."""
        for each in (self.real, self.control):
            for value in (each.text, each.date, each.amount):
                text = text.replace(value, "MARK")
        text = re.sub(r"_cursor=[-_A-Za-z0-9]+", "_cursor", text)
        text = re.sub(r"\d{4}-\d\d-\d\dT[0-9:.]+(Z|[+-]\d\d:\d\d)|\w{3}, \d\d \w{3} \d{4} [0-9:]{8} GMT", "TIME", text)
        text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID", text)
        return text


@pytest.fixture(scope="module")
def shared() -> dict[str, Cast]:
    return {}


@pytest.fixture
def cast(api: Any, shared: dict[str, Cast]) -> Cast:
    """One cast for all questions that change nothing."""
    if "cast" not in shared:
        shared["cast"] = Cast(api)
    return shared["cast"]


SEARCHES = """
Patient?family={text}
Patient?name:contains={text}
Patient?name:exact={text}
Patient?_id={text}-patient
Patient?_id={text}-patient,ANA
Patient?identifier=u:i|{text}
Patient?identifier:not=u:i|{text}
Patient?birthdate={date}
Patient?birthdate=le{date}
Patient?birthdate:missing=false
Patient?_tag=u:t|{text}
Patient?_text={text}
Patient?_content={text}
Patient?_lastUpdated=gt2000-01-01
Patient?_sort=birthdate
Patient?_sort=-family
Patient?_has:Observation:patient:code={text}
Patient?_has:Observation:subject:value-quantity={amount}
Patient?_has:Observation:focus:code={text}
Patient?_has:Observation:focus:identifier:not={text}
Patient?_has:Condition:patient:_has:List:item:_id={text}-list
Patient?_filter=family eq {text} or birthdate eq {date}
Patient?_filter=not (family eq {text})
Patient?_revinclude=Observation:focus
Observation?code={text}
Observation?code:text={text}
Observation?code:not={text}
Observation?date={date}
Observation?value-quantity={amount}
Observation?value-quantity=gt{amount}
Observation?code-value-quantity={text}$ge{amount}
Observation?patient={text}-patient
Observation?subject=Patient/{text}-patient
Observation?focus=Patient/{text}-patient
Observation?has-member=Observation/{text}-obs
Observation?has-member.code={text}
Observation?has-member.code:not={text}
Observation?has-member:Observation._id={text}-obs
Observation?has-member:Observation.status=final
Observation?has-member:Observation.code:missing=false
Observation?has-member:Observation.patient.family={text}
Observation?focus:Patient.name={text}
Observation?focus:Patient.birthdate=le{date}
Observation?focus:Patient._lastUpdated=gt2000
Observation?derived-from.has-member.code={text}
Observation?_has:Observation:derived-from:code={text}
Observation?_has:Observation:derived-from:status=final
Observation?_has:DiagnosticReport:result:identifier=u:i|{text}
Observation?_has:DiagnosticReport:result:status=final
Observation?_has:List:item:title={text}
Observation?_has:List:item:status=current
Observation?_list={text}-list
Observation?_list=$current-problems
Observation?_filter=has-member[code eq {text}].status eq final
Observation?_filter=not (has-member.code eq {text})
Observation?_filter=has-member.code ne {text}
Observation?_filter=focus:Patient.family pr true
Observation?_filter=value-quantity ge {amount}
Observation?_include=Observation:has-member
Observation?_include=*&_include:iterate=*
Observation?_include=Observation:focus:Patient
Observation?_revinclude=Observation:derived-from
Observation?_revinclude=DiagnosticReport:result&_include:iterate=DiagnosticReport:encounter
Observation?_revinclude=List:item
Observation?_revinclude=*
Observation?_id={text}-obs&_revinclude=*
Observation?_sort=value-quantity
Observation?_sort=-date,code
Observation?_sort=-_lastUpdated
Observation?_elements=code&_tag=u:t|{text}
Observation?category:missing=true&code={text}
Condition?code={text}
Condition?recorded-date={date}
Condition?_list={text}-list
Condition?_list=$current-problems
Condition?_has:List:item:title={text}
Encounter?class=u:s|{text}
Encounter?_has:DiagnosticReport:encounter:status=final
Encounter?date={date}
DiagnosticReport?result={text}-obs
DiagnosticReport?result.code={text}
DiagnosticReport?encounter.class={text}
DiagnosticReport?encounter:Encounter.status=finished
DiagnosticReport?_include=DiagnosticReport:encounter
DiagnosticReport?issued={date}
List?title={text}
List?item=Observation/ANA-first
List?item.code={text}
MedicationRequest?identifier={text}
MedicationRequest?medication.code={text}
Medication?code={text}&_contained=true
Medication?code={text}&_contained=both&_containedType=contained
Provenance?target=Observation/{text}-obs
Provenance?recorded={date}
?_type=Patient,Observation,Condition&_tag=u:t|{text}
?_id={text}-obs
?_content={text}
?_lastUpdated=gt2000&_type=Observation,Patient
Patient/{text}-patient/Observation
Patient/{text}-patient/Observation?code={text}
Patient/{text}-patient/*
Patient/{text}-patient/Condition?_sort=recorded-date
Encounter/{text}-encounter/Observation
Patient/ANA/Observation?focus=Patient/{text}-patient
"""
READS = """
Patient/{text}-patient
Patient/{text}-patient/_history
Patient/{text}-patient/_history/1
Observation/{text}-obs
Observation/{text}-obs/_history
Observation/{text}-obs/_history/1
Observation/{text}-obs/_history/99
List/{text}-list
Provenance/{text}-provenance
Encounter/{text}-encounter
Patient/{text}-patient/$everything
Patient/{text}-patient/$everything?_type=Observation
Patient/ANA/$everything
Patient/ANA/$everything?_since=2000-01-01T00:00:00Z
Patient/$everything
Encounter/{text}-encounter/$everything
Observation/$lastn?patient=Patient/{text}-patient
Observation/$lastn?patient=Patient/ANA&code={text}
Observation/$lastn?code={text}
Observation/{text}-obs/$meta
Observation/$meta
Observation/{text}-obs/$validate
Observation/_history?_count=1000
Patient/_history
_history?_count=1000
metadata?x={text}
$reindex-status?job={text}
"""
# What stands behind a search, to which nothing else may be answered either.
SHAPES = ("", "_total=accurate&_count=1", "_summary=count", "_count=0", "_total=estimate&_sort=-_id", "_explain=true")


def lines(text: str) -> list[str]:
    return text.strip().splitlines()


@pytest.mark.parametrize("template", lines(SEARCHES))
def test_searches_say_the_same_of_what_is_hidden_and_of_what_is_not_there(cast: Cast, template: str) -> None:
    path = template.replace("ANA", cast.ana)
    for shape in SHAPES:
        asked = path + ("&" if "?" in path else "?") + shape if shape else path
        real, control = cast.answers(cast.patient, "GET", asked)
        assert real == control, shape
        assert shape != "_explain=true" or real[0] == 403
    if "?" in path and not path.startswith("?"):
        path, _question, query = path.partition("?")
        parts = [part.split("=", 1) for part in query.split("&")]
        form = "&".join(f"{quote(name, safe=':')}={quote(value, safe='{}')}" for name, value in parts)
        posted = [cast.patient.form(f"{path}/_search", mark.fill(form)) for mark in (cast.real, cast.control)]
        assert posted[0].status_code == posted[1].status_code
        texts = [cast.without(answer.content.decode()) for answer in posted]
        assert texts[0] == texts[1]


@pytest.mark.parametrize("template", lines(READS))
def test_reads_say_the_same_of_what_is_hidden_and_of_what_is_not_there(cast: Cast, template: str) -> None:
    path = template.replace("ANA", cast.ana)
    for method in ("GET", "HEAD"):
        real, control = cast.answers(cast.patient, method, path)
        assert real == control
    real, control = cast.answers(cast.patient, "GET", path, If_None_Match='W/"1"', If_Modified_Since="X")
    assert real == control


# --- changes: as patients have them (none), and as an app for one patient might

OBSERVATION = {"resourceType": "Observation", "status": "final", "code": {"text": "x"},
               "identifier": [{"system": "u:i", "value": "{text}"}]}  # fmt: skip
PATCH = {
    "resourceType": "Parameters",
    "parameter": [
        {"name": "operation", "part": [{"name": "type", "valueCode": "delete"},
                                       {"name": "path", "valueString": "Observation.status"}]}
    ],
}  # fmt: skip


def bundle(kind: str, *requests: dict[str, Any]) -> dict[str, Any]:
    entries = [{"request": {k: v for k, v in each.items() if k != "resource"}, **each.get("resource", {})}
               for each in requests]  # fmt: skip
    return {"resourceType": "Bundle", "type": kind, "entry": entries}


MATCH = "identifier=u:i|{text}"
CREATE = {"method": "POST", "url": "Observation", "ifNoneExist": MATCH, "resource": {"resource": OBSERVATION}}
NAMED = OBSERVATION | {"id": "{text}-obs"}
AT = "Observation/{text}-obs"
UPDATE = {"method": "PUT", "url": f"Observation?{MATCH}", "resource": {"resource": OBSERVATION}}
CHANGES: tuple[tuple[str, str, Any, dict[str, str]], ...] = (
    ("POST", "Observation", OBSERVATION, {"If_None_Exist": MATCH}),
    ("POST", "Observation", OBSERVATION, {"If_None_Exist": "code={text}&date={date}"}),
    ("POST", "Observation", OBSERVATION, {"If_None_Exist": "_id={text}-obs"}),
    ("POST", "Observation", OBSERVATION, {"If_None_Exist": "patient.family={text}"}),
    ("POST", "Observation", OBSERVATION, {"If_None_Exist": "has-member.code={text}"}),
    ("POST", "Observation", OBSERVATION, {"If_None_Exist": "_filter=code eq {text}"}),
    ("PUT", f"Observation?{MATCH}", OBSERVATION, {}),
    ("PUT", "Observation?code={text}", OBSERVATION, {}),
    ("DELETE", f"Observation?{MATCH}", None, {}),
    ("DELETE", "Observation?value-quantity={amount}", None, {}),
    ("DELETE", "Observation?_has:List:item:title={text}", None, {}),
    ("PATCH", f"Observation?{MATCH}", PATCH, {}),
    ("PATCH", "Observation/{text}-obs", PATCH, {}),
    ("PATCH", AT, PATCH, {"If_Match": 'W/"9"'}),
    ("DELETE", AT, None, {}),
    ("DELETE", AT, None, {"If_Match": 'W/"1"'}),
    ("DELETE", AT, None, {"If_Match": 'W/"9"'}),
    ("PUT", AT, NAMED, {}),
    ("PUT", AT, NAMED, {"If_Match": 'W/"1"'}),
    ("PUT", AT, NAMED, {"If_None_Match": "*"}),
    ("POST", "", bundle("transaction", {"method": "DELETE", "url": AT}), {}),
    ("POST", "", bundle("transaction", {"method": "DELETE", "url": AT, "ifMatch": 'W/"9"'}), {}),
    ("POST", "", bundle("transaction", {"method": "PUT", "url": AT, "resource": {"resource": NAMED}}), {}),
    ("POST", "", bundle("transaction", {"method": "PUT", "url": AT, "ifNoneMatch": "*",
                                        "resource": {"resource": NAMED}}), {}),
    ("POST", "", bundle("transaction", {"method": "GET", "url": AT}), {}),
    ("POST", "", bundle("batch", CREATE, UPDATE, {"method": "GET", "url": "Observation/{text}-obs"},
                        {"method": "GET", "url": "Observation?code={text}"}), {}),
    ("POST", "", bundle("transaction", CREATE), {}),
    ("POST", "", bundle("transaction", UPDATE, {"method": "GET", "url": "Observation?has-member.code={text}"}), {}),
    ("POST", "", bundle("transaction", {"method": "DELETE", "url": f"Observation?{MATCH}"}), {}),
    ("POST", "Observation/{text}-obs/$meta-add", {"resourceType": "Parameters"}, {}),
    ("POST", "Observation/{text}-obs/$reindex", {"resourceType": "Parameters"}, {}),
    ("POST", "$reindex", {"resourceType": "Parameters", "parameter": [{"name": "type", "valueCode": "Basic"}]}, {}),
)  # fmt: skip


@pytest.mark.parametrize("writes", [False, True], ids=["patient", "app"])
@pytest.mark.parametrize("change", CHANGES, ids=[f"{c[0]} {c[1]} {list(c[3].values())}" for c in CHANGES])
def test_changes_say_the_same_and_leave_alone_what_is_hidden(
    api: Any, monkeypatch: pytest.MonkeyPatch, writes: bool, change: tuple[str, str, Any, dict[str, str]]
) -> None:
    if writes:
        monkeypatch.setitem(scopes._ROLE_PERMISSIONS, "patient", scopes.parse_scopes("patient/*.cruds"))
    cast = Cast(api)
    method, path, body, headers = change
    subject = f'"resourceType": "Observation", "subject": {{"reference": "Patient/{cast.ana}"}}'
    body = json.loads(json.dumps(body).replace('"resourceType": "Observation"', subject))
    real, control = cast.answers(cast.patient, method, path, body, **headers)
    assert real == control
    if method == "POST" and path == "Observation":
        assert real[0] == (201 if writes else 403), real
    for kind, name in (("Observation", "obs"), ("List", "list"), ("Patient", "patient")):
        there = cast.admin.get(f"{kind}/{cast.real.text}-{name}")
        assert there.status_code == 200 and there.json()["meta"]["versionId"] == "1"


# --- a practitioner whose scopes name some types only


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("Condition?code={text}", 403),
        ("Condition/{text}-condition", 403),
        ("Patient?_has:Condition:patient:code={text}", 403),
        ("Patient?_filter=not (family eq x)&_has:Condition:subject:recorded-date={date}", 403),
        ("Observation?_has:List:item:title={text}", 403),
        ("Observation?_list={text}-list", 403),
        ("Observation?_list=$current-problems", 403),
        ("Observation?subject:Group.code={text}", 403),
        ("Observation?_filter=subject:Patient[_has eq x].family eq y", 400),
        ("Observation?encounter.class={text}", 403),
        ("Observation?_filter=encounter.class eq {text}", 403),
        ("?_type=Condition&_tag=u:t|{text}", 403),
        ("Patient/{text}-patient/Condition", 403),
        ("Medication?code={text}&_contained=true", 403),
        ("Condition/_history", 403),
        ("Observation?_sort=encounter&_explain=true", 403),
    ],
)
def test_types_outside_the_scopes_are_not_looked_at(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, path: str, status: int
) -> None:
    client = _limited(cast, monkeypatch)
    real, control = cast.answers(client, "GET", path)
    assert real == control and real[0] == status, real


@pytest.mark.parametrize(
    "path",
    [
        "Patient?_id={text}-patient&_revinclude=*",
        "Patient?_id={text}-patient&_revinclude=Condition:patient&_revinclude=List:subject",
        "Observation?code={text}&_include=*&_include:iterate=*&_revinclude:iterate=*",
        "Patient/{text}-patient/*",
        "Patient/{text}-patient/$everything",
        "_history?_count=1000",
        "?_tag=u:t|{text}",
        "?_content={text}",
    ],
)
def test_nothing_of_other_types_comes_along(cast: Cast, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    client = _limited(cast, monkeypatch)
    answer = client.get(cast.real.fill(path))
    if path == "_history?_count=1000":
        assert answer.status_code in (200, 403)
        held = {entry["fullUrl"].split("/")[-2] for entry in answer.json().get("entry", ())}
    else:
        assert answer.status_code == 200, answer.content
        held = {entry["resource"]["resourceType"] for entry in answer.json()["entry"]}
        assert held
    assert held <= {"Patient", "Observation"}


def _limited(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> Any:
    allowed = scopes.parse_scopes("user/Patient.rs user/Observation.cruds")
    monkeypatch.setitem(scopes._ROLE_PERMISSIONS, "practitioner", allowed)
    return cast.api(role="practitioner")
