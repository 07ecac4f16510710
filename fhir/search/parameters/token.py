"""Codes, identifiers and flags (https://hl7.org/fhir/R4/search.html#token).

Matches are of the whole code, and case counts, except for values of type string.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.utils.translation import gettext_lazy as _

from fhir.ids import LOCATED_TYPES
from fhir.search import hashing
from fhir.search.catalogue import Parameter
from fhir.search.clauses import Clause, Ids, Not, Nothing, Terms

from . import string
from .text import bad_modifier, bad_value, split, unescape

# Those of codes alone are read by fhir.search.terminology.
MODIFIERS = ("missing", "not", "of-type", "text", "in", "not-in", "above", "below")
_SPECIAL_VALUES = "http://terminology.hl7.org/CodeSystem/special-values"
Pair = tuple[str | None, str | None]


# --- from resources


def pairs(fhir_type: str, value: Any) -> list[Pair]:
    """(system, code) of each coding of a value, for composite parameters."""
    if type(value) is str:
        return [(None, value)]
    if type(value) is bool:
        return [(None, "true" if value else "false")]
    if type(value) is not dict:
        return []
    if fhir_type == "CodeableConcept":
        return [(c.get("system"), c.get("code")) for c in value.get("coding", ())]
    return [(value.get("system"), value.get("value" if fhir_type in ("Identifier", "ContactPoint") else "code"))]


def hashes(fhir_type: str, value: Any) -> tuple[int, ...]:
    """Every form in which a value can be asked for; identifiers' :of-type is apart."""
    if type(value) is dict:
        if fhir_type == "CodeableConcept":
            found: tuple[int, ...] = ()
            for coding in value.get("coding", ()):
                found += hashing.coding_hashes(coding.get("system"), coding.get("code"))
            return found
        if fhir_type == "Coding" or "code" in value:
            return hashing.coding_hashes(value.get("system"), value.get("code"))
        if fhir_type == "ContactPoint":
            return _contact(value)
        if fhir_type == "Identifier":
            return hashing.identifier_hashes(value.get("system"), value.get("value"))
        return ()  # a Quantity, Range or Reference beside codes in a choice has no form of a token
    if type(value) is str:
        return (hashing.any_system(value.casefold() if fhir_type == "string" else value),)
    if type(value) is bool:
        return (hashing.any_system("true" if value else "false"),)
    return ()


def _contact(value: dict[str, Any]) -> tuple[int, ...]:
    """`phone|555-0101` and `555-0101`."""
    text = value.get("value")
    if text is None:
        return ()
    system = value.get("system")
    found = (hashing.any_system(text),)
    return found if system is None else (*found, hashing.in_system(system, text))


def typed_hashes(value: dict[str, Any]) -> tuple[int, ...]:
    """The forms of an Identifier that :of-type asks for."""
    text = value.get("value")
    if text is None:
        return ()
    codings = value.get("type", {}).get("coding", ())
    return tuple(hashing.of_type(c.get("system") or "", c["code"], text) for c in codings if "code" in c)


def texts(fhir_type: str, value: Any) -> list[str]:
    """What :text looks at: the text of a concept, the display of its codings, the text of an identifier's type."""
    if type(value) is not dict:
        return []
    if fhir_type == "Identifier":
        value = value.get("type", {})
    found = [coding["display"] for coding in value.get("coding", ()) if "display" in coding]
    found += [value[key] for key in ("text", "display") if type(value.get(key)) is str]
    return found


def is_located(parameter: Parameter) -> bool:
    """Whether values of this parameter have rows in identifier_locator."""
    return parameter.code == "identifier" and parameter.resource_type in LOCATED_TYPES


# --- from queries


def parse(parameter: Parameter, modifier: str | None, values: list[str]) -> Clause:
    """The clause of one repetition; values come with their escapes. Raises InvalidRequest."""
    if parameter.code == "_id":
        return _ids(parameter, modifier, values)
    if modifier == "text":
        numbers = tuple(hashing.parameter_number(parameter.resource_type, f"{c}:text") for c in parameter.stored_as)
        return string.clause(numbers, "prefix", [unescape(value) for value in values], parameter.code)
    if modifier in (None, "not"):
        found = [h for value in values for h in asked(parameter, value)]
        clause: Clause = _plain(parameter, values, found) if found else Nothing()
        return Not(clause) if modifier == "not" else clause
    if modifier == "of-type":
        return _of_type(parameter, values)
    raise bad_modifier(parameter.code, modifier, MODIFIERS)


