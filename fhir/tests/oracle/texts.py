"""Strings: https://hl7.org/fhir/R4/search.html#string."""

from __future__ import annotations

import unicodedata
from typing import Any

from .values import Value, items

# Elements of type string (#string: "covers the elements of type string").
PARTS = {
    "HumanName": ("text", "family", "given", "prefix", "suffix"),
    "Address": ("text", "line", "city", "district", "state", "postalCode", "country"),
    "CodeableConcept": ("text",),
}
APOSTROPHES = "'’‘ʼ`´"


def fold(text: str) -> str:
    """Without case, accents, punctuation and further white space (#string).

    docs/search.md: an apostrophe inside a name vanishes, other punctuation separates like a space.
    """
    folded = ""
    for character in unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold()):
        kind = unicodedata.category(character)
        if character in APOSTROPHES or kind.startswith("M"):
            continue
        folded += " " if kind[0] in "PZC" else character
    return unicodedata.normalize("NFC", " ".join(folded.split()))


def strings(value: Value) -> list[str]:
    """The texts of a value: each of its string elements by itself."""
    if isinstance(value.value, str):
        return [value.value]
    return [text for part in PARTS[value.type] for text in items(value.value.get(part))]


def text_matches(stored: str, modifier: str | None, asked: str) -> bool:
    """One text against one: begins with, `:contains`, `:exact`. docs/search.md: `:text` is like `:contains`."""
    if modifier == "exact":
        return stored == asked
    if not fold(asked):
        return False
    if modifier in ("contains", "text"):
        return fold(asked) in fold(stored)
    return fold(stored).startswith(fold(asked))


def matches(value: Value, modifier: str | None, asked: str) -> bool:
    """Any text of a value."""
    return any(text_matches(text, modifier, asked) for text in strings(value))


def display_matches(value: Value, asked: str) -> bool:
    """`:text` of a token: CodeableConcept.text, Coding.display, Identifier.type.text (#token, modifiers)."""
    texts: list[Any] = []
    if value.type == "CodeableConcept":
        texts = [value.value.get("text"), *(coding.get("display") for coding in items(value.value.get("coding")))]
    elif value.type == "Coding":
        texts = [value.value.get("display")]
    elif value.type == "Identifier":
        texts = [value.value.get("type", {}).get("text")]
        texts += [coding.get("display") for coding in items(value.value.get("type", {}).get("coding"))]
    return any(text is not None and text_matches(text, None, asked) for text in texts)
