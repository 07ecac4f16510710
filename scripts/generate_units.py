"""Writes fhir/definitions/ucum.json from ucum-essence.xml, the table of UCUM (https://ucum.org/ucum).

    python scripts/generate_units.py ucum-essence.xml

The file comes with the package `ucumvert`, among others; neither is needed to run the server. Same input, same bytes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

OUTPUT = Path(__file__).parent.parent / "fhir" / "definitions" / "ucum.json"
_NAMESPACE = {"u": "http://unitsofmeasure.org/ucum-essence"}


def _unit(element: ElementTree.Element) -> list[Any]:
    """[metric, factor, unit]; a unit without a factor is a dimension of its own, with an offset it has four items."""
    metric = element.get("isMetric") == "yes"
    value = element.find("u:value", _NAMESPACE)
    assert value is not None
    function = value.find("u:function", _NAMESPACE)
    if function is not None:
        return [metric, *_OFFSETS.get(function.get("name", ""), ())]
    if element.get("isArbitrary") == "yes" and value.get("Unit") == "1":
        return [metric]
    return [metric, value.get("value"), value.get("Unit")]


# Kelvin = (x + offset) · factor, by the definitions of the functions (https://ucum.org/ucum#section-Special-Units).
_OFFSETS = {"Cel": ("1", "K", "273.15"), "degF": ("5", "K/9", "459.67"), "degRe": ("5", "K/4", "218.52")}


def table(path: Path) -> dict[str, Any]:
    """Prefixes, base units and units of a ucum-essence.xml."""
    root = ElementTree.parse(path).getroot()
    prefixes = {}
    for prefix in root.findall("u:prefix", _NAMESPACE):
        value = prefix.find("u:value", _NAMESPACE)
        assert value is not None
        prefixes[prefix.get("Code", "")] = value.get("value")
    return {
        "version": root.get("version"),
        "prefixes": prefixes,
        "base": [unit.get("Code") for unit in root.findall("u:base-unit", _NAMESPACE)],
        "units": {unit.get("Code"): _unit(unit) for unit in root.findall("u:unit", _NAMESPACE)},
    }


if __name__ == "__main__":
    text = json.dumps(table(Path(sys.argv[1])), ensure_ascii=False, separators=(",", ":"))
    OUTPUT.write_text(text.replace('"units":{', '"units":{\n').replace("],", "],\n") + "\n", encoding="utf-8")