def _plain(parameter: Parameter, values: list[str], found: list[int]) -> Terms:
    clause = terms(parameter, found)
    return replace(clause, identifiers=_identifiers(parameter, values)) if is_located(parameter) else clause


def _identifiers(parameter: Parameter, values: list[str]) -> tuple[tuple[int, int | None], ...]:
    """What identifier_locator has for the values, as Terms keeps it; () if one of them names a system alone."""
    base = hashing.parameter_hash(parameter.resource_type, parameter.code)
    found: list[tuple[int, int | None]] = []
    for value in values:
        *systems, code = (unescape(part) for part in split(value, "|"))
        if not code:
            return ()
        term = base ^ hashing.in_system(systems[0], code) if systems else None
        found.append((base ^ hashing.any_system(code), term))
    return tuple(found)


def terms(parameter: Parameter, found: list[int], suffix: str = "") -> Terms:
    """The terms of value hashes under every parameter that holds values of this one."""
    bases = [hashing.parameter_hash(parameter.resource_type, code + suffix) for code in parameter.stored_as]
    return Terms(tuple(sorted({base ^ h for base in bases for h in found})), parameter.code)


def _ids(parameter: Parameter, modifier: str | None, values: list[str]) -> Clause:
    if modifier not in (None, "not"):
        raise bad_modifier(parameter.code, modifier, ("not", "missing"))
    ids = tuple(unescape(value) for value in values)
    clause = Ids(ids, tuple(hashing.own_term(parameter.resource_type, i) for i in ids))
    return Not(clause) if modifier == "not" else clause


def asked(parameter: Parameter, value: str) -> list[int]:
    """The hashes that a value `code`, `system|code`, `|code` or `system|` asks for; none if it can match nothing."""
    parts = [unescape(part) for part in split(value, "|")]
    if len(parts) > 2 or not any(parts):
        message = _("“%(value)s” cannot be searched for in “%(code)s”: write code, system|code, |code or system|, with "
                    "a backslash before each “|” that belongs to a value.")  # fmt: skip
        raise bad_value(parameter.code, value, message)
    if len(parts) == 1:
        return _any_system(parameter, parts[0])
    system, code = parts
    implied = parameter.system or (_SPECIAL_VALUES if parameter.types == {"boolean"} else None)
    if implied is not None:
        if system != implied:
            return []
        return _codes_of(parameter) if not code else [hashing.any_system(code)]
    return [hashing.in_system(system, code) if code else hashing.system_only(system)]


def _any_system(parameter: Parameter, code: str) -> list[int]:
    found = [hashing.any_system(code)]
    if "string" in parameter.types and code.casefold() != code:
        found.append(hashing.any_system(code.casefold()))
    return found


def _codes_of(parameter: Parameter) -> list[int]:
    """All codes of an implied system."""
    from fhir.definitions.value_sets import codes

    if parameter.types == {"boolean"}:
        return [hashing.any_system("true"), hashing.any_system("false")]
    listed = {code for branch in parameter.branches if branch.binding for code in codes(branch.binding) or ()}
    return [hashing.any_system(code) for code in sorted(listed)]


def _of_type(parameter: Parameter, values: list[str]) -> Clause:
    found = []
    for value in values:
        parts = [unescape(part) for part in split(value, "|")]
        if "Identifier" not in parameter.types or len(parts) != 3 or not parts[1] or not parts[2]:
            message = _("“%(value)s” cannot be searched for in “%(code)s:of-type”, which is for identifiers: write "
                        "system|code|value, the first two of the identifier's type.")  # fmt: skip
            raise bad_value(parameter.code, value, message)
        found.append(hashing.of_type(*parts))
    return terms(parameter, found, ":of-type")
