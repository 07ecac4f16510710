"""Parameters of clients against the oracle: while they are being built, and when they are complete."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from clinical_records.testing import ApiClient

from .custom_parameters import index_all, made
from .oracle.clients import CLIENTS, definition, extended
from .oracle.queries import Asker, Query
from .oracle.runs import BASE_URL, Run, tell

CASES = int(os.environ.get("ORACLE_CASES", "300")) // 3
SEED = int(os.environ.get("ORACLE_SEED", "1"))


def test_parameters_of_clients_find_what_the_oracle_finds(admin: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(admin, SEED)
    for resource_type, line, expression, more in CLIENTS:
        made(admin, definition(resource_type, line, expression, more, run.name))
    asker = Asker(run.random, run.world.resources, BASE_URL)
    parameters = extended(monkeypatch)
    # Nothing is indexed yet: less is found, and every answer says so.
    for parameter in parameters:
        name, value = asker.asked(parameter, None)
        pages, _total = run.ask(Query((parameter.resource_type,), ((name, value),)))
        assert [parameter.code in text for text in pages[0].outcomes] == [True], (name, value, pages[0].outcomes)
        assert pages[0].ids == [], (name, value)
    index_all()
    wrong = []
    for query in _queries(asker, CASES):
        difference = run.difference(query)
        if difference is not None:
            tell(run, query, difference)
            wrong.append((query, difference))
    assert wrong == []


def _queries(asker: Asker, number: int) -> Iterator[Query]:
    """Queries that name a parameter of a client, at any place."""
    while number:
        query = asker.query()
        if "x-" in "".join(f"{name} {value}" for name, value in (*query.pairs, *query.includes)) or "x-" in query.sort:
            number -= 1
            yield query
