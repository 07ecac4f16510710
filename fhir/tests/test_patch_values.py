"""Every kind of value of a FHIRPath Patch: official examples are built element by element, and come out equal."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fhir import json as exact
from fhir.definitions.structure import type_definition
from fhir.patch import fhirpath_patch
from fhir.patch.places import Item, Slot, form

VALUE_KEYS = {kind: key for key, kind in type_definition("Parameters.parameter").elements["value"].keys()}  # noqa: SIM118


def parts_of(node: dict[str, Any], type_name: str) -> Iterator[dict[str, Any]]:
    """One part for each value of each element of an object, named after the element."""
    for key in dict.fromkeys(key.removeprefix("_") for key in node if key != "resourceType"):
        found = form(type_name, key)
        assert found is not None
        element, kind = found
        for item in Slot(node, key, element).items():
            yield {"name": element.name, **value_of(item, kind)}


def value_of(item: Item, kind: str) -> dict[str, Any]:
    value, beside = item
    if kind == "Resource":
        return {"resource": value}
    kind = {"xhtml": "string"}.get(kind, kind)
    if kind not in VALUE_KEYS:
        return {"part": list(parts_of(value, kind))}
    both = {VALUE_KEYS[kind]: value, "_" + VALUE_KEYS[kind]: beside}
    return {key: each for key, each in both.items() if each is not None}


def additions(resource: dict[str, Any]) -> dict[str, Any]:
    resource_type = resource["resourceType"]
    fixed = [{"name": "type", "valueCode": "add"}, {"name": "path", "valueString": resource_type}]
    elements = {key: value for key, value in resource.items() if key not in ("id", "_id")}
    return {
        "resourceType": "Parameters",
        "parameter": [
            {
                "name": "operation",
                "part": [*fixed, {"name": "name", "valueString": part["name"]}, {**part, "name": "value"}],
            }
            for part in parts_of(elements, resource_type)
        ],
    }


def ordered(value: Any) -> Any:
    """The same, keys in order: two that are written alike are equal to the digit."""
    if isinstance(value, dict):
        return {key: ordered(value[key]) for key in sorted(value)}
    return [ordered(item) for item in value] if isinstance(value, list) else value


def test_official_examples_are_built_by_additions(shared_data: Path) -> None:
    file = shared_data / "data/examples/r4-examples-dev.ndjson.gz"
    if not file.exists():
        pytest.skip("the official examples are not there")
    seen: dict[str, int] = {}
    with gzip.open(file) as lines:
        for line in lines:
            resource = exact.loads(line)
            patch = additions(resource)
            kind = resource["resourceType"]
            # Three of each type show every kind of value; a patch has at most 1000 operations.
            if seen.get(kind, 0) == 3 or len(patch["parameter"]) > 1000:
                continue
            seen[kind] = seen.get(kind, 0) + 1
            start = {key: value for key, value in resource.items() if key in ("resourceType", "id", "_id")}
            built = fhirpath_patch.apply(start, patch)
            assert exact.dumps(ordered(built)) == exact.dumps(ordered(resource)), f"{kind}/{resource.get('id')}"
    assert len(seen) > 50
