"""Reads HL7's FHIRPath test file and its inputs, XML included, for `test_fhirpath_hl7`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from fhir import json
from fhir.definitions.structure import type_definition

_NAMESPACE = "{http://hl7.org/fhir}"
_XHTML = "{http://www.w3.org/1999/xhtml}"


@dataclass(frozen=True)
class Case:
    name: str
    group: str
    input: str
    expression: str
    invalid: str
    predicate: bool
    ordered: bool
    outputs: tuple[tuple[str, str], ...]


def cases(file: Path) -> list[Case]:
    """Every test of the file, a repeated name made unique by a number."""
    found: list[Case] = []
    seen: dict[str, int] = {}
    for group in ElementTree.parse(file).getroot().iter("group"):
        for test in group.iter("test"):
            expression = test.find("expression")
            name = test.get("name", "")
            seen[name] = seen.get(name, 0) + 1
            found.append(
                Case(
                    name=name if seen[name] == 1 else f"{name}#{seen[name]}",
                    group=group.get("name", ""),
                    input=test.get("inputfile", ""),
                    expression=expression.text or "",
                    invalid=expression.get("invalid", ""),
                    predicate=test.get("predicate") == "true",
                    ordered=test.get("ordered") != "false",
                    outputs=tuple((o.get("type") or "", o.text or "") for o in test.findall("output")),
                )
            )
    return found


def resource(path: Path) -> dict[str, Any]:
    """The resource of a JSON or XML file."""
    if path.suffix == ".json":
        return json.loads(path.read_bytes())
    root = ElementTree.parse(path).getroot()
    return _resource(root)


def _resource(element: ElementTree.Element) -> dict[str, Any]:
    name = element.tag.removeprefix(_NAMESPACE)
    return {"resourceType": name, **_complex(element, name)}


def _complex(node: ElementTree.Element, type_name: str) -> dict[str, Any]:
    result: dict[str, Any] = {}
    if node.get("id"):
        result["id"] = node.get("id")
    if node.get("url"):
        result["url"] = node.get("url")
    keys = {
        key: (kind, element.max != 1)
        for element in type_definition(type_name).elements.values()
        for key, kind in element.keys()  # noqa: SIM118
    }
    for child in node:
        if child.tag.startswith(_XHTML):
            result["div"] = ElementTree.tostring(child, encoding="unicode")
            continue
        key = child.tag.removeprefix(_NAMESPACE)
        _add(result, key, child, *keys[key])
    return result


def _add(result: dict[str, Any], key: str, node: ElementTree.Element, kind: str, many: bool) -> None:
    if type_definition(kind).kind == "primitive":
        value, extras = _primitive(node, kind), _complex_extras(node)
        if not many:
            result.update({k: v for k, v in ((key, value), (f"_{key}", extras)) if v is not None})
            return
        values, others = result.setdefault(key, []), result.setdefault(f"_{key}", [])
        values.append(value)
        others.append(extras)
        return
    value = _resource(node[0]) if type_definition(kind).kind == "resource" else _complex(node, kind)
    if many:
        result.setdefault(key, []).append(value)
    else:
        result[key] = value


def _complex_extras(node: ElementTree.Element) -> dict[str, Any] | None:
    extensions = [_complex(child, "Extension") for child in node]
    extras = {"id": node.get("id")} if node.get("id") else {}
    return {**extras, **({"extension": extensions} if extensions else {})} or None


def _primitive(node: ElementTree.Element, kind: str) -> Any:
    text = node.get("value")
    if text is None:
        return None
    if kind == "boolean":
        return text == "true"
    if kind in ("integer", "positiveInt", "unsignedInt"):
        return int(text)
    return Decimal(text) if kind == "decimal" else text


def written(type_name: str, value: Any) -> tuple[str, str]:
    """(type, text) of a result in the notation of the test file."""
    name = type_name.removeprefix("System.")
    name = name[0].lower() + name[1:] if type_name.startswith("System.") and name != "Quantity" else name
    if isinstance(value, bool):
        return name, str(value).lower()
    if name == "Quantity":
        unit = f"'{value['code']}'" if "code" in value else value.get("unit", "")
        return name, f"{value['value']} {unit}"
    if name in ("date", "dateTime", "instant"):
        return name, f"@{value}"
    return (name, f"@T{value}") if name == "time" else (name, str(value))


def same(expected: tuple[str, str], actual: tuple[str, str]) -> bool:
    """Whether a result is the expected one; a missing type matches any."""
    kind, text = expected
    if kind and kind != actual[0]:
        return False
    number = re.fullmatch(r"-?\d+(\.\d+)?", text)
    return Decimal(text) == Decimal(actual[1]) if number and kind in ("integer", "decimal") else text == actual[1]
