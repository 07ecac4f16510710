"""JSON Patch (https://hl7.org/fhir/R4/http.html#patch): done whole or refused, every digit kept."""

from __future__ import annotations

import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir import json as exact
from fhir.exceptions import FhirError, InvalidRequest, TooLarge, Unprocessable
from fhir.patch import guards, json_patch

PATIENT = {
    "resourceType": "Patient",
    "id": "a",
    "active": True,
    "name": [{"family": "Ruiz", "given": ["Ana", "Eva"]}],
}


def patched(*operations: dict[str, Any], resource: dict[str, Any] = PATIENT) -> dict[str, Any]:
    before = exact.dumps(resource)
    try:
        return json_patch.apply(resource, list(operations))
    finally:
        assert exact.dumps(resource) == before, "the input changed"


def op(name: str, path: str, **members: Any) -> dict[str, Any]:
    return {"op": name, "path": path, **{key.rstrip("_"): value for key, value in members.items()}}


def test_every_operation() -> None:
    result = patched(
        op("test", "/active", value=True),
        op("replace", "/active", value=False),
        op("add", "/gender", value="female"),
        op("add", "/name/-", value={"family": "Sanz"}),
        op("add", "/name/0/given/1", value="Lía"),
        op("remove", "/name/0/given/2"),
        op("copy", "/name/2", from_="/name/0"),
        op("move", "/name/0", from_="/name/1"),
    )
    assert result == {
        "resourceType": "Patient",
        "id": "a",
        "active": False,
        "name": [
            {"family": "Sanz"},
            {"family": "Ruiz", "given": ["Ana", "Lía"]},
            {"family": "Ruiz", "given": ["Ana", "Lía"]},
        ],
        "gender": "female",
    }


def test_copies_are_independent_of_each_other_and_of_the_patch() -> None:
    value = {"family": "Sanz"}
    result = patched(
        op("add", "/name/-", value=value),
        op("copy", "/name/-", from_="/name/1"),
        op("replace", "/name/1/family", value="X"),
    )
    assert [name["family"] for name in result["name"]] == ["Ruiz", "X", "Sanz"]
    assert value == {"family": "Sanz"}


def test_key_order_and_decimal_digits_are_kept() -> None:
    text = b'{"resourceType":"Observation","valueQuantity":{"value":1.00,"unit":"g"},"status":"final","id":"b"}'
    result = json_patch.apply(exact.loads(text), [op("replace", "/status", value="amended")])
    assert exact.dumps(result) == text.replace(b"final", b"amended")


@pytest.mark.parametrize(
    ("value", "equal"),
    [(Decimal("1.0"), True), (1, True), (True, False), ("1.00", False), (Decimal("1.01"), False)],
)
def test_numbers_are_tested_by_value_and_never_equal_booleans_or_strings(value: Any, equal: bool) -> None:
    resource = {"resourceType": "Basic", "value": Decimal("1.00")}
    patch = [op("test", "/value", value=value)]
    if equal:
        assert exact.dumps(json_patch.apply(resource, patch)) == b'{"resourceType":"Basic","value":1.00}'
    else:
        with pytest.raises(Unprocessable):
            json_patch.apply(resource, patch)


