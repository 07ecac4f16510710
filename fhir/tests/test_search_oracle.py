"""Search over HTTP against the oracle: random resources, random queries, the same answers.

ORACLE_CASES says how many queries (300), ORACLE_SEED where they begin: a difference names both.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from .oracle.queries import Asker, Query
from .oracle.runs import BASE_URL, Patient, Run, tell

CASES = int(os.environ.get("ORACLE_CASES", "300"))
SEED = int(os.environ.get("ORACLE_SEED", "1"))
PER_RUN = 500


def test_random_queries_find_what_the_specification_says(api: Any) -> None:
    assert list(_differences(api, CASES, patients=False)) == []


def test_patients_find_the_same_in_what_is_about_them_and_nothing_else(api: Any) -> None:
    assert list(_differences(api, CASES // 3, patients=True)) == []


def _differences(api: Any, cases: int, *, patients: bool) -> Iterator[tuple[int, Query, str]]:
    client = api(role="administrator")
    for number in range(0, cases, PER_RUN):
        run = Run(client, SEED + number)
        asker = Asker(run.random, run.world.resources, BASE_URL)
        for case in range(min(PER_RUN, cases - number)):
            if patients and case % 50 == 0:
                view: Run = Patient(run, api)
            query = asker.query()
            wrong = (view if patients else run).difference(query)
            if wrong is not None:
                tell(run, query, wrong)
                yield run.seed, query, wrong
