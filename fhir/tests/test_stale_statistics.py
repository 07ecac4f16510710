"""A chart that has just been loaded: the statistics of PostgreSQL know few rows of any bucket, and it has many."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

import pytest

from accounts.scopes import scope_for
from fhir import database, ids
from fhir.definitions.structure import TYPE_NUMBER
from fhir.operations import everything_sql, lastn
from fhir.search import explain, hashing, parse, places, plan, sql
from fhir.search.statistics import Statistics

BASE = "https://records.example/fhir/R4"
ADMINISTRATOR = scope_for(user_id="1", username="a", role="administrator")
OBSERVATION = TYPE_NUMBER["Observation"]
# Of as many patients; fewer in the chart than have PostgreSQL look at the tables again by itself.
OTHERS, CHART = 10_000, 600
# What reads each row of the chart some times over is all right; what compares each with each is not.
MOST = 20 * CHART
DATE = hashing.parameter_number("Observation", "date")
_RESOURCES = f"""INSERT INTO resource (bucket, type, id, version, updated, method, deleted, pat, sdate, present, terms)
 SELECT {{bucket}}, {OBSERVATION}, %s || g, 1, now(), 1, false, {{pat}}, g, -1, ARRAY[g::bigint]
 FROM generate_series(1, {{count}}) g"""
_CONTENTS = f"""INSERT INTO content (bucket, type, id, body)
 SELECT {{bucket}}, {OBSERVATION}, %s || g, '{{{{"code":{{{{"text":"x"}}}}}}}}' FROM generate_series(1, {{count}}) g"""
_DATES = f"""INSERT INTO range_index (bucket, type, id, n, param, unit, lo, hi)
 SELECT {{bucket}}, {OBSERVATION}, %s || g, 1, {DATE}, 0, g, g FROM generate_series(1, {{count}}) g"""


def fill(name: str, **given: Any) -> None:
    for statement in (_RESOURCES, _CONTENTS, _DATES):
        database.fetch(statement.format(**given), (name,))


@pytest.fixture
def patient(clean_database: None) -> str:
    fill(f"{uuid4().hex}-", bucket="mod(g * 7919, 65536)", pat="g", count=OTHERS)
    for table in ("resource", "content", "range_index"):
        database.fetch(f"ANALYZE {table}")
    made = ids.new_id()
    fill(f"{uuid4().hex}-", bucket=ids.bucket_of(made), pat=ids.patient_hash(made), count=CHART)
    return made


def read(done: explain.Execution) -> dict[str, float]:
    """How many rows were read by way of what."""
    found: dict[str, float] = {}
    for node in done.nodes:
        found[node.target] = found.get(node.target, 0) + node.rows
    assert found
    return found


def planned(question: str) -> plan.Plan:
    kind, _sign, query = question.partition("?")
    request = parse.parse(kind, parse_qsl(query), ADMINISTRATOR, BASE)
    return places.narrowed(plan.make(request, ADMINISTRATOR, Statistics()))


@pytest.mark.parametrize("more", ["_count=1000", "date=ge1970&_count=1000", "_sort=date&_count=1000", "_count=0"])
def test_a_page_of_the_chart(patient: str, more: str) -> None:
    made = planned(f"Observation?patient={patient}&{more}")
    statement = sql.total(made) if more == "_count=0" else sql.page(made, 1001)
    found = read(explain.execution(made, statement))
    assert max(found.values()) < MOST, found


def test_the_newest_of_each_code(patient: str) -> None:
    made = planned(f"Observation?patient={patient}&code:missing=false")
    found = read(explain.execution(made, lastn._statement(made, 1)))
    assert max(found.values()) < MOST, found


@pytest.mark.parametrize("asked", ["walk", "targets"])
def test_everything(patient: str, asked: str) -> None:
    bucket = ids.bucket_of(patient)
    root = everything_sql.Root(TYPE_NUMBER["Patient"], patient, bucket, ids.patient_hash(patient), (1,), (bucket,))
    limits = everything_sql.Limits(frozenset(TYPE_NUMBER.values()))
    if asked == "walk":
        text, parameters = everything_sql.walk(root, limits, None, 1001)
    else:
        text, parameters = everything_sql.targets(root, limits, nearby=True)
    statement = database.at(bucket, (f"EXPLAIN (ANALYZE, FORMAT JSON) {text}", parameters))
    found = read(explain.read(database.fetch(*statement)[0][0][0], True))
    assert max(found.values()) < MOST, found
