"""Folding, splitting and escaping of search values (https://hl7.org/fhir/R4/search.html#string, #escaping)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir.search.parameters.string import fold
from fhir.search.parameters.text import escape, split, unescape

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Müller", "muller"),
        ("Mu\u0308ller", "muller"),
        ("María  José", "maria jose"),
        ("O'Brien", "obrien"),
        ("García-López", "garcia lopez"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("Brien, Pat", "brien pat"),
        ("  ", ""),
        ("%_\\", ""),
        ("Ñandú", "nandu"),
    ],
)
def test_fold_ignores_case_accents_and_punctuation(text: str, folded: str) -> None:
    assert fold(text) == folded


@given(TEXT)
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(TEXT)
def test_folded_text_holds_no_wildcards(text: str) -> None:
    assert not set(fold(text)) & set("%_\\")


@given(TEXT)
def test_case_does_not_matter(text: str) -> None:
    assert fold(text.upper().lower()) == fold(text.upper())


@given(TEXT)
def test_unescape_undoes_escape(text: str) -> None:
    assert unescape(escape(text)) == text


@given(st.lists(TEXT, min_size=1, max_size=5), st.sampled_from(",|$"))
def test_escaped_separators_do_not_split(parts: list[str], separator: str) -> None:
    joined = separator.join(escape(part) for part in parts)
    assert [unescape(part) for part in split(joined, separator)] == parts


def test_a_backslash_before_another_character_stays() -> None:
    assert unescape("a\\b") == "a\\b"
    assert unescape("a\\") == "a\\"
