"""Required bindings (https://hl7.org/fhir/R4/terminologies.html#required).

A `code` must be one of the codes of the value set; a Coding or a Quantity must be of the value set by its system and
code; a CodeableConcept must have at least one coding of the value set. Four value sets of R4 are rules, not lists.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

from fhir.definitions.value_sets import Concepts, codes, concepts

from . import texts
from .currencies import CODES as CURRENCIES
from .primitives import PRIMITIVE_CHECKS
from .problems import Check, Context, Node, Problem, Problems, listed, say, shown

VALUE_SET = "http://hl7.org/fhir/ValueSet/"
UCUM = "http://unitsofmeasure.org"
LOINC = "http://loinc.org"

# BCP 13 (RFC 6838 section 4.2 for names, RFC 2045 section 5.1 for parameters).
_name = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
_parameter = r'\s*;\s*[A-Za-z0-9!#$&^_.+-]+\s*=\s*(?:[^\s;"]+|"[^"]*")'
_mime_type = re.compile(rf"(?:{_name}/{_name}|{_name}/\*|\*/\*)(?:{_parameter})*", re.ASCII).fullmatch

# The names that R4 gives its own formats (https://hl7.org/fhir/R4/http.html#mime-type) stand for their MIME types where
# a format is chosen: https://hl7.org/fhir/R4/capabilitystatement-definitions.html#CapabilityStatement.format.
SHORT_FORMATS = frozenset(("json", "xml", "ttl"))
CHOOSE_FORMAT = ("CapabilityStatement.format", "TestScript.")

Accepts = Callable[[str], Any]
RULED_CODES: dict[str, tuple[Accepts, Any]] = {
    VALUE_SET + "mimetypes": (_mime_type, texts.NOT_A_MIME_TYPE),
    VALUE_SET + "currencies": (CURRENCIES.__contains__, texts.NOT_A_CURRENCY),
}
# Whole systems that no list can hold: units of UCUM, answers of a LOINC answer list.
RULED_SYSTEMS = {
    VALUE_SET + "ucum-units": UCUM,
    "http://loinc.org/vs/LL379-9": LOINC,
}


def _ruled_code(accepts: Accepts, text: Any, also: frozenset[str]) -> Check:
    is_code = PRIMITIVE_CHECKS["code"]

    def check(value: Any, parent: Node, context: Context) -> Problems:
        problems = is_code(value, parent, context)
        if problems is None and not accepts(value) and value not in also:
            return [Problem("code-invalid", say(text, value=shown(value)))]
        return problems

    return check


def _listed_code(allowed: frozenset[str]) -> Check:
    is_code = PRIMITIVE_CHECKS["code"]

    def check(value: Any, parent: Node, context: Context) -> Problems:
        if type(value) is str and value in allowed:
            return None
        problems = is_code(value, parent, context)
        if problems is None or not problems[0].shape:
            words = say(texts.NOT_ONE_OF, value=shown(value), codes=listed(sorted(allowed)))
            return [Problem("code-invalid", words)]
        return problems

    return check


@cache
def code_check(value_set: str | None, path: str = "") -> Check:
    """The check of a `code` element; a plain code where nothing is bound."""
    if value_set is None:
        return PRIMITIVE_CHECKS["code"]
    if value_set in RULED_CODES:
        also = SHORT_FORMATS if path.startswith(CHOOSE_FORMAT) else frozenset()
        return _ruled_code(*RULED_CODES[value_set], also)
    allowed = codes(value_set)
    return PRIMITIVE_CHECKS["code"] if allowed is None else _listed_code(allowed)


def _member(value_set: str) -> tuple[Callable[[Any], bool], Any] | None:
    """Whether a Coding is of a value set, and the words when it is not; None where that cannot be known."""
    system = RULED_SYSTEMS.get(value_set)
    if system is not None:
        return lambda coding: coding.get("system") == system, say(texts.NOT_FROM_SYSTEM, system=system)
    known = concepts(value_set)
    if known is None:
        return None

    def is_member(coding: Any, known: Concepts = known) -> bool:
        return coding.get("code") in known.get(coding.get("system"), ())

    names = sorted({code for of_system in known.values() for code in of_system})
    return is_member, say(texts.NO_CODING, value_set=value_set.rsplit("/", 1)[-1], codes=listed(names))


@cache
def concept_rule(value_set: str, kind: str) -> Callable[[Node], Problem | None] | None:
    """The rule for a bound CodeableConcept, Coding or Quantity that is sound in itself."""
    member = _member(value_set)
    if member is None:
        return None
    is_member, words = member

    def of_concept(node: Node) -> Problem | None:
        codings = node.get("coding")
        if codings is None:
            # Words alone, or only an extension that says why there is no code, are no code of the value set; an
            # extension may carry the reason, as it may for a code (https://hl7.org/fhir/R4/extensibility.html).
            return None if "extension" in node and "text" not in node else Problem("code-invalid", words)
        return None if any(is_member(coding) for coding in codings) else Problem("code-invalid", words)

    def of_coding(node: Node) -> Problem | None:
        return None if is_member(node) else Problem("code-invalid", words)

    return of_concept if kind == "CodeableConcept" else of_coding
