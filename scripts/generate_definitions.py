#!/usr/bin/env python3
"""Writes the committed tables of fhir/definitions from the official package hl7.fhir.r4.core 4.0.1.

    python scripts/generate_definitions.py PACKAGE.tgz [FOLDER]

They hold facts only (names, cardinalities, types, rules, codes), no prose. The same package gives the same bytes.
r4.json.gz is described in fhir/definitions/table.py, which reads it, and terminology.ndjson.gz, all ValueSets and
CodeSystems, in fhir/definitions/terminology.py.
"""

from __future__ import annotations

import gzip
import io
import json
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Json = dict[str, Any]
CANONICAL = "http://hl7.org/fhir/StructureDefinition/"
REGEX = CANONICAL + "regex"
FHIR_TYPE = CANONICAL + "structuredefinition-fhir-type"
FOLDER = Path(__file__).resolve().parent.parent / "fhir" / "definitions"
EVERYWHERE = {"ele-1", "ext-1"}  # carried by every element of every snapshot; kept where they are defined


def read_package(path: Path) -> dict[str, list[Json]]:
    """Resources of the package by type, in the order of their file names."""
    found: dict[str, list[Json]] = {}
    with tarfile.open(path) as package:
        members = sorted((m for m in package if m.name.startswith("package/")), key=lambda m: m.name)
        for member in members:
            if member.isfile() and member.name.endswith(".json") and member.name.count("/") == 1:
                resource = json.load(io.TextIOWrapper(package.extractfile(member), "utf-8"))  # type: ignore[arg-type]
                if "resourceType" in resource:
                    found.setdefault(resource["resourceType"], []).append(resource)
    return found


def tail(url: str) -> str:
    return url.split("|")[0].rsplit("/", 1)[-1]


def element_types(element: Json, path: str) -> tuple[list[str], list[str], list[str]]:
    """Type codes, reference targets and canonical targets of an element."""
    if "contentReference" in element:
        return [element["contentReference"].lstrip("#")], [], []
    codes, targets, canonicals = [], [], []
    for item in element.get("type", []):
        code = item["code"]
        if code.startswith("http://hl7.org/fhirpath/"):
            url = next((e["valueUrl"] for e in item.get("extension", []) if e["url"] == FHIR_TYPE), "string")
            code = "id" if path == "Resource.id" else url
        if code in ("BackboneElement", "Element"):
            code = path
        codes.append(code)
        where = {"Reference": targets, "canonical": canonicals}.get(code)
        if where is not None:
            where.extend(tail(t) for t in item.get("targetProfile", []))
    return codes, targets, canonicals


def constraints(element: Json, owner: str, simple_quantity: Json) -> list[list[str]]:
    rows = [
        [c["key"], c["severity"], c["expression"]]
        for c in element.get("constraint", [])
        if "expression" in c
        and c.get("source", owner) == owner
        and (c["key"] not in EVERYWHERE or element["path"] in ("Element", "Extension"))
    ]
    if any(CANONICAL + "SimpleQuantity" in t.get("profile", []) for t in element.get("type", [])):
        rows.append(["sqty-1", "error", simple_quantity["sqty-1"]])
    return rows


def element_row(element: Json) -> Json:
    path = element["path"]
    codes, targets, canonicals = element_types(element, path)
    row: Json = {"p": path, "n": [element["min"], element["max"]], "t": codes}
    if targets:
        row["r"] = sorted(set(targets))
    if canonicals:
        row["c"] = sorted(set(canonicals))
    binding = element.get("binding", {})
    if binding.get("strength") == "required" and "valueSet" in binding:
        row["b"] = binding["valueSet"].split("|")[0]
    if element.get("isSummary"):
        row["s"] = 1
    if element.get("isModifier"):
        row["m"] = 1
    return row


