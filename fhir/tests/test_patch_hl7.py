"""HL7's own cases of FHIRPath Patch: FHIR/fhir-test-cases, r4/patch/fhir-patch-tests.xml, named by FHIR_TEST_CASES."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from fhir.definitions.structure import type_definition
from fhir.exceptions import Unprocessable
from fhir.patch import fhirpath_patch
from fhir.patch.places import Item, Slot, form

XHTML = "{http://www.w3.org/1999/xhtml}"
NUMBERS = {"integer": int, "positiveInt": int, "unsignedInt": int, "decimal": Decimal}


def _cases() -> list[ElementTree.Element]:
    folder = os.environ.get("FHIR_TEST_CASES")
    file = Path(folder or "", "r4/patch/fhir-patch-tests.xml")
    return ElementTree.parse(file).getroot().findall("case") if folder and file.exists() else []


def _resource(parent: ElementTree.Element) -> dict[str, Any]:
    (element,) = list(parent)
    name = element.tag.rpartition("}")[2]
    return {"resourceType": name, **_children(element, name)}


def _children(element: ElementTree.Element, type_name: str) -> dict[str, Any]:
    """The JSON form of the children of an XML element (https://hl7.org/fhir/R4/json.html#xml)."""
    result: dict[str, Any] = {}
    for child in element:
        key = child.tag.rpartition("}")[2]
        found = form(type_name, key)
        assert found is not None, (type_name, key)
        slot = Slot(result, key, found[0])
        slot.write([*slot.items(), _item(child, found[1])])
    return result


def _item(element: ElementTree.Element, kind: str) -> Item:
    if element.tag.startswith(XHTML):
        return ElementTree.tostring(element, encoding="unicode"), None
    if type_definition(kind).kind != "primitive":
        return _children(element, kind), None
    text = element.attrib["value"]
    value = text == "true" if kind == "boolean" else NUMBERS.get(kind, str)(text)
    return value, _children(element, kind) or None


def _name(case: ElementTree.Element | None) -> str:
    return "absent" if case is None else case.attrib["name"]


@pytest.mark.parametrize("case", _cases() or [None], ids=_name)
def test_case(case: ElementTree.Element | None) -> None:
    if case is None:
        pytest.skip("FHIR_TEST_CASES names no checkout of FHIR/fhir-test-cases")
    resource, patch = (_resource(case.find(name)) for name in ("input", "diff"))  # type: ignore[arg-type]
    output = case.find("output")
    if output is None:
        assert case.find("error") is not None
        with pytest.raises(Unprocessable):
            fhirpath_patch.apply(resource, patch)
    else:
        assert _normal(fhirpath_patch.apply(resource, patch)) == _normal(_resource(output))


def _normal(resource: dict[str, Any]) -> dict[str, Any]:
    """The same, its narrative in the one form that equal XML has."""
    if "text" not in resource:
        return resource
    div = ElementTree.canonicalize(resource["text"]["div"], strip_text=True, rewrite_prefixes=True)
    return {**resource, "text": {**resource["text"], "div": div}}
