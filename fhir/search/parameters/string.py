"""Texts (https://hl7.org/fhir/R4/search.html#string): case, accents and punctuation do not count, unless :exact."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Any

from fhir.search.catalogue import Parameter
from fhir.search.clauses import Clause, Nothing
from fhir.search.hashing import parameter_number
from fhir.search.rows import ComparedStrings, Strings

from .text import bad_modifier

MODIFIERS = ("exact", "contains", "missing", "text")
# The last two are for `_filter` only.
_OPERATORS = {
    None: "prefix",
    "exact": "exact",
    "contains": "contains",
    "text": "contains",
    "$equal": "equal",
    "$ends": "ends",
}
# Signs inside a word, which people leave out: O'Brien is obrien.
_INSIDE = frozenset("'’‘ʼ`´")

# The texts of complex types: those of a name or an address that are no parameters of their own come first.
_ELEMENTS = {
    "HumanName": ("text", "prefix", "suffix", "family", "given"),
    "Address": ("text", "line", "district", "city", "country", "postalCode", "state"),
    "CodeableConcept": ("text",),
    "Coding": ("display",),
    "Annotation": ("text",),
    "ContactPoint": ("value",),
    "Identifier": ("value",),
    "Reference": ("display",),
}


@lru_cache(maxsize=1 << 15)
def fold(text: str) -> str:
    """Lower case without accents; punctuation and white space become single spaces."""
    if text.isascii() and text.isalnum():
        return text.lower()
    characters = []
    for character in unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold()):
        category = unicodedata.category(character)[0]
        if category == "M" or character in _INSIDE:
            continue
        characters.append(character if category in "LN" else " " if category in "PZC" else character)
    return unicodedata.normalize("NFC", " ".join("".join(characters).split()))


def texts(fhir_type: str, value: Any, pieces: Any = ()) -> list[tuple[str | None, str]]:
    """(element, text) for each text of a value; the element is given where `pieces` names it, else None."""
    if type(value) is str:
        return [(None, value)]
    if type(value) is not dict:
        return []
    found: list[tuple[str | None, str]] = []
    for element in _ELEMENTS.get(fhir_type, ("text", "value", "display")):
        item = value.get(element)
        if item is None:
            continue
        place = element if element in pieces else None
        found.extend((place, text) for text in (item if type(item) is list else (item,)) if type(text) is str)
    return found


def parse(parameter: Parameter, modifier: str | None, values: list[str]) -> Clause:
    """The clause of one repetition. Raises InvalidRequest."""
    if modifier not in _OPERATORS:
        raise bad_modifier(parameter.code, str(modifier), MODIFIERS)
    numbers = tuple(parameter_number(parameter.resource_type, code) for code in parameter.stored_as)
    return clause(numbers, _OPERATORS[modifier], values, parameter.code)


def clause(numbers: tuple[int, ...], operator: str, values: list[str], code: str) -> Clause:
    """Any of the texts in any of the parameters. A text of signs only is found nowhere."""
    asked = tuple((fold(value), value) for value in values if fold(value) or operator == "exact")
    return Strings(numbers, operator, asked, code) if asked else Nothing()


# Of `_filter`: another text; one whose first character comes later or earlier by its code point.
COMPARISONS = ("ne", "gt", "lt", "ge", "le")


def compared(parameter: Parameter, operator: str, value: str) -> Clause:
    """With a text that compares so (https://hl7.org/fhir/R4/search_filter.html#ops)."""
    numbers = tuple(parameter_number(parameter.resource_type, code) for code in parameter.stored_as)
    return ComparedStrings(numbers, operator, fold(value), parameter.code)