def structure(definition: Json, simple_quantity: Json) -> Json:
    """One type: its own elements (inherited ones stay with the base) and its own rules."""
    name, owner = definition["name"], definition["url"]
    root, *elements = definition["snapshot"]["element"]
    row: Json = {"k": definition["kind"], "base": tail(definition.get("baseDefinition", "")) or None}
    if definition.get("abstract"):
        row["abstract"] = 1
    rules = [[name, *c] for c in constraints(root, owner, simple_quantity)]
    own = [e for e in elements if e.get("base", {}).get("path", e["path"]).split(".")[0] == name]
    if definition["kind"] == "primitive-type":
        value = next(e for e in elements if e["path"] == f"{name}.value")
        regex = [x["valueString"] for t in value["type"] for x in t.get("extension", []) if x["url"] == REGEX]
        if regex:
            row["regex"] = regex[0]
        row["base"] = tail(definition["baseDefinition"])
    else:
        # BackboneElement's own elements (modifierExtension) repeat in every backbone; the readers add them.
        row["e"] = [element_row(e) for e in own if not inherited(e)]
    for element in own:
        rules += [[element["path"], *c] for c in constraints(element, owner, simple_quantity)]
    if rules:
        row["c"] = rules
    return row


def inherited(element: Json) -> bool:
    base = element.get("base", {}).get("path", "")
    return element["path"] != base and base.split(".")[0] in (
        "Element",
        "BackboneElement",
        "Resource",
        "DomainResource",
    )


def structures(definitions: list[Json]) -> dict[str, Json]:
    simple = next(d for d in definitions if d["name"] == "SimpleQuantity")
    rules = {c["key"]: c["expression"] for c in simple["snapshot"]["element"][0]["constraint"]}
    kept = [d for d in definitions if d.get("derivation") != "constraint" and d["kind"] != "logical"]
    return {d["name"]: structure(d, rules) for d in sorted(kept, key=lambda d: str(d["name"]))}


def search_parameters(found: list[Json]) -> list[Json]:
    """Those that can be served: with a base and an expression, or the specials that need none."""
    by_url = {p["url"]: p for p in found}
    rows = []
    for parameter in sorted(found, key=lambda p: (p["code"], p["url"])):
        if not parameter.get("base") or not parameter.get("expression"):
            continue
        row: Json = {
            "code": parameter["code"],
            "type": parameter["type"],
            "base": parameter["base"],
            "x": parameter["expression"],
            "url": parameter["url"],
        }
        if parameter.get("target"):
            row["target"] = sorted(parameter["target"])
        if parameter.get("component"):
            row["parts"] = [
                [by_url[c["definition"]]["code"], by_url[c["definition"]]["type"], c["expression"]]
                for c in parameter["component"]
            ]
        rows.append(row)
    return rows


def compartments(found: list[Json]) -> dict[str, dict[str, list[str]]]:
    return {
        c["code"]: {r["code"]: r["param"] for r in c["resource"] if r.get("param")}
        for c in sorted(found, key=lambda c: str(c["code"]))
        if not c["url"].endswith("/example")
    }


def codes_of(concepts: list[Json]) -> Iterator[str]:
    for concept in concepts:
        yield concept["code"]
        yield from codes_of(concept.get("concept", []))


def value_sets(
    package: dict[str, list[Json]], types: dict[str, Json]
) -> tuple[dict[str, list[list[Any]]], dict[str, list[str]]]:
    """The value sets that required bindings name, as [system, codes or null for the whole system] rows."""
    systems = {c["url"]: c for c in package["CodeSystem"]}
    sets = {v["url"]: v for v in package["ValueSet"]}
    needed = sorted({e["b"] for t in types.values() for e in t.get("e", []) if "b" in e})
    used: dict[str, list[str]] = {}
    rows: dict[str, list[list[Any]]] = {}
    for url in needed:
        if url not in sets:
            continue
        rows[url] = []
        for include in sets[url]["compose"]["include"]:
            system = include["system"]
            if "concept" in include:
                rows[url].append([system, [c["code"] for c in include["concept"]]])
            else:
                rows[url].append([system, None])
                if system in systems:
                    used[system] = list(codes_of(systems[system].get("concept", [])))
    return rows, used


