"""FHIRPath Patch (https://hl7.org/fhir/R4/fhirpatch.html): done whole or refused, with the place that was wrong."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from fhir import json as exact
from fhir.exceptions import InvalidRequest, TooLarge, Unprocessable
from fhir.patch import fhirpath_patch, guards

Resource = dict[str, Any]
TIME = {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/patient-birthTime", "valueDateTime": "1974"}]}


def part(name: str, **value: Any) -> dict[str, Any]:
    return {"name": name, **value}


def op(kind: str, path: str, *parts: dict[str, Any]) -> dict[str, Any]:
    return part("operation", part=[part("type", valueCode=kind), part("path", valueString=path), *parts])


def add(path: str, name: str, **value: Any) -> dict[str, Any]:
    return op("add", path, part("name", valueString=name), part("value", **value))


def insert(path: str, index: int, **value: Any) -> dict[str, Any]:
    return op("insert", path, part("index", valueInteger=index), part("value", **value))


def replace(path: str, **value: Any) -> dict[str, Any]:
    return op("replace", path, part("value", **value))


def move(path: str, source: int, destination: int) -> dict[str, Any]:
    return op("move", path, part("source", valueInteger=source), part("destination", valueInteger=destination))


def patched(resource: Resource, *operations: dict[str, Any]) -> Resource:
    patch = {"resourceType": "Parameters", "parameter": list(operations)}
    before = exact.dumps([resource, patch])
    try:
        result = fhirpath_patch.apply(resource, patch)
    finally:
        assert exact.dumps([resource, patch]) == before, "the input changed"
    return result


def patient(**elements: Any) -> Resource:
    return {"resourceType": "Patient", "id": "a", **elements}


def observation(**elements: Any) -> Resource:
    return {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, **elements}


ANA, EVA, LIA = {"family": "A"}, {"family": "B"}, {"family": "C"}


# --- add


def test_add_a_primitive() -> None:
    assert patched(patient(), add("Patient", "birthDate", valueDate="1930-01-01")) == patient(birthDate="1930-01-01")


def test_add_to_a_list_that_is_there_and_to_one_that_is_not() -> None:
    assert patched(patient(name=[ANA]), add("Patient", "name", valueHumanName=EVA)) == patient(name=[ANA, EVA])
    assert patched(patient(), add("Patient", "name", valueHumanName=EVA)) == patient(name=[EVA])


def test_add_deeper() -> None:
    result = patched(patient(name=[ANA, EVA]), add("Patient.name.where(family = 'B')", "given", valueString="Lía"))
    assert result == patient(name=[ANA, {"family": "B", "given": ["Lía"]}])


def test_add_a_choice_takes_the_key_of_its_type() -> None:
    result = patched(observation(), add("Observation", "value", valueQuantity={"value": Decimal("1.00")}))
    assert result == observation(valueQuantity={"value": Decimal("1.00")})
    assert patched(patient(), add("Patient", "deceased", valueBoolean=False)) == patient(deceasedBoolean=False)


def test_add_an_anonymous_type_with_lists_and_nesting() -> None:
    parts = [
        part("name", valueHumanName={"text": "Luis"}),
        part("telecom", valueContactPoint={"value": "1"}),
        part("telecom", valueContactPoint={"value": "2"}),
        part("relationship", part=[part("text", valueString="brother")]),
        part("gender", valueCode="male", _valueCode={"id": "g"}),
    ]
    contact = patched(patient(), add("Patient", "contact", part=parts))["contact"]
    assert contact == [
        {
            "name": {"text": "Luis"},
            "telecom": [{"value": "1"}, {"value": "2"}],
            "relationship": [{"text": "brother"}],
            "gender": "male",
            "_gender": {"id": "g"},
        }
    ]


def test_add_an_extension_to_a_resource_and_to_a_primitive() -> None:
    parts = [part("url", valueUri="urn:x"), part("value", valueInteger=3)]
    extension = [{"url": "urn:x", "valueInteger": 3}]
    assert patched(patient(), add("Patient", "extension", part=parts)) == patient(extension=extension)
    result = patched(patient(birthDate="1974"), add("Patient.birthDate", "extension", part=parts))
    assert result == patient(birthDate="1974", _birthDate={"extension": extension})
    given = patient(name=[{"given": ["A", "B"]}])
    result = patched(given, add("Patient.name.given[1]", "extension", part=parts))
    assert result == patient(name=[{"given": ["A", "B"], "_given": [None, {"extension": extension}]}])


def test_add_a_contained_resource() -> None:
    organization = {"resourceType": "Organization", "id": "o", "name": "Norte"}
    assert patched(patient(), add("Patient", "contained", resource=organization)) == patient(contained=[organization])
    inner = patched(patient(contained=[organization]), add("Patient.contained[0]", "alias", valueString="N"))
    assert inner["contained"][0]["alias"] == ["N"]


def test_add_inside_the_resource_of_a_bundle_entry() -> None:
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": patient()}]}
    result = patched(bundle, add("Bundle.entry[0].resource", "gender", valueCode="female"))
    assert result["entry"][0]["resource"] == patient(gender="female")


@pytest.mark.parametrize(
    "operation",
    [
        add("Patient", "gender", valueCode="male"),
        add("Patient", "birthDate", valueDate="1990"),
        add("Patient", "multipleBirth", valueBoolean=True),
        add("Patient", "maritalStatus", part=[part("text", valueString="a"), part("text", valueString="b")]),
    ],
)
def test_add_refuses_a_second_value_of_what_does_not_repeat(operation: dict[str, Any]) -> None:
    there = patient(gender="male", _birthDate=TIME, multipleBirthInteger=2)
    refused(Unprocessable, there, operation)


# --- insert and move


def test_insert_at_every_position() -> None:
    for index in range(3):
        names = [ANA, EVA]
        names.insert(index, LIA)
        result = patched(patient(name=[ANA, EVA]), insert("Patient.name", index, valueHumanName=LIA))
        assert result == patient(name=names)
    assert patched(patient(), insert("name", 0, valueHumanName=LIA)) == patient(name=[LIA])


def test_insert_keeps_the_extensions_of_primitives_beside_their_values() -> None:
    name = {"given": ["A", "B"], "_given": [None, {"id": "b"}]}
    result = patched(
        patient(name=[name]), insert("Patient.name[0].given", 0, valueString="X", _valueString={"id": "x"})
    )
    assert result["name"] == [{"given": ["X", "A", "B"], "_given": [{"id": "x"}, None, {"id": "b"}]}]


@pytest.mark.parametrize("index", [-1, 2])
def test_insert_beyond_the_list_is_refused(index: int) -> None:
    refused(Unprocessable, patient(name=[ANA]), insert("Patient.name", index, valueHumanName=EVA))


def test_move_as_remove_then_insert() -> None:
    for source in range(3):
        for destination in range(3):
            names = [ANA, EVA, LIA]
            names.insert(destination, names.pop(source))
            result = patched(patient(name=[ANA, EVA, LIA]), move("Patient.name", source, destination))
            assert result == patient(name=names)


def test_move_takes_extensions_of_primitives_along() -> None:
    name = {"given": ["A", "B", "C"], "_given": [{"id": "a"}, None, None]}
    result = patched(patient(name=[name]), move("Patient.name.given", 0, 2))
    assert result["name"] == [{"given": ["B", "C", "A"], "_given": [None, None, {"id": "a"}]}]


@pytest.mark.parametrize(("source", "destination"), [(3, 0), (0, 3), (-1, 0), (0, -1)])
def test_move_beyond_the_list_is_refused(source: int, destination: int) -> None:
    refused(Unprocessable, patient(name=[ANA, EVA, LIA]), move("Patient.name", source, destination))


@pytest.mark.parametrize(
    "path", ["Patient.gender", "Patient.name.where(family = 'A')", "Patient", "Patient.name.given"]
)
def test_what_is_not_one_list_takes_no_insert(path: str) -> None:
    refused(Unprocessable, patient(gender="male", name=[ANA, EVA]), insert(path, 0, valueString="x"))


# --- delete


def test_delete_an_element_with_its_extensions() -> None:
    assert patched(patient(birthDate="1974", _birthDate=TIME), op("delete", "Patient.birthDate")) == patient()


def test_delete_what_is_not_there_changes_nothing() -> None:
    assert patched(patient(name=[ANA]), op("delete", "Patient.gender")) == patient(name=[ANA])
    assert patched(patient(name=[ANA]), op("delete", "Patient.name.where(use = 'old')")) == patient(name=[ANA])


def test_delete_one_of_a_list() -> None:
    result = patched(patient(name=[ANA, EVA, LIA]), op("delete", "Patient.name[1]"))
    assert result == patient(name=[ANA, LIA])
    names = [{"given": ["A", "B"], "_given": [{"id": "a"}, None]}]
    assert patched(patient(name=names), op("delete", "Patient.name.given[0]")) == patient(name=[{"given": ["B"]}])


def test_delete_leaves_nothing_empty_behind() -> None:
    contact = [{"name": {"text": "a"}, "gender": "male"}]
    assert patched(patient(contact=contact), op("delete", "Patient.contact[0].name.text")) == patient(
        contact=[{"gender": "male"}]
    )
    assert patched(patient(name=[ANA]), op("delete", "Patient.name.family")) == patient()
    result = patched(patient(birthDate="1974", _birthDate=TIME), op("delete", "Patient.birthDate.extension[0]"))
    assert result == patient(birthDate="1974")
    given = patient(name=[{"given": ["A", "B"], "_given": [None, TIME]}])
    result = patched(given, op("delete", "Patient.name.given[1].extension"))
    assert result == patient(name=[{"given": ["A", "B"]}])


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ({"given": ["A", None, "B"], "_given": [None, TIME, None]}, {"given": ["A", "B"]}),
        ({"given": [None, "A"], "_given": [{"id": "x"}, TIME]}, {"given": [None, "A"], "_given": [{"id": "x"}, None]}),
        ({"_given": [{"id": "x"}, TIME], "family": "R"}, {"_given": [{"id": "x"}], "family": "R"}),
        ({"_given": [{"id": "x"}, TIME]}, {"_given": [{"id": "x"}]}),
    ],
)
def test_delete_of_an_extension_leaves_no_null_that_stands_for_nothing(name: Resource, left: Resource) -> None:
    assert patched(patient(name=[name]), op("delete", "Patient.name.given[1].extension")) == patient(name=[left])


def test_delete_of_the_only_extension_of_an_only_item_takes_all_away() -> None:
    name = [{"_given": [TIME]}]
    assert patched(patient(name=name), op("delete", "Patient.name.given.extension")) == patient()


def test_delete_of_several_is_refused() -> None:
    refused(Unprocessable, patient(name=[ANA, EVA]), op("delete", "Patient.name"))


# --- replace


def test_replace_a_primitive_and_an_item_of_a_list() -> None:
    assert patched(patient(gender="male"), replace("Patient.gender", valueCode="female")) == patient(gender="female")
    result = patched(patient(name=[ANA, EVA]), replace("Patient.name[0]", valueHumanName=LIA))
    assert result == patient(name=[LIA, EVA])


def test_replace_takes_the_extensions_of_the_old_value_away() -> None:
    result = patched(patient(birthDate="1974", _birthDate=TIME), replace("Patient.birthDate", valueDate="1975"))
    assert result == patient(birthDate="1975")
    result = patched(patient(_birthDate=TIME), replace("Patient.birthDate", valueDate="1975"))
    assert result == patient(birthDate="1975")


def test_replace_a_choice_by_another_type_in_its_place() -> None:
    before = observation(valueString="x", _valueString={"id": "v"}, note=[{"text": "n"}])
    result = patched(before, replace("Observation.value", valueQuantity={"value": Decimal("72.50")}))
    text = b'"valueQuantity":{"value":72.50},"note":[{"text":"n"}]}'
    assert exact.dumps(result).endswith(text)
    assert "_valueString" not in result


def test_replace_a_backbone_element_by_parts() -> None:
    before = observation(component=[{"code": {"text": "a"}}])
    parts = [part("code", valueCodeableConcept={"text": "b"}), part("value", valueInteger=1)]
    result = patched(before, replace("Observation.component[0]", part=parts))
    assert result == observation(component=[{"code": {"text": "b"}, "valueInteger": 1}])


@pytest.mark.parametrize("path", ["Patient.name", "Patient.gender", "Patient", "Patient.name.where(use = 'x').family"])
def test_replace_needs_exactly_one_element_in_the_resource(path: str) -> None:
    refused(Unprocessable, patient(name=[ANA, EVA]), replace(path, valueString="x"))


# --- all or nothing, words, limits


def refused(kind: type[Exception], resource: Resource, *operations: dict[str, Any]) -> Any:
    with pytest.raises(kind) as caught:
        patched(resource, *operations)
    return caught.value


def test_no_operation_changes_nothing() -> None:
    assert patched(patient(name=[ANA])) == patient(name=[ANA])
    assert fhirpath_patch.apply(patient(), {"resourceType": "Parameters"}) == patient()


def test_each_operation_sees_what_those_before_it_did() -> None:
    result = patched(
        patient(),
        add("Patient", "name", valueHumanName=ANA),
        add("Patient.name[0]", "given", valueString="X"),
        replace("Patient.name[0].given[0]", valueString="Y"),
    )
    assert result == patient(name=[{"family": "A", "given": ["Y"]}])


def test_the_issue_says_which_operation() -> None:
    error = refused(
        Unprocessable,
        patient(),
        add("Patient", "gender", valueCode="male"),
        replace("Patient.birthDate", valueDate="x"),
    )
    assert error.issues[0].expression == ("Parameters.parameter[1]",)
    assert "Patient.birthDate" in str(error.issues[0].text)


@pytest.mark.parametrize(
    "operation",
    [
        add("Patient", "nonsense", valueString="x"),
        add("Patient.nonsense", "x", valueString="x"),
        add("Observation", "status", valueCode="final"),
        add("Patient.contact", "gender", valueCode="male"),
        add("Patient", "birthDate", valueString="yesterday"),
        add("Patient", "active", valueString="true"),
        add("Patient", "multipleBirth", valueString="two"),
        add("Patient", "maritalStatus", valueHumanName=ANA),
        add("Patient", "contact", part=[part("nonsense", valueString="x")]),
        add("Patient", "contact", part=[]),
        add("Patient", "contact", part=[{"valueString": "x"}]),
        add("Patient", "birthDate", part=[part("x", valueString="x")]),
        add("Patient", "birthDate", resource=patient()),
        add("Patient", "birthDate"),
        add("Patient", "birthDate", valueDate="1990", valueString="x"),
        replace("Patient.id", valueId="b"),
        replace("Patient.resourceType", valueString="Person"),
        op("delete", "Patient.id"),
        op("delete", "Patient"),
        add("Patient", "resourceType", valueString="x"),
        replace("Patient.name.given + 'x'", valueString="x"),
        replace("1", valueInteger=2),
        replace("%resource.name.family", valueString="x"),
        replace("Patient" + ".name" * 5000, valueString="x"),
        replace("Patient.name.where(" * 150 + "true" + ")" * 150, valueString="x"),
        replace("Patient.name.where(family.matches('(a+)+$'))", valueString="x"),
    ],
)
def test_what_does_not_fit_is_refused_and_undoes_all(operation: dict[str, Any]) -> None:
    there = patient(name=[ANA, {"family": "B", "given": ["g"]}])
    error = refused(Unprocessable, there, add("Patient", "gender", valueCode="male"), operation)
    assert error.issues[0].code == "processing"


@pytest.mark.parametrize(
    "parameters",
    [
        [],
        None,
        {"resourceType": "Patient"},
        {"resourceType": "Parameters", "parameter": {}},
        {"resourceType": "Parameters", "parameter": ["x"]},
        {"resourceType": "Parameters", "parameter": [{"name": "operation"}]},
        {"resourceType": "Parameters", "parameter": [{"name": "other", "part": []}]},
        {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": [3]}]},
        {"resourceType": "Parameters", "parameter": [op("explode", "Patient.name")]},
        {"resourceType": "Parameters", "parameter": [op("add", "Patient", part("name", valueString="x"))]},
        {"resourceType": "Parameters", "parameter": [op("add", "Patient", part("value", valueString="x"))]},
        {"resourceType": "Parameters", "parameter": [op("move", "Patient.name", part("source", valueInteger=0))]},
        {"resourceType": "Parameters", "parameter": [op("delete", "Patient.name", part("path", valueString="x"))]},
        {"resourceType": "Parameters", "parameter": [op("delete", "Patient.name", part("colour", valueString="x"))]},
        {"resourceType": "Parameters", "parameter": [insert("Patient.name", True, valueHumanName=ANA)]},
        {"resourceType": "Parameters", "parameter": [part("operation", part=[part("type", valueInteger=1)])]},
        {"resourceType": "Parameters", "parameter": [op("delete", "Patient.name.where(")]},
        {"resourceType": "Parameters", "parameter": [op("insert", "", part("index", valueInteger=0), part("value"))]},
    ],
)
def test_what_is_no_fhirpath_patch_is_a_bad_request(parameters: Any) -> None:
    with pytest.raises(InvalidRequest):
        fhirpath_patch.apply(patient(name=[ANA]), parameters)


def test_the_number_of_operations_and_the_depth_are_limited() -> None:
    refused(TooLarge, patient(), *[op("delete", "Patient.gender")] * (guards.MAX_OPERATIONS + 1))
    deep: dict[str, Any] = {"family": "x"}
    for _level in range(70):
        deep = {"extension": [deep]}
    refused(TooLarge, patient(), add("Patient", "name", valueHumanName=deep))
