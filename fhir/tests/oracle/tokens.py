"""Tokens: https://hl7.org/fhir/R4/search.html#token."""

from __future__ import annotations

from .values import Value, items, plain, split

Pair = tuple[str | None, str | None]


def pairs(value: Value) -> list[Pair]:
    """(system, code) of a value by its data type (#token, table)."""
    held = value.value
    if value.type == "CodeableConcept":
        return [(coding.get("system"), coding.get("code")) for coding in items(held.get("coding"))]
    if value.type == "Coding":
        return [(held.get("system"), held.get("code"))]
    if value.type == "Identifier":
        return [(held.get("system"), held.get("value"))]
    if value.type == "ContactPoint":
        return [(None, held.get("value"))]
    if value.type == "boolean":
        return [(None, "true" if held else "false")]
    return [(None, held)]


def matches(value: Value, asked: str, system_of_code: str | None = None) -> bool:
    """`code`, `system|code`, `|code` or `system|`. Case counts, except for elements of type string.

    `system_of_code` is the system that a required binding gives an element of type code.
    """
    parts = [plain(part) for part in split(asked, "|")]
    for system, code in pairs(value):
        if value.type == "code":
            system = system_of_code
        if code is not None and value.type == "string":
            code, parts = code.casefold(), [part.casefold() for part in parts]
        if len(parts) == 1 and code == parts[0]:
            return True
        if len(parts) == 2 and _in_system(system, code, *parts):
            return True
    return False


def _in_system(system: str | None, code: str | None, asked_system: str, asked_code: str) -> bool:
    if not asked_code:
        return system == asked_system
    return code == asked_code and (system or "") == asked_system


def of_type_matches(value: Value, asked: str) -> bool:
    """`:of-type=system|code|value`: the first two of Identifier.type, the third of Identifier.value."""
    system, code, number = (plain(part) for part in split(asked, "|"))
    kinds = [(c.get("system") or "", c.get("code")) for c in items(value.value.get("type", {}).get("coding"))]
    return (system, code) in kinds and value.value.get("value") == number
