"""`:in`, `:not-in`, `:above` and `:below` over HTTP (https://hl7.org/fhir/R4/search.html#token)."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from fhir.database import trips

TREE = [
    {
        "code": "animal",
        "concept": [{"code": "dog", "concept": [{"code": "puppy"}]}, {"code": "cat"}],
    },
    {"code": "plant"},
]


class Zoo:
    """A code system, observations with its codes (label: id), all of one category, and makers of value sets."""

    def __init__(self, client: Any) -> None:
        self.client, self.base = client, f"http://example.org/{uuid4().hex[:10]}"
        self.system = f"{self.base}/cs"
        self.make("CodeSystem", url=self.system, version="1", content="complete", hierarchyMeaning="is-a", concept=TREE)
        self.ids = {code: self.observation(code) for code in ("animal", "dog", "puppy", "plant")}
        self.ids["none"] = self.observation(None)

    def make(self, kind: str, **elements: Any) -> str:
        body = {"resourceType": kind, "status": "active", **elements}
        answer = self.client.post(kind, body)
        assert answer.status_code == 201, answer.content
        return str(answer.json()["id"])

    def value_set(self, name: str, *include: Any, **elements: Any) -> str:
        compose = {"include": list(include)} if include else {}
        rules = {"compose": {**compose, **elements.pop("compose", {})}} if include else {}
        return self.make("ValueSet", url=f"{self.base}/{name}", **rules, **elements)

    def observation(self, code: str | None, system: str | None = None, **elements: Any) -> str:
        coding = {"coding": [{"system": system or self.system, "code": code}]} if code else {"text": "something"}
        category = [{"coding": [{"system": self.base, "code": "zoo"}]}]
        return self.make("Observation", **{"status": "final", "code": coding, "category": category, **elements})

    def query(self, parameter: str, value: str) -> Any:
        return self.client.get(f"Observation?category={quote(self.base)}|zoo&{parameter}={quote(value)}")

    def found(self, parameter: str, value: str) -> set[str]:
        answer = self.query(parameter, value)
        assert answer.status_code == 200, answer.content
        labels = {resource_id: label for label, resource_id in self.ids.items()}
        return {labels[entry["resource"]["id"]] for entry in answer.json().get("entry", [])}

    def refused(self, parameter: str, value: str) -> Any:
        answer = self.query(parameter, value)
        assert answer.status_code == 400, answer.content
        return answer.json()["issue"][0]


@pytest.fixture
def zoo(api: Any) -> Zoo:
    return Zoo(api(role="administrator"))


def is_a(system: str, code: str, operator: str = "is-a") -> dict[str, Any]:
    return {"system": system, "filter": [{"property": "concept", "op": operator, "value": code}]}


def test_members_by_rule_by_list_and_by_id(zoo: Zoo) -> None:
    by_rule = zoo.value_set("rule", is_a(zoo.system, "animal"), version="2.1")
    zoo.value_set("list", {"system": zoo.system, "concept": [{"code": "dog"}, {"code": "plant"}]})
    animals = {"animal", "dog", "puppy"}
    assert zoo.found("code:in", f"{zoo.base}/rule") == animals
    assert zoo.found("code:in", f"{zoo.base}/rule|2.1") == animals
    assert zoo.found("code:in", f"ValueSet/{by_rule}") == animals
    assert zoo.found("code:in", f"{zoo.base}/list") == {"dog", "plant"}
    assert zoo.found("code:in", f"{zoo.base}/list,{zoo.base}/rule") == {*animals, "plant"}
    assert zoo.refused("code:in", f"{zoo.base}/rule|9")["code"] == "not-found"


def test_not_in_finds_also_what_has_no_code(zoo: Zoo) -> None:
    zoo.value_set("rule", is_a(zoo.system, "animal"))
    assert zoo.found("code:not-in", f"{zoo.base}/rule") == {"plant", "none"}


def test_a_code_of_another_system_is_no_member(zoo: Zoo) -> None:
    zoo.value_set("list", {"system": "http://example.org/other", "concept": [{"code": "dog"}]})
    assert zoo.found("code:in", f"{zoo.base}/list") == set()
    assert zoo.found("code:not-in", f"{zoo.base}/list") == set(zoo.ids)


def test_above_and_below(zoo: Zoo) -> None:
    assert zoo.found("code:below", f"{zoo.system}|dog") == {"dog", "puppy"}
    assert zoo.found("code:above", f"{zoo.system}|dog") == {"animal", "dog"}
    assert zoo.found("code:below", f"{zoo.system}|dog,{zoo.system}|plant") == {"dog", "puppy", "plant"}
    assert zoo.found("combo-code:below", f"{zoo.system}|dog") == {"dog", "puppy"}


def test_above_and_below_need_a_known_code_of_a_known_system(zoo: Zoo) -> None:
    assert "dog" in zoo.refused("code:below", "dog")["details"]["text"]
    assert zoo.refused("code:below", f"{zoo.system}|horse")["code"] == "invalid"
    unknown = zoo.refused("code:above", "http://snomed.info/sct|73211009")
    assert unknown["code"] == "not-supported"
    assert unknown["expression"] == ["code"]
    assert "http://snomed.info/sct" in unknown["details"]["text"]


def test_official_value_sets_and_code_systems(zoo: Zoo) -> None:
    system = "http://terminology.hl7.org/CodeSystem/v3-RoleCode"
    zoo.ids["brother"] = zoo.observation("HBRO", system)
    assert zoo.found("code:in", "http://hl7.org/fhir/ValueSet/sibling-relationship-codes") == {"brother"}
    assert zoo.found("code:in", "http://hl7.org/fhir/ValueSet/sibling-relationship-codes|4.0.1") == {"brother"}
    assert zoo.found("code:below", f"{system}|SIB") == {"brother"}
    assert zoo.found("code:above", f"{system}|HBRO") == {"brother"}


def test_elements_of_type_code_have_an_implied_system(zoo: Zoo) -> None:
    status = "http://hl7.org/fhir/ValueSet/observation-status"
    zoo.ids["planned"] = zoo.observation("cat", status="registered")
    zoo.value_set("early", {"system": "http://hl7.org/fhir/observation-status", "concept": [{"code": "registered"}]})
    zoo.value_set("other", {"system": zoo.system, "concept": [{"code": "registered"}]})
    assert zoo.found("status:in", f"{zoo.base}/early") == {"planned"}
    assert zoo.found("status:in", f"{zoo.base}/other") == set()
    assert zoo.query("status:not-in", status).json().get("entry") is None
    amended = zoo.observation("cat", status="corrected")
    zoo.ids["corrected"] = amended
    assert zoo.found("status:below", "amended") == {"corrected"}


def test_a_whole_system_without_known_codes_is_the_system(zoo: Zoo) -> None:
    zoo.ids["loinc"] = zoo.observation("8867-4", "http://loinc.org")
    assert zoo.found("code:in", "http://hl7.org/fhir/ValueSet/observation-codes") == {"loinc"}
    assert zoo.found("code:in", "http://loinc.org/vs") == {"loinc"}
    assert zoo.found("code:not-in", "http://loinc.org/vs") == set(zoo.ids) - {"loinc"}


@pytest.mark.parametrize(
    "value_set",
    ["http://hl7.org/fhir/ValueSet/condition-code", "http://snomed.info/sct?fhir_vs=isa/404684003"],
)
def test_what_cannot_be_expanded_is_refused(zoo: Zoo, value_set: str) -> None:
    for modifier in ("in", "not-in"):
        issue = zoo.refused(f"code:{modifier}", value_set)
        assert issue["code"] == "not-supported"
        assert "http://snomed.info/sct" in issue["details"]["text"]


def test_a_stored_code_system_makes_the_value_set_known(zoo: Zoo) -> None:
    system = f"{zoo.base}/late"
    zoo.value_set("late", is_a(system, "dog"))
    zoo.ids["late"] = zoo.observation("puppy", system)
    assert zoo.refused("code:in", f"{zoo.base}/late")["code"] == "not-supported"
    zoo.make("CodeSystem", url=system, content="fragment", concept=TREE)
    assert zoo.refused("code:in", f"{zoo.base}/late")["code"] == "not-supported"
    zoo.make("CodeSystem", url=system, content="complete", concept=TREE)
    assert zoo.found("code:in", f"{zoo.base}/late") == {"late"}


def test_what_was_written_counts_at_once(zoo: Zoo) -> None:
    rules = {"url": f"{zoo.base}/changing", "status": "active", "resourceType": "ValueSet"}

    def put(*codes: str) -> None:
        include = {"system": zoo.system, "concept": [{"code": code} for code in codes]}
        body = {**rules, "id": made, "compose": {"include": [include]}}
        assert zoo.client.put(f"ValueSet/{made}", body).status_code == 200

    made = zoo.value_set("changing", {"system": zoo.system, "concept": [{"code": "dog"}]})
    zoo.value_set("importing", {"valueSet": [f"{zoo.base}/changing"]})
    assert zoo.found("code:in", f"{zoo.base}/importing") == {"dog"}
    put("plant")
    assert zoo.found("code:in", f"{zoo.base}/importing") == {"plant"}
    assert zoo.client.delete(f"ValueSet/{made}").status_code in (200, 204)
    assert zoo.refused("code:in", f"{zoo.base}/importing")["code"] == "not-found"


def test_a_newer_version_is_preferred(zoo: Zoo) -> None:
    for version, code in (("1.9", "dog"), ("1.10", "plant"), ("1.2", "puppy")):
        zoo.value_set("versions", {"system": zoo.system, "concept": [{"code": code}]}, version=version)
    zoo.value_set("versions", {"system": zoo.system, "concept": [{"code": "cat"}]}, version="3", status="retired")
    assert zoo.found("code:in", f"{zoo.base}/versions") == {"plant"}
    assert zoo.found("code:in", f"{zoo.base}/versions|1.9") == {"dog"}
    assert zoo.found("code:in", f"{zoo.base}/versions|3") == set()


def test_chains_and_has(zoo: Zoo) -> None:
    zoo.value_set("rule", is_a(zoo.system, "animal"))
    patient_id = zoo.client.post("Patient", {"resourceType": "Patient"}).json()["id"]
    zoo.ids["hers"] = zoo.observation("cat", subject={"reference": f"Patient/{patient_id}"})
    answer = zoo.client.get(f"Patient?_id={patient_id}&_has:Observation:patient:code:in={quote(zoo.base)}/rule")
    assert [entry["resource"]["id"] for entry in answer.json()["entry"]] == [patient_id]
    answer = zoo.client.get(f"Patient?_id={patient_id}&_has:Observation:patient:code:above={quote(zoo.system)}|plant")
    assert "entry" not in answer.json()


def test_of_a_patient_only_the_own_resources(zoo: Zoo, api: Any) -> None:
    """The value set is read with the server's authority; what it selects is the caller's."""
    patients = [zoo.client.post("Patient", {"resourceType": "Patient"}).json()["id"] for _number in range(2)]
    zoo.value_set("rule", is_a(zoo.system, "animal"))
    own, other = (zoo.observation("cat", subject={"reference": f"Patient/{each}"}) for each in patients)
    client = api(role="patient", fhir_user=f"Patient/{patients[0]}")
    answer = client.get(f"Observation?code:in={quote(zoo.base)}/rule")
    assert [entry["resource"]["id"] for entry in answer.json()["entry"]] == [own]
    assert other not in answer.content.decode()


@pytest.mark.parametrize("parameter", ["identifier:in", "_id:in", "_id:below", "_lastUpdated:in", "subject:in"])
def test_parameters_without_codes_have_no_such_modifier(zoo: Zoo, parameter: str) -> None:
    assert zoo.refused(parameter, "http://hl7.org/fhir/ValueSet/observation-status")["code"] == "not-supported"


@pytest.mark.parametrize("value", ["", "ValueSet/", "nothing", "http://example.org/none", "ValueSet/none|1"])
def test_unknown_value_sets_are_refused(zoo: Zoo, value: str) -> None:
    zoo.refused("code:in", value)


def test_thousands_of_codes(zoo: Zoo) -> None:
    codes = [f"c{number}" for number in range(8000)]
    zoo.value_set("large", {"system": zoo.system, "concept": [{"code": code} for code in [*codes, "dog"]]})
    zoo.ids["last"] = zoo.observation(codes[-1])
    assert zoo.found("code:in", f"{zoo.base}/large") == {"dog", "last"}
    assert zoo.found("code:not-in", f"{zoo.base}/large") == {"animal", "puppy", "plant", "none"}


def test_too_many_codes(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    from fhir.terminology import expansion

    monkeypatch.setattr(expansion, "MOST_CODES", 2)
    zoo.value_set("many", is_a(zoo.system, "animal"))
    assert zoo.refused("code:in", f"{zoo.base}/many")["code"] == "too-costly"


def test_one_more_round_trip_whatever_is_asked(zoo: Zoo) -> None:
    zoo.value_set("one", is_a(zoo.system, "animal"))
    zoo.value_set("two", {"valueSet": [f"{zoo.base}/one"]}, {"system": zoo.system, "concept": [{"code": "plant"}]})

    def counted(query: str) -> int:
        with trips() as count:
            assert zoo.client.get(query).status_code == 200
        return count[0]

    plain = f"Observation?code={quote(zoo.system)}|dog&category=x"
    asked = f"Observation?code:in={zoo.base}/two&code:not-in={zoo.base}/one&code:below={zoo.system}|dog"
    for query in (plain, asked):
        counted(query)
    assert counted(asked) == counted(plain) + 1


def test_conditional_create(zoo: Zoo) -> None:
    zoo.value_set("dogs", {"system": zoo.system, "concept": [{"code": "dog"}]})
    body = {
        "resourceType": "Observation",
        "status": "final",
        "category": [{"coding": [{"system": zoo.base, "code": "zoo"}]}],
        "code": {"coding": [{"system": zoo.system, "code": "dog"}]},
    }
    condition = f"category={zoo.base}|zoo&code:in={zoo.base}/dogs"
    answer = zoo.client.post("Observation", body, headers={"If-None-Exist": condition})
    assert answer.status_code == 200
    assert answer.json()["id"] == zoo.ids["dog"]


def test_thousands_of_codes_in_every_place(zoo: Zoo) -> None:
    """As the only condition, beside rare ones, negated, in a chart, behind chains, in order, and in totals."""
    patient = zoo.client.post("Patient", {"resourceType": "Patient"}).json()["id"]
    subject = {"reference": f"Patient/{patient}"}
    zoo.ids["hers"] = zoo.observation("c7", subject=subject)
    zoo.ids["other"] = zoo.observation("x", subject=subject)
    codes = [f"c{number}" for number in range(5000)]
    zoo.value_set("large", {"system": zoo.system, "concept": [{"code": code} for code in codes]})
    large = f"{zoo.base}/large"

    def found(query: str) -> set[str]:
        answer = zoo.client.get(query)
        assert answer.status_code == 200, answer.content
        return {entry["resource"]["id"] for entry in answer.json().get("entry", [])}

    her = {zoo.ids["hers"]}
    assert found(f"Observation?code:in={large}") == her
    assert found(f"Observation?code:in={large}&_sort=code&_total=accurate") == her
    assert found(f"Observation?patient={patient}&code:in={large}") == her
    assert found(f"Observation?patient={patient}&code:not-in={large}") == {zoo.ids["other"]}
    assert found(f"Observation?patient={patient}&code:in={large}&combo-code:in={large}") == her
    assert found(f"Observation?code:in={large}&combo-code:in={large}") == her
    assert found(f"Patient?_has:Observation:patient:code:in={large}") == {patient}
    assert found(f"Patient?_id={patient}&_has:Observation:patient:code:not-in={large}") == {patient}


def test_a_whole_system_of_plain_codes_is_having_a_value(zoo: Zoo) -> None:
    def document(mark: str, content_type: str | None) -> str:
        attachment = {"title": "x"} if content_type is None else {"contentType": content_type}
        identifier = [{"system": zoo.base, "value": mark}]
        return zoo.make(
            "DocumentReference", status="current", identifier=identifier, content=[{"attachment": attachment}]
        )

    typed, untyped = document("d", "application/pdf"), document("d", None)

    def found(modifier: str) -> list[str]:
        mimetypes = "http://hl7.org/fhir/ValueSet/mimetypes"
        answer = zoo.client.get(f"DocumentReference?identifier={zoo.base}|d&contenttype:{modifier}={mimetypes}")
        assert answer.status_code == 200, answer.content
        return [entry["resource"]["id"] for entry in answer.json().get("entry", [])]

    assert found("in") == [typed]
    assert found("not-in") == [untyped]