def operations(found: list[Json]) -> list[Json]:
    return [
        {
            "code": o["code"],
            "url": o["url"],
            "on": o.get("resource", []),
            "at": "".join(letter for letter, key in (("s", "system"), ("t", "type"), ("i", "instance")) if o.get(key)),
            "writes": int(bool(o.get("affectsState"))),
        }
        for o in sorted(found, key=lambda o: str(o["url"]))
    ]


# --- terminology: what decides membership and hierarchy; words do not

CODE_SYSTEM = ("resourceType", "url", "version", "status", "content", "caseSensitive", "hierarchyMeaning")
VALUE_SET = ("resourceType", "url", "version", "status")
EXPANDED = ("total", "offset")
SELECTED = ("system", "version", "valueSet", "filter")


def kept(resource: Json, names: tuple[str, ...]) -> Json:
    return {name: resource[name] for name in names if name in resource}


def concept_tree(concepts: list[Json]) -> list[Json]:
    found = []
    for concept in concepts:
        row: Json = {"code": concept["code"]}
        if "property" in concept:
            row["property"] = concept["property"]
        if "concept" in concept:
            row["concept"] = concept_tree(concept["concept"])
        found.append(row)
    return found


def code_system(resource: Json) -> Json:
    row = kept(resource, CODE_SYSTEM)
    if "property" in resource:
        row["property"] = [kept(p, ("code", "uri", "type")) for p in resource["property"]]
    if "concept" in resource:
        row["concept"] = concept_tree(resource["concept"])
    return row


def selection(include: Json) -> Json:
    row = kept(include, SELECTED)
    if "concept" in include:
        row["concept"] = [{"code": c["code"]} for c in include["concept"]]
    return row


def expanded(contains: list[Json]) -> list[Json]:
    found = []
    for item in contains:
        row = kept(item, ("system", "version", "code", "abstract", "inactive"))
        if "contains" in item:
            row["contains"] = expanded(item["contains"])
        found.append(row)
    return found


def value_set(resource: Json) -> Json:
    row = kept(resource, VALUE_SET)
    if "compose" in resource:
        compose = resource["compose"]
        row["compose"] = kept(compose, ("lockedDate", "inactive"))
        for side in ("include", "exclude"):
            if side in compose:
                row["compose"][side] = [selection(i) for i in compose[side]]
    if "expansion" in resource:
        row["expansion"] = kept(resource["expansion"], EXPANDED)
        row["expansion"]["contains"] = expanded(resource["expansion"].get("contains", []))
    return row


def terminology(package: dict[str, list[Json]]) -> bytes:
    rows = [code_system(c) for c in sorted(package["CodeSystem"], key=lambda c: str(c["url"]))]
    rows += [value_set(v) for v in sorted(package["ValueSet"], key=lambda v: str(v["url"]))]
    return packed(b"".join(text(row) + b"\n" for row in rows))


def table(package: dict[str, list[Json]]) -> bytes:
    types = structures(package["StructureDefinition"])
    sets, systems = value_sets(package, types)
    found = {
        "version": "4.0.1",
        "types": types,
        "search": search_parameters(package["SearchParameter"]),
        "compartments": compartments(package["CompartmentDefinition"]),
        "value_sets": sets,
        "code_systems": systems,
        "operations": operations(package["OperationDefinition"]),
    }
    return packed(text(found))


def text(value: Json) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def packed(data: bytes) -> bytes:
    file = io.BytesIO()
    with gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0, compresslevel=9) as out:
        out.write(data)
    return file.getvalue()


def main(arguments: list[str]) -> int:
    if not 1 <= len(arguments) <= 2:
        print(__doc__, file=sys.stderr)
        return 2
    package = read_package(Path(arguments[0]))
    folder = Path(arguments[1]) if len(arguments) == 2 else FOLDER
    for name, data in (("r4.json.gz", table(package)), ("terminology.ndjson.gz", terminology(package))):
        (folder / name).write_bytes(data)
        print(f"{folder / name}: {len(data)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
