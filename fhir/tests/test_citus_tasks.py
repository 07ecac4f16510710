"""What Citus sends to its nodes: an interaction on one chart asks one shard, of however many there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from bench import layouts, shapes
from bench.tasks import sent
from clinical_records.testing import ApiClient, database_environment
from fhir import citus
from fhir.search import custom

pytestmark = pytest.mark.citus


@pytest.fixture
def client(api: Callable[..., ApiClient], monkeypatch: pytest.MonkeyPatch) -> ApiClient:
    """Logged in. Every two seconds a process looks for new search parameters, in all shards: not during the test."""
    if not citus.has_citus(connection):
        pytest.skip("the database has no Citus extension (set DATABASE_URL to that of a coordinator)")
    monkeypatch.setattr(custom, "CHECK_SECONDS", 3600.0)
    monkeypatch.setattr(custom, "_watched_until", 0.0)
    custom.refresh(now=True)
    return api()


def patient(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "identifier": [{"system": "urn:tasks", "value": str(uuid4())}],
        "name": [{"family": "Rojas"}],
        **more,
    }


def observation(subject: str) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
        "subject": {"reference": f"Patient/{subject}"},
        "effectiveDateTime": "2024-03-01T10:00:00Z",
        "valueQuantity": {"value": 72, "unit": "/min", "system": "http://unitsofmeasure.org", "code": "/min"},
    }


def made(client: ApiClient, resource: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(resource["resourceType"], resource)
    assert answer.status_code == 201, answer.content
    return answer.resource()


def one_shard(send: Callable[[], Any], *statuses: int) -> None:
    with sent() as tasks:
        answer = send()
    assert answer.status_code in statuses, answer.content
    assert len(tasks.shards()) == 1, "\n".join(tasks.commands)


def test_a_search_of_all_charts_asks_every_shard(client: ApiClient) -> None:
    """The witness sees more than one shard where there is more than one."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT shard_count FROM citus_tables WHERE table_name = 'resource'::regclass")
        (count,) = cursor.fetchone()
    with sent() as tasks:
        assert client.get("Observation?code=http://loinc.org|8867-4&_total=accurate").status_code == 200
    assert len(tasks.shards()) == count > 1


def test_a_single_write_is_no_two_phase_commit(client: ApiClient) -> None:
    """What Citus copies to a shard it prepares; rows of VALUES it sends as they are."""
    subject = made(client, patient())["id"]
    with sent() as tasks:
        known = made(client, observation(subject))
        assert client.put(f"Observation/{known['id']}", {**known, "status": "amended"}).status_code == 200
    text = "\n".join(tasks.commands)
    assert "INSERT INTO public.range_index_" in text
    assert "PREPARE" not in text and "COPY" not in text


def test_writes_and_reads_of_a_chart(client: ApiClient) -> None:
    subject = made(client, patient())["id"]
    one_shard(lambda: client.post("Observation", observation(subject)), 201)
    known = made(client, observation(subject))
    where = f"Observation/{known['id']}"
    one_shard(lambda: client.get(where), 200)
    one_shard(lambda: client.put(where, {**known, "status": "amended"}), 200)
    one_shard(lambda: client.get(f"{where}/_history/1"), 200)
    one_shard(lambda: client.get(f"{where}/_history"), 200)
    one_shard(lambda: client.get(f"{where}/_history?_at=2030-01-01"), 200)
    change = [{"op": "replace", "path": "/status", "value": "final"}]
    kind = {"Content-Type": "application/json-patch+json"}
    one_shard(lambda: client.patch(where, change, headers=kind), 200)
    one_shard(lambda: client.delete(where), 200, 204)
    one_shard(lambda: client.put(where, known), 200, 201)


@pytest.mark.parametrize(
    "question",
    [
        "Observation?patient={}&_sort=-date",
        "Observation?patient={}&code=http://loinc.org|8867-4&date=ge2020",
        "Observation?subject=Patient/{}&value-quantity=gt60||/min",
        "Observation?patient={}&_total=accurate&_count=1",
    ],
)
def test_questions_to_a_chart(client: ApiClient, question: str) -> None:
    subject = made(client, patient())["id"]
    for _number in range(3):
        made(client, observation(subject))
    one_shard(lambda: client.get(question.format(subject)), 200)


@pytest.fixture(scope="module")
def counts(django_db_setup: None, django_db_blocker: Any) -> dict[str, shapes.Count]:
    """What every shape of question sends, in a database of its own with eight shards: on few, all may be some."""
    with django_db_blocker.unblock():
        if not citus.has_citus(connection):
            pytest.skip("the database has no Citus extension (set DATABASE_URL to that of a coordinator)")
        url = database_environment()["DATABASE_URL"]
    return layouts.counted(layouts.Server("cluster", url), shapes.COUNTED, lambda _text: None)


def of_kind(*kinds: str) -> list[str]:
    return [shape.name for shape in shapes.SHAPES if shape.kind in kinds]


@pytest.mark.parametrize("name", of_kind(shapes.READ, shapes.WRITE))
def test_a_read_and_a_write_stay_in_one_shard(counts: dict[str, shapes.Count], name: str) -> None:
    assert counts[name].shards == 1, counts[name]


ONE_TASK = (*of_kind(shapes.READ), "chart search", "chart search, total", "chart search, dates", "$lastn")


@pytest.mark.parametrize("name", ONE_TASK)
def test_a_question_to_a_chart_is_one_task(counts: dict[str, shapes.Count], name: str) -> None:
    """Each of its statements, that is, the audit row's among them."""
    assert {task for trip in counts[name].trips for task in trip} == {1}, counts[name]