@pytest.mark.parametrize(
    "patch",
    [
        {"op": "remove", "path": "/active"},
        "[]",
        None,
        ["remove"],
        [{"path": "/active"}],
        [{"op": "explode", "path": "/active"}],
        [{"op": "append", "path": "/gender", "value": "x"}],
        [{"op": ["add"], "path": "/active", "value": 1}],
        [{"op": "remove"}],
        [{"op": "remove", "path": "active"}],
        [{"op": "remove", "path": "/a~2"}],
        [{"op": "remove", "path": 3}],
        [{"op": "add", "path": "/active"}],
        [{"op": "move", "path": "/active"}],
        [{"op": "copy", "path": "/active", "from": None}],
    ],
)
def test_what_is_no_json_patch_is_a_bad_request(patch: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        json_patch.apply(PATIENT, patch)
    assert caught.value.issues[0].code == "structure"


@pytest.mark.parametrize(
    "operation",
    [
        op("replace", "/name/3/family", value="x"),
        op("replace", "/gender", value="x"),
        op("replace", "/name/-", value={}),
        op("remove", "/gender"),
        op("remove", "/name/0/given/2"),
        op("remove", "/name/01"),
        op("remove", ""),
        op("add", "/contact/0/name", value={}),
        op("add", "/name/2", value={}),
        op("add", "/active/x", value=1),
        op("copy", "/name/0", from_="/name/7"),
        op("copy", "/name/0", from_="/name/-"),
        op("move", "/name/0/given/0", from_="/name/0"),
        op("test", "/active", value=True),
        op("test", "/gender", value=None),
        op("test", "/name/-", value=None),
        op("replace", "/resourceType", value="Practitioner"),
        op("replace", "/id", value="b"),
        op("remove", "/id"),
        op("remove", "/resourceType"),
        op("replace", "", value=[]),
        op("replace", "", value={"resourceType": "Patient"}),
    ],
)
def test_what_cannot_be_done_is_unprocessable_and_undoes_all(operation: dict[str, Any]) -> None:
    with pytest.raises(Unprocessable) as caught:
        patched(op("replace", "/active", value=False), operation)
    assert caught.value.issues[0].code == "processing"


def test_the_error_names_the_operation_and_quotes_no_content() -> None:
    with pytest.raises(Unprocessable) as caught:
        patched(op("test", "/active", value=True), op("test", "/name/0/family", value="Sanz"))
    text = str(caught.value.issues[0].text)
    assert "2" in text
    assert "/name/0/family" in text
    assert "Ruiz" not in text
    assert caught.value.__cause__ is None


def test_an_identity_restored_before_the_end_is_no_change() -> None:
    result = patched(op("replace", "/id", value="b"), op("replace", "/id", value="a"))
    assert result == PATIENT


def test_copies_that_double_the_resource_are_refused() -> None:
    doubling = [op("copy", "/name/-", from_="/name") for _ in range(40)]
    with pytest.raises(TooLarge):
        patched(*doubling)


def test_depth_is_limited() -> None:
    nesting = [op("add", "/name" + "/x" * depth, value={}) for depth in range(1, 80)]
    with pytest.raises(TooLarge):
        patched(op("replace", "/name", value={}), *nesting)


def test_the_number_of_operations_is_limited() -> None:
    with pytest.raises(TooLarge):
        patched(*[op("test", "/active", value=True)] * (guards.MAX_OPERATIONS + 1))


json_values = st.sampled_from([None, True, 3, "x", [], ["x", 1], {}, {"family": "Sanz"}, {"a": {"b": [{}]}}])
pointers = st.sampled_from(
    ["", "/name", "/name/0", "/name/-", "/name/0/given/1", "/active", "/x", "/id", "/name/9", "~"]
)
operations = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "no"]), "path": pointers},
    optional={"from": pointers, "value": json_values},
)


@given(st.lists(operations, max_size=6))
def test_any_patch_gives_a_resource_of_the_same_identity_or_a_refusal(patch: list[dict[str, Any]]) -> None:
    try:
        result = patched(*patch)
    except FhirError as error:
        assert error.status in (400, 413, 422)
    else:
        assert (result["resourceType"], result["id"]) == ("Patient", "a")


def _official() -> list[dict[str, Any]]:
    folder = os.environ.get("FHIR_TEST_CASES")
    file = Path(folder or "", "r4/patch/json-patch-tests.json")
    cases: list[dict[str, Any]] = json.loads(file.read_text()) if folder and file.exists() else []
    return cases


@pytest.mark.parametrize("case", _official() or [None], ids=lambda case: case["comment"] if case else "absent")
def test_the_cases_of_hl7(case: dict[str, Any] | None) -> None:
    if case is None:
        pytest.skip("FHIR_TEST_CASES names no checkout of FHIR/fhir-test-cases")
    if "error" in case:
        with pytest.raises(Unprocessable):
            json_patch.apply(case["doc"], case["patch"])
    else:
        assert json_patch.apply(case["doc"], case["patch"]) == case["expected"]
