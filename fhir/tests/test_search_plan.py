"""Plans as values: which index leads, one bucket for a chart, the policy on every alias."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import pytest

from accounts.scopes import Scope, scope_for
from fhir import citus, database, ids
from fhir.definitions.structure import TYPE_NUMBER
from fhir.search import hashing, parse, plan, sql
from fhir.search.clauses import Chart, ClinicalDate, Compartment, Terms, Types
from fhir.search.links import Chain, Has
from fhir.search.statistics import Statistics

# Which form a statement has depends on the database.
pytestmark = pytest.mark.usefixtures("database")

BASE = "https://records.example/fhir/R4"
ADMINISTRATOR = scope_for(user_id="1", username="a", role="administrator")
PATIENT = scope_for(user_id="2", username="p", role="patient", fhir_user="Patient/ana")
FREQUENT = hashing.parameter_hash("Observation", "code") ^ hashing.any_system("frequent")
STATISTICS = Statistics(rows=1e6, frequencies={FREQUENT: 0.1}, read_at=float("inf"))

# 4,000 patients with 200 Observations and 4 Conditions each.
HALF = hashing.parameter_hash("Patient", "gender") ^ hashing.any_system("female")
SOME = hashing.parameter_hash("Observation", "code") ^ hashing.any_system("some")
OFTEN = hashing.parameter_hash("Condition", "code") ^ hashing.any_system("often")
TYPES = {TYPE_NUMBER["Patient"]: 0.004, TYPE_NUMBER["Observation"]: 0.8, TYPE_NUMBER["Condition"]: 0.016}
CHARTS = Statistics(1e6, {HALF: 0.002, SOME: 0.01, OFTEN: 0.001}, TYPES, read_at=float("inf"))


def made(
    resource_type: str, query: str, scope: Scope = ADMINISTRATOR, statistics: Statistics = STATISTICS, **more: Any
) -> plan.Plan:
    request = parse.parse(resource_type, parse_qsl(query), scope, BASE)
    return plan.make(request, scope, statistics, **more)


def test_equal_searches_have_equal_plans() -> None:
    assert made("Observation", "code=x&patient=ana") == made("Observation", "code=x&patient=ana")
    assert made("Observation", "code=x") != made("Observation", "code=y")


@pytest.mark.parametrize(
    "query", ["patient=ana", "patient=Patient/ana", f"subject={BASE}/Patient/ana", "subject:Patient=ana"]
)
def test_a_chart_is_one_walk_in_one_bucket(query: str) -> None:
    found = made("Observation", query)
    assert (found.leads, found.bucket, found.patient) == (plan.CHART, ids.bucket_of("ana"), "ana")
    assert Chart(ids.patient_hash("ana"), ids.bucket_of("ana")) in found.clauses


@pytest.mark.parametrize(
    ("resource_type", "query"),
    [
        ("Observation", "subject=ana"),  # could be a Group or a Device
        ("Observation", "patient=ana,eva"),
        ("Observation", "performer=Patient/ana"),
        ("Appointment", "patient=ana"),  # one of several may be elsewhere
        ("Observation", "patient:missing=true"),
        ("Observation", "patient.family=x"),
    ],
)
def test_what_may_lie_in_several_buckets_is_asked_of_all(resource_type: str, query: str) -> None:
    found = made(resource_type, query)
    assert found.bucket is None
    assert found.leads != plan.CHART


def test_every_table_of_a_chart_has_the_bucket() -> None:
    found = made("Observation", "patient=ana&date=ge2020&value-string=x&code-value-quantity=a$gt5&_sort=-date")
    text, parameters = sql.page(found, 20)
    assert text.count(".bucket = %s") == 5
    assert list(parameters).count(ids.bucket_of("ana")) == 5
    assert ".bucket = r.bucket" not in text


def test_rare_terms_lead_and_frequent_ones_are_filters() -> None:
    rare, frequent = made("Observation", "code=rare"), made("Observation", "code=frequent")
    assert (rare.leads, frequent.leads) == (plan.SET, plan.WALK)
    assert "terms @> " in sql.page(rare, 20)[0]
    assert "= ANY(r.terms)" in sql.page(frequent, 20)[0]
    assert not any(isinstance(clause, Types) for clause in rare.clauses)
    assert any(isinstance(clause, Types) for clause in frequent.clauses)


def test_an_or_list_is_one_probe() -> None:
    found = made("Observation", "code=" + ",".join(f"c{n}" for n in range(500)))
    (clause,) = found.clauses
    assert isinstance(clause, Terms)
    assert len(clause.hashes) == 500


def test_the_clinical_date_bounds_the_walk() -> None:
    bounds = [clause for clause in made("Observation", "date=2024-05").clauses if isinstance(clause, ClinicalDate)]
    assert len(bounds) == 1
    assert bounds[0].least is not None
    assert bounds[0].below is not None


def test_the_policy_is_on_every_alias() -> None:
    policy = Compartment(ids.patient_hash("ana"), ids.compartment_term("ana"))
    for query in ("code=x", "patient.family=x", "has-member.code=x", "_has:DiagnosticReport:result:code=x"):
        found = made("Observation", query, PATIENT)
        assert policy in found.clauses
        text, parameters = sql.page(found, 20)
        aliases = text.count("FROM resource ")
        assert list(parameters).count(ids.patient_hash("ana")) == aliases
    text, parameters = sql.page(made("Patient", "_has:Observation:patient:code=some", PATIENT, CHARTS), 20)
    assert list(parameters).count(ids.patient_hash("ana")) == text.count("FROM resource ") == 2
    assert policy not in made("Observation", "patient=ana", PATIENT).clauses  # the chart implies it
    assert policy in made("Observation", "patient=eva", PATIENT).clauses


def test_a_chain_with_many_targets_is_a_hashed_filter() -> None:
    few, many = made("Observation", "has-member.code=rare"), made("Observation", "has-member:Observation.code=frequent")
    chains = [clause for found in (few, many) for clause in found.clauses if isinstance(clause, Chain)]
    assert chains[-1].large
    assert many.leads == plan.WALK
    hashed = "&&" not in sql.page(many, 20)[0]
    assert hashed != citus.distributed()


def test_links_to_the_deciding_patient_compare_the_column() -> None:
    (chain,) = (c for c in made("Observation", "patient.family=x").clauses if isinstance(c, Chain))
    assert chain.through_pat
    (has,) = (c for c in made("Patient", "_has:Observation:patient:code=x").clauses if isinstance(c, Has))
    assert has.through_pat
    (has,) = (c for c in made("Patient", "_has:Observation:performer:code=x").clauses if isinstance(c, Has))
    assert not has.through_pat


@pytest.mark.parametrize(
    ("query", "leads", "asked", "at_once"),
    [
        ("_has:Observation:patient:code=some", plan.WALK, True, True),
        ("_has:Observation:patient:code=some&gender=female", plan.WALK, True, True),
        ("_has:Observation:patient:code=some&_sort=-_lastUpdated", plan.WALK, True, True),
        ("_has:Observation:patient:code=some&name=x", plan.SET, True, False),  # the few who have that name
        ("_has:Observation:patient:code=some&_sort=family", plan.SET, False, False),  # all matches are needed
        ("_has:Observation:patient:code=rare", plan.SET, False, False),
        ("_has:Condition:patient:code=often", plan.WALK, True, False),  # charts with few of them are read
        ("_has:Condition:patient:code=often&gender=female", plan.WALK, True, False),
        ("_has:Condition:patient:code=often&_count=1000", plan.SET, False, False),
    ],
)
def test_the_cheaper_of_asking_patients_and_gathering(query: str, leads: str, asked: bool, at_once: bool) -> None:
    found = made("Patient", query, statistics=CHARTS)
    (has,) = (clause for clause in found.clauses if isinstance(clause, Has))
    assert (found.leads, has.large, found.batched is not None) == (leads, asked, at_once)
    assert found.generic == asked
    assert ("WITH RECURSIVE" in sql.page(found, 20)[0]) == (at_once and not citus.distributed())


def test_a_total_gathers_what_a_page_asks_of_patients() -> None:
    found = made("Patient", "_has:Observation:patient:code=some", statistics=CHARTS)
    assert [clause.large for clause in found.counted if isinstance(clause, Has)] == [False]


@pytest.mark.parametrize(
    ("resource_type", "query"),
    [
        ("Patient", "name=a&birthdate=ge1980&gender:not=male&_sort=-family,birthdate"),
        ("Observation", "code=a,b&value-quantity=5.4||mg&date=ap2020&_sort=code"),
        ("Observation", "component-code-value-quantity=a$gt5&code-value-concept=a$b&code-value-string=a$b"),
        ("Observation", "subject:identifier=a|b&has-member.code=x&patient.organization.name=y"),
        ("Patient", "_has:Observation:patient:_has:Provenance:target:recorded=2020&_list=1"),
        ("Location", "near=4.7|-74|20|km&_text=a&_content=b%25"),
        ("ValueSet", "url:below=http://a.example/b&url:above=http://a.example/b&_lastUpdated=ge2020&_sort=url"),
        ("MolecularSequence", "chromosome-variant-coordinate=1$lt50$gt20"),
        ("Patient", "_filter=name%20co%20ana%20and%20not%20(birthdate%20po%201980%20or%20gender%20eq%20male)"),
    ],
)
def test_every_kind_of_clause_is_sql_that_postgresql_plans(resource_type: str, query: str) -> None:
    found = made(resource_type, query)
    for text, parameters in (sql.page(found, 20), sql.total(found), sql.bounded_total(found, 100)):
        assert database.fetch(f"EXPLAIN {text}", parameters)
