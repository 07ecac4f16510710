"""SearchParameters that clients store: who may, what is refused, what is found (docs/reindex.md)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from clinical_records.testing import ApiClient
from fhir.search import custom

from .custom_parameters import EXTENSION, definition, found, index_all, made, patient

UCUM = "http://unitsofmeasure.org"


# --- from one definition to the next


def test_it_is_used_for_what_is_written_later_and_says_that_the_rest_is_missing(admin: ApiClient) -> None:
    described, value = definition(), uuid4().hex
    before = made(admin, patient(valueString=f"{value} in the hay"))
    made(admin, described)
    after = made(admin, patient(valueString=f"{value}s"))
    made(admin, patient(valueString="Hay"))
    query = f"Patient?{described['code']}={value}"
    ids, texts = found(admin, query)
    assert ids == [after]
    assert len(texts) == 1 and described["code"] in texts[0] and " 0 % " in texts[0]
    index_all()
    ids, texts = found(admin, query)
    assert set(ids) == {before, after} and texts == []


def test_reindexing_makes_no_version_and_changes_no_time(admin: ApiClient) -> None:
    before = made(admin, patient(valueString="Needle"))
    old = admin.get(f"Patient/{before}")
    made(admin, definition())
    index_all()
    new = admin.get(f"Patient/{before}")
    assert (new.content, new["ETag"], new["Last-Modified"]) == (old.content, old["ETag"], old["Last-Modified"])
    history = admin.get(f"Patient/{before}/_history").resource()
    assert [entry["resource"]["meta"]["versionId"] for entry in history["entry"]] == ["1"]


def test_counts_and_missing_values_warn_too(admin: ApiClient) -> None:
    tag = uuid4().hex
    before = made(admin, patient() | {"meta": {"tag": [{"code": tag}]}})
    described = definition()
    made(admin, described)
    without = made(admin, patient() | {"meta": {"tag": [{"code": tag}]}})
    holding = made(admin, patient(valueString="x") | {"meta": {"tag": [{"code": tag}]}})
    query = f"Patient?_tag={tag}&{described['code']}:missing="
    assert found(admin, f"{query}true")[0] == [without] and found(admin, f"{query}true")[1]
    counted = admin.get(f"{query}true&_summary=count").resource()
    assert counted["total"] == 1
    assert [entry["search"]["mode"] for entry in counted["entry"]] == ["outcome"]
    index_all()
    ids, texts = found(admin, f"{query}true")
    assert set(ids) == {before, without} and texts == []
    assert found(admin, f"{query}false") == ([holding], [])


def test_the_opposite_finds_only_what_is_indexed(admin: ApiClient) -> None:
    tag = uuid4().hex
    tagged = {"meta": {"tag": [{"code": tag}]}, "deceasedBoolean": True}
    before = made(admin, patient() | tagged)
    described = definition(type="token", expression="(Patient.deceased as boolean)")
    made(admin, described)
    after = made(admin, patient() | tagged | {"deceasedBoolean": False})
    code = described["code"]
    queries = (f"{code}:not=true", f"_filter=not%20({code}%20eq%20true)", f"_filter=not%20({code}%20pr%20false)")
    for query in queries:
        ids, texts = found(admin, f"Patient?_tag={tag}&{query}")
        assert ids == [after] and texts, query
    index_all()
    for query in queries[:2]:
        assert found(admin, f"Patient?_tag={tag}&{query}") == ([after], []), query
    ids, texts = found(admin, f"Patient?_tag={tag}&{queries[2]}")
    assert set(ids) == {before, after} and texts == []


def test_another_expression_is_another_index(admin: ApiClient) -> None:
    one = made(admin, patient(valueString="Needle"))
    two = made(admin, {"resourceType": "Patient", "extension": [{"url": "urn:custom/other", "valueString": "Needle"}]})
    described = definition()
    name = made(admin, described)
    index_all()
    query = f"Patient?{described['code']}=needle&_id={one},{two}"
    assert found(admin, query) == ([one], [])
    changed = described | {"id": name, "expression": "Patient.extension.where(url = 'urn:custom/other').value"}
    assert admin.put(f"SearchParameter/{name}", changed).status_code == 200
    ids, texts = found(admin, query)
    assert ids == [] and texts  # the old rows are never found
    index_all()
    assert found(admin, query) == ([two], [])


def test_another_description_asks_only_for_a_look_at_what_is_missing(admin: ApiClient) -> None:
    one = made(admin, patient(valueString="Needle"))
    described = definition()
    name = made(admin, described)
    index_all()
    admin.put(f"SearchParameter/{name}", described | {"id": name, "description": "Said better"})
    query = f"Patient?{described['code']}=needle&_id={one}"
    assert found(admin, query)[0] == [one]
    index_all()
    assert found(admin, query) == ([one], [])


@pytest.mark.parametrize("how", ["delete", "retire"])
def test_it_ends_at_once(admin: ApiClient, how: str) -> None:
    described, value = definition(), uuid4().hex
    name = made(admin, described)
    one = made(admin, patient(valueString=value))
    index_all()
    query = f"Patient?{described['code']}={value}"
    assert found(admin, query) == ([one], [])
    if how == "delete":
        assert admin.delete(f"SearchParameter/{name}").status_code == 204
    else:
        admin.put(f"SearchParameter/{name}", described | {"id": name, "status": "retired"})
    assert admin.get(query).status_code == 400
    # What was written without it is indexed when it comes back.
    two = made(admin, patient(valueString=value))
    admin.put(f"SearchParameter/{name}", described | {"id": name})
    ids, texts = found(admin, query)
    assert ids == [one] and texts
    index_all()
    ids, texts = found(admin, query)
    assert set(ids) == {one, two} and texts == []


def test_a_condition_waits_for_it(admin: ApiClient) -> None:
    described, value = definition(), uuid4().hex
    made(admin, patient(valueString=value))
    made(admin, described)
    again = {"If-None-Exist": f"{described['code']}:exact={value}"}
    refused = admin.post("Patient", patient(valueString=value), headers=again)
    assert refused.status_code == 503 and "Retry-After" in refused
    index_all()
    assert admin.post("Patient", patient(valueString=value), headers=again).status_code == 200


def test_a_process_that_did_not_hear_of_it_looks_again(admin: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    described = definition()
    made(admin, described)
    one = made(admin, patient(valueString="Needle"))
    # As in another process: what it knows is old, and it is not yet time to look.
    monkeypatch.setattr(custom, "_registry", custom.Registry())
    custom._apply(())
    monkeypatch.setattr(custom, "_watched_until", 0.0)
    monkeypatch.setattr(custom, "_next_check", float("inf"))
    monkeypatch.setattr(custom, "CHECK_SECONDS", float("inf"))
    assert found(admin, f"Patient?{described['code']}=needle")[0] == [one]


def test_the_capability_statement_lists_it(admin: ApiClient) -> None:
    described = definition(base=["Patient", "Practitioner"], expression="Patient.birthDate | Practitioner.birthDate")
    described["type"] = "date"
    before = admin.get("metadata")["ETag"]
    name = made(admin, described)

    def listed() -> dict[str, list[dict[str, Any]]]:
        types = admin.get("metadata").resource()["rest"][0]["resource"]
        return {t["type"]: [p for p in t["searchParam"] if p["name"] == described["code"]] for t in types}

    wanted = [{"name": described["code"], "definition": described["url"], "type": "date"}]
    assert {kind: found for kind, found in listed().items() if found} == {"Patient": wanted, "Practitioner": wanted}
    assert admin.get("metadata")["ETag"] != before
    admin.delete(f"SearchParameter/{name}")
    assert not any(listed().values())


# --- types


def search_by(admin: ApiClient, described: dict[str, Any], *resources: dict[str, Any]) -> Callable[[str], set[int]]:
    """Positions of the resources that a value finds; the first half is stored before the definition."""
    middle = (len(resources) + 1) // 2
    ids = [made(admin, resource) for resource in resources[:middle]]
    made(admin, described)
    index_all()
    ids += [made(admin, resource) for resource in resources[middle:]]
    kind = resources[0]["resourceType"]

    def ask(query: str) -> set[int]:
        matches, texts = found(admin, f"{kind}?{described['code']}{query}&_id={','.join(ids)}")
        assert texts == []
        return {ids.index(match) for match in matches}

    return ask


def test_tokens(admin: ApiClient) -> None:
    ask = search_by(
        admin,
        definition(type="token"),
        patient(valueCodeableConcept={"coding": [{"system": "urn:a", "code": "1", "display": "Little"}]}),
        patient(valueCode="1"),
        patient(valueBoolean=True),
        patient(valueDecimal=1),
    )
    assert ask("=1") == {0, 1} and ask("=urn:a|1") == {0} and ask("=urn:b|1") == set()
    assert ask("=true") == {2} and ask(":text=little") == {0} and ask(":not=1") == {2, 3}
    assert ask(":missing=true") == {3}  # a decimal is no token


def test_dates_and_their_order(admin: ApiClient) -> None:
    described = definition(type="date")
    resources = [patient(valueDate=d) for d in ("2020-05-01", "2021", "2019-12-31")] + [patient()]
    ask = search_by(admin, described, *resources)
    assert ask("=ge2020-06") == {1} and ask("=lt2020-01-01") == {2} and ask("=2021") == {1}
    for sort, order in ((described["code"], [2, 0, 1]), (f"-{described['code']}", [1, 0, 2])):
        wanted = [["2020-05-01", "2021", "2019-12-31"][position] for position in order]
        answer = admin.get(f"Patient?{described['code']}:missing=false&_sort={sort}").resource()
        dates = [entry["resource"]["extension"][0]["valueDate"] for entry in answer["entry"]]
        assert [d for d in dates if d in wanted] == wanted


def test_numbers_and_quantities(admin: ApiClient) -> None:
    ask = search_by(admin, definition(type="number"), patient(valueDecimal=1.5), patient(valueInteger=7))
    assert ask("=gt2") == {1} and ask("=1.5") == {0}
    weights = [patient(valueQuantity={"value": v, "system": UCUM, "code": "kg"}) for v in (70, 80)]
    ask = search_by(admin, definition(type="quantity"), *weights)
    assert ask(f"=gt75|{UCUM}|kg") == {1} and ask("=70") == {0}


def test_uris(admin: ApiClient) -> None:
    ask = search_by(admin, definition(type="uri"), patient(valueUri="urn:a:b"), patient(valueUrl="http://a.org/b/c"))
    assert ask("=urn:a:b") == {0} and ask(":below=http://a.org/b") == {1}


def test_references_chains_and_includes(admin: ApiClient) -> None:
    name = uuid4().hex
    organization = made(admin, {"resourceType": "Organization", "name": name})
    described = definition(type="reference", target=["Organization"])
    code = described["code"]
    ask = search_by(
        admin,
        described,
        patient(valueReference={"reference": f"Organization/{organization}"}),
        patient(valueReference={"reference": "Organization/nobody", "identifier": {"system": "urn:i", "value": name}}),
    )
    assert ask(f"={organization}") == ask(f"=Organization/{organization}") == ask(f".name={name}") == {0}
    assert ask(f":identifier=urn:i|{name}") == {1}
    ids, _ = found(admin, f"Organization?_has:Patient:{code}:_lastUpdated=gt2000&name={name}")
    assert ids == [organization]
    assert organization in found(admin, f"Patient?{code}={organization}&_include=Patient:{code}")[0]
    assert len(found(admin, f"Organization?name={name}&_revinclude=Patient:{code}")[0]) == 2


def test_reverse_includes_warn(admin: ApiClient) -> None:
    organization = made(admin, {"resourceType": "Organization", "name": "X"})
    described = definition(type="reference", target=["Organization"])
    made(admin, described)
    _ids, texts = found(admin, f"Organization?_id={organization}&_revinclude=Patient:{described['code']}")
    assert len(texts) == 1 and described["code"] in texts[0]


def test_composites(admin: ApiClient) -> None:
    described = definition(
        type="composite",
        base=["Observation"],
        expression="Observation.component",
        component=[
            {"definition": "http://hl7.org/fhir/SearchParameter/clinical-code", "expression": "code"},
            {"definition": "http://hl7.org/fhir/SearchParameter/Observation-value-quantity", "expression": "value"},
        ],
    )

    def observation(*values: int) -> dict[str, Any]:
        component = [
            {"code": {"coding": [{"system": "urn:c", "code": f"c{n}"}]}, "valueQuantity": {"value": value}}
            for n, value in enumerate(values)
        ]
        code = {"text": "pair"}
        made: dict[str, Any] = {"resourceType": "Observation", "status": "final", "code": code}
        return made | {"component": component} if component else made

    ask = search_by(admin, described, observation(1, 9), observation(9, 1), observation(5, 5), observation())
    assert ask("=urn:c|c0$gt5") == {1} and ask("=c1$gt5") == {0} and ask(":missing=true") == {3}


def test_an_expression_that_ends_at_the_extension(admin: ApiClient) -> None:
    described = definition(expression=f"Patient.extension('{EXTENSION}')")
    ask = search_by(admin, described, patient(valueString="Needle"), patient(valueString="Hay"))
    assert ask("=needle") == {0}


def test_what_cannot_be_evaluated_on_a_resource_has_no_value_and_is_stored(admin: ApiClient) -> None:
    ask = search_by(
        admin,
        definition(expression="Patient.name.single().family"),
        {"resourceType": "Patient", "name": [{"family": "One"}]},
        {"resourceType": "Patient", "name": [{"family": "One"}, {"family": "Two"}]},
        {"resourceType": "Patient", "name": [{"family": "One"}, {"family": "Three"}]},
    )
    assert ask("=one") == {0} and ask(":missing=true") == {1, 2}


def test_every_type(admin: ApiClient) -> None:
    described = definition(base=["Resource"], type="uri", expression="Resource.meta.extension.value")
    made(admin, described)
    one = made(admin, {"resourceType": "Basic", "code": {"text": "x"},
                       "meta": {"extension": [{"url": "urn:x", "valueUri": "urn:needle"}]}})  # fmt: skip
    assert found(admin, f"?_type=Basic,Patient&{described['code']}=urn:needle")[0] == [one]


# --- what is refused


@pytest.mark.parametrize(
    ("elements", "where"),
    [
        ({"expression": "Patient.("}, "expression"),
        ({"expression": "Patient.nothing"}, "expression"),
        ({"expression": "Observation.code"}, "expression"),
        ({"expression": "Patient.name.foo()"}, "expression"),
        ({"expression": None}, "expression"),
        ({"expression": "Patient." + "name." * 5000 + "given"}, "expression"),
        ({"type": "date", "expression": "Patient.name"}, "expression"),
        ({"type": "number", "expression": "Patient.gender"}, "expression"),
        ({"base": ["Patient", "Alien"]}, "base[1]"),
        ({"code": "birthdate", "type": "date", "expression": "Patient.birthDate.extension.value"}, "code"),
        ({"code": "_id"}, "code"),
        ({"code": "a:b"}, "code"),
        ({"type": "special"}, "type"),
        ({"type": "composite"}, "component"),
        (
            {
                "type": "composite",
                "expression": "Patient",
                "component": [{"definition": "urn:nothing", "expression": "name"}] * 2,
            },
            "component[0].definition",
        ),
    ],
)
def test_refused(admin: ApiClient, elements: dict[str, Any], where: str) -> None:
    response = admin.post("SearchParameter", definition(**elements))
    assert response.status_code == 422, response.content
    places = [place for issue in response.resource()["issue"] for place in issue.get("expression", ())]
    assert f"SearchParameter.{where}" in places, response.content
    assert response.resource()["issue"][0]["details"]["text"]
    # What is retired is only kept.
    if elements.get("base") is None and elements.get("code") != "a:b":
        assert admin.post("SearchParameter", definition(**elements, status="retired")).status_code == 201


def test_one_code_is_defined_once_for_a_type(admin: ApiClient) -> None:
    described = definition()
    name = made(admin, described)
    other = definition(described["code"])
    refused = admin.post("SearchParameter", other)
    assert refused.status_code == 422 and name in refused.content.decode()
    assert admin.put(f"SearchParameter/{name}", described | {"id": name}).status_code == 200
    made(admin, definition(described["code"], base=["Practitioner"], expression="Practitioner.name"))


def test_definitions_of_the_specification_are_only_kept(admin: ApiClient) -> None:
    official = definition("birthdate", url="http://hl7.org/fhir/SearchParameter/individual-birthdate", type="date")
    made(admin, official | {"expression": "Patient.birthDate"})
    made(admin, definition("birthdate", type="date", expression="Patient.birthDate"))
    custom.refresh(now=True)
    assert not custom.registry().definitions


def test_two_that_came_at_once_are_one(admin: ApiClient) -> None:
    described = definition()
    entries = [
        {"resource": resource, "request": {"method": "POST", "url": "SearchParameter"}}
        for resource in (described, definition(described["code"], expression="Patient.name.text"))
    ]
    response = admin.post("", {"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert response.status_code == 200, response.content
    custom.refresh(now=True)
    assert len(custom.registry().definitions) == 1
    for entry in response.resource()["entry"]:
        admin.delete("/".join(entry["response"]["location"].split("/")[-4:-2]))


# --- who may


@pytest.mark.parametrize("role", ["practitioner", "patient", "auditor"])
def test_only_administrators_define(admin: ApiClient, api: Callable[..., ApiClient], role: str) -> None:
    name = made(admin, definition())
    about = {"fhir_user": f"Patient/{made(admin, patient())}"} if role == "patient" else {}
    client = api(role=role, **about)
    assert client.post("SearchParameter", definition()).status_code == 403
    assert client.put(f"SearchParameter/{name}", definition() | {"id": name}).status_code == 403
    assert client.delete(f"SearchParameter/{name}").status_code == 403
    assert client.get(f"SearchParameter/{name}").status_code == (200 if role == "practitioner" else 403)


def test_a_patient_finds_their_own_records_only(admin: ApiClient, api: Callable[..., ApiClient]) -> None:
    described = definition(base=["Observation"], expression="Observation.extension.value", type="string")
    own, other = made(admin, patient()), made(admin, patient())

    def observation(subject: str) -> dict[str, Any]:
        return {"resourceType": "Observation", "status": "final", "code": {"text": "x"},
                "subject": {"reference": f"Patient/{subject}"},
                "extension": [{"url": EXTENSION, "valueString": "Needle"}]}  # fmt: skip

    seen = made(admin, observation(own))
    made(admin, observation(other))
    made(admin, described)
    index_all()
    client = api(role="patient", fhir_user=f"Patient/{own}")
    assert found(client, f"Observation?{described['code']}=needle") == ([seen], [])
    assert found(client, f"Observation?{described['code']}:missing=false") == ([seen], [])


def test_lastn_waits_for_it(admin: ApiClient) -> None:
    subject = made(admin, patient())
    described = definition(base=["Observation"], expression="Observation.extension.value")
    made(admin, described)
    query = f"Observation/$lastn?patient={subject}&code=x&{described['code']}=needle"
    assert admin.get(query).status_code == 503
    index_all()
    assert admin.get(query).status_code == 200
