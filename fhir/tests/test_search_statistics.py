"""What the planner of searches knows of the frequency of terms, on one PostgreSQL and over shards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from django.db import connection

from clinical_records.testing import ApiClient
from fhir import citus
from fhir.definitions.structure import TYPE_NUMBER
from fhir.exceptions import Unavailable
from fhir.models import Resource
from fhir.search import statistics
from fhir.search.statistics import Statistics


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Iterator[Statistics]:
    """Nothing is known yet."""
    fresh = Statistics()
    monkeypatch.setattr(statistics, "_known", fresh)
    yield fresh


def test_shards_are_added_up_by_their_sizes(known: Statistics) -> None:
    statistics._take(
        [
            [100.0, [7, 8], [0.5, 0.25, 0.25, 0.5, 0.0], [1], [1.0]],
            [300.0, [7], [0.1, 0.1, 0.1, 0.0], [1, 2], [0.5, 0.5]],
            [-1.0, None, None, None, None],  # never analyzed
        ]
    )
    assert known.rows == 400
    assert known.expected((7,)) == pytest.approx(80) and known.expected((8,)) == pytest.approx(25)
    assert known.of_type(1) == pytest.approx(250) and known.of_type(2) == pytest.approx(150)
    assert known.expected((9,)) == 0


def test_an_empty_table_has_no_shares(known: Statistics) -> None:
    statistics._take([[0.0, None, None, None, None]])
    assert (known.rows, known.expected((1,)), known.of_type(1)) == (0, 0, 0)


def test_they_are_those_of_analyze(
    known: Statistics, api: Callable[..., ApiClient], clean_database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = api()
    for number in range(40):
        assert client.post("Basic", {"resourceType": "Basic", "code": {"text": str(number % 2)}}).status_code == 201
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE resource")
    statistics.current()
    deadline = time.monotonic() + 30  # on Citus a thread asks
    while not known.rows and time.monotonic() < deadline:
        time.sleep(0.05)
    assert known.rows == Resource.objects.count() == 40
    assert known.of_type(TYPE_NUMBER["Basic"]) == pytest.approx(40)
    monkeypatch.setattr(statistics.database, "fetch", None)
    assert statistics.current() is known  # not asked again


@pytest.mark.citus
def test_while_a_shard_gives_no_answer_those_of_before_are_used(
    known: Statistics, database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not citus.has_citus(connection):
        pytest.skip("the database has no Citus extension (set DATABASE_URL to that of a coordinator)")
    known.rows = 5.0
    monkeypatch.setattr(
        statistics.database, "fetch", lambda _sql: [(True, "[7, null, null, null, null]"), (False, "no")]
    )
    statistics._ask_shards()
    assert known.rows == 5.0

    def unavailable(_sql: str) -> None:
        raise Unavailable("down")

    monkeypatch.setattr(statistics.database, "fetch", unavailable)
    statistics._ask_shards()
    assert known.rows == 5.0
