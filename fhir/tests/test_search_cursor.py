"""Cursors: sealed, bound to user and search, limited in time (https://hl7.org/fhir/R4/search.html#paging)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir.exceptions import InvalidRequest
from fhir.search import page
from fhir.search.page import Position

BOUND = page.fingerprint("7", "Patient", [("name", "ana"), ("_count", "2")])


@given(st.lists(st.none() | st.text(st.characters(exclude_categories=("Cs",))), max_size=4), st.booleans())
def test_a_sealed_position_comes_back(keys: list[str | None], backwards: bool) -> None:
    position = Position(tuple(keys), backwards)
    assert page.unseal(page.seal(position, BOUND), BOUND, len(keys)) == position


def test_nothing_of_the_keys_shows() -> None:
    assert "Zapata" not in page.seal(Position(("Zapata",)), BOUND)
    assert page.seal(Position(("Zapata",)), BOUND) != page.seal(Position(("Zapata",)), BOUND)


@pytest.mark.parametrize(
    "other",
    [
        page.fingerprint("8", "Patient", [("name", "ana")]),
        page.fingerprint("7", "Observation", [("name", "ana")]),
        page.fingerprint("7", "Patient", [("name", "eva")]),
    ],
)
def test_a_cursor_is_of_one_user_and_one_search(other: bytes) -> None:
    with pytest.raises(InvalidRequest):
        page.unseal(page.seal(Position(("a",)), BOUND), other, 1)


def test_the_size_of_pages_may_change() -> None:
    assert page.fingerprint("7", "Patient", [("name", "ana"), ("_count", "50")]) == BOUND


def test_every_changed_character_is_noticed() -> None:
    token = page.seal(Position(("a", "b")), BOUND)
    for place, character in enumerate(token[:-1]):
        forged = token[:place] + ("A" if character != "A" else "B") + token[place + 1 :]
        with pytest.raises(InvalidRequest):
            page.unseal(forged, BOUND, 2)


@given(st.text(max_size=60))
def test_noise_is_refused(token: str) -> None:
    with pytest.raises(InvalidRequest):
        page.unseal(token, BOUND, 1)


def test_a_cursor_expires(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    token = page.seal(Position(("a",)), BOUND)
    now = page.time.time()
    monkeypatch.setattr(page.time, "time", lambda: now + settings.FHIR_CURSOR_SECONDS + 2)
    with pytest.raises(InvalidRequest):
        page.unseal(token, BOUND, 1)
