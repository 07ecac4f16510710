"""Operations on Citus: which shards are asked for one chart, of however many there are."""

from __future__ import annotations

from typing import Any

import pytest

from clinical_records.testing import ApiClient
from fhir import citus, database, ids
from fhir.definitions.structure import TYPE_NUMBER
from fhir.operations import everything_sql

from .test_citus_tasks import client, made, observation, one_shard, patient, sent

pytestmark = pytest.mark.citus
__all__ = ["client"]  # a fixture


@pytest.fixture
def subject(client: ApiClient) -> str:  # noqa: F811
    assert citus.distributed()  # asked once in a process, of all shards
    found: str = made(client, patient())["id"]
    for _number in range(3):
        made(client, observation(found))
    return found


def test_lastn_and_meta(client: ApiClient, subject: str) -> None:  # noqa: F811
    one_shard(lambda: client.get(f"Observation/$lastn?patient={subject}&code=8867-4"), 200)
    one_shard(lambda: client.get(f"Patient/{subject}/$meta"), 200)
    label = {"name": "meta", "valueMeta": {"tag": [{"code": "x"}]}}
    parameters = {"resourceType": "Parameters", "parameter": [label]}
    one_shard(lambda: client.post(f"Patient/{subject}/$meta-add", parameters), 200)


def test_the_chart_of_everything(subject: str) -> None:
    """What lies with the patient, its dates and what it refers to: one shard for each of these questions."""
    root = everything_sql.Root(
        type=TYPE_NUMBER["Patient"],
        id=subject,
        bucket=ids.bucket_of(subject),
        pat=ids.patient_hash(subject),
        terms=(ids.compartment_term(subject),),
    )
    limits = everything_sql.Limits(types=frozenset(TYPE_NUMBER.values()), start=0.0)
    questions: list[tuple[str, Any]] = [
        everything_sql.head(root, body=True),
        everything_sql.walk(root, limits, None, 10),
        everything_sql.targets(root, limits, nearby=True),
    ]
    with sent() as tasks:
        answers = [database.fetch(*question) for question in questions]
    assert [len(rows) for rows in answers] == [1, 3, 1]
    assert len(tasks.shards()) == 1, "\n".join(tasks.commands)
