"""What Citus sends to its nodes: an interaction on one chart asks one shard, of however many there are."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import connection

from bench import layout_report, layouts, shapes
from bench import tasks as bench_tasks
from bench.tasks import sent
from clinical_records.testing import ApiClient, database_environment
from fhir import citus, database, ids, nodes, statement_places
from fhir.search import custom
from fhir.store_many import FEW_BUCKETS

pytestmark = pytest.mark.citus

SHARD_NAME = re.compile(r"_\d{6,}\b")
TABLE_NAME = re.compile(r"(\w+_)\d{6,}\b")


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
    """One shard is asked, and the texts of the statements say so: they pass while other nodes are in trouble."""
    statements: list[database.Statement] = []
    with pytest.MonkeyPatch.context() as patch, sent() as tasks:
        patch.setattr(nodes, "closed_to", lambda each: statements.extend(each))
        answer = send()
    assert answer.status_code in statuses, answer.content
    assert len(tasks.shards()) == 1, "\n".join(tasks.commands)
    places, _nodes = nodes._places()
    assert places is not None
    # What goes past Citus names the tables of its shard.
    statements = [(SHARD_NAME.sub("", text), parameters) for text, parameters in statements]
    distributed = [each for each in statements if places.tables.search(each[0])]
    buckets = [statement_places.buckets(*each) for each in distributed]
    assert distributed and all(buckets), [each for each, found in zip(distributed, buckets, strict=True) if not found]
    shards = {max(0, bisect_right(places.lowest, places.hashes[b]) - 1) for found in buckets for b in found}
    assert len(shards) == 1


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
    assert re.search(r"INSERT INTO (?:public\.)?range_index_", text)
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
        "Observation?patient={}&encounter.class=AMB",
        "Observation?patient={}&encounter.part-of.class=AMB&_count=0",
        "Observation?patient={}&_filter=not (encounter.class eq AMB)&_sort=-value-quantity",
    ],
)
def test_questions_to_a_chart(client: ApiClient, question: str) -> None:
    subject = made(client, patient())["id"]
    for _number in range(3):
        made(client, observation(subject))
    one_shard(lambda: client.get(question.format(subject)), 200)


def asked(send: Callable[[], Any]) -> list[str]:
    """The tasks of a search, those of its audit row apart: where that is of no patient, it lies anywhere."""
    with sent() as tasks:
        answer = send()
    assert answer.status_code == 200, answer.content
    assert answer.resource().get("entry"), answer.content
    return beside_audit(tasks)


def beside_audit(tasks: bench_tasks.Tasks) -> list[str]:
    """The tasks that ask for more than the audit row."""
    return [task for task in tasks.tasks if any(name != "audit_record_" for name in TABLE_NAME.findall(task))]


def practitioner() -> dict[str, Any]:
    return {"resourceType": "Practitioner", "identifier": [{"system": "urn:tasks", "value": str(uuid4())}]}


def test_an_identifier_is_asked_for_its_place(client: ApiClient) -> None:
    """One task says where it lies, one finds it there, whatever the number of shards."""
    value = made(client, patient())["identifier"][0]["value"]
    of_nobody = made(client, practitioner())["identifier"][0]["value"]
    assert len(asked(lambda: client.get(f"Patient?identifier=urn:tasks|{value}"))) == 2
    assert len(asked(lambda: client.get(f"Patient?identifier={value}"))) == 2
    assert len(asked(lambda: client.get(f"Practitioner?identifier={of_nobody}&_total=accurate"))) == 2


def test_ids_say_their_place(client: ApiClient) -> None:
    subject = made(client, patient())["id"]
    known = made(client, observation(subject))["id"]
    assert len(asked(lambda: client.get(f"Patient?_id={subject}"))) == 1
    # Its patient may have changed: its home is asked too.
    assert len(asked(lambda: client.get(f"Observation?_id={known}"))) == 2


def test_chains_by_patient_go_where_the_patient_is(client: ApiClient) -> None:
    subject = made(client, patient())
    made(client, observation(subject["id"]))
    value = subject["identifier"][0]["value"]
    assert len(asked(lambda: client.get(f"Observation?patient.identifier=urn:tasks|{value}&status=final"))) == 2
    assert len(asked(lambda: client.get(f"Observation?patient._id={subject['id']}&_sort=value-quantity"))) == 1


@pytest.mark.parametrize(
    "question",
    [
        "Patient/{}/Observation",
        "Patient/{}/Observation?date=ge2020&_sort=-date",
        "Patient/{}/*",
        "Patient/{}/$everything",
        "Patient/{}/$everything?_count=2",
        "Observation/$lastn?patient={}&code=8867-4",
        "Observation?patient={}&_sort=value-quantity",
        "Observation?patient={}&patient.family=Rojas",
        "Observation?patient={}&_include=Observation:subject",
        "Patient?_id={}&_revinclude=Observation:patient&_revinclude=Condition:subject",
    ],
)
def test_a_compartment_is_one_shard_where_nobody_else_names_the_patient(client: ApiClient, question: str) -> None:
    subject = made(client, patient())["id"]
    for _number in range(3):
        made(client, observation(subject))
    with sent() as tasks:
        answer = client.get(question.format(subject))
    assert answer.status_code == 200 and answer.resource()["entry"], answer.content
    assert (
        len({place for task in beside_audit(tasks) for place in bench_tasks.Tasks([task], tasks.places).shards()}) == 1
    )


def test_a_patient_is_asked_for_in_one_shard(client: ApiClient, api: Callable[..., ApiClient]) -> None:
    """And in the shards of those who name the patient, who have said so."""
    subject = made(client, patient())["id"]
    made(client, observation(subject))
    self = api(role="patient", fhir_user=f"Patient/{subject}")
    for question in (
        "Observation",
        "Observation?code=8867-4&_total=accurate",
        "Patient",
        "Observation?subject.active:missing=true",
    ):
        one_shard(lambda question=question: self.get(question), 200)  # type: ignore[misc]


def test_includes_are_asked_for_at_home(client: ApiClient) -> None:
    of_nobody = made(client, practitioner())["id"]
    subject = made(client, patient(generalPractitioner=[{"reference": f"Practitioner/{of_nobody}"}]))["id"]
    assert len(asked(lambda: client.get(f"Patient?_id={subject}&_include=Patient:general-practitioner"))) == 2


def shard_of(resource_id: str) -> int:
    """The number of the shard that a resource lies in at home."""
    with connection.cursor() as cursor:
        sql = "SELECT get_shard_id_for_distribution_column('resource', %s::int)"
        cursor.execute(sql, [ids.bucket_of(resource_id)])
        return int(cursor.fetchone()[0])


def test_a_bundle_over_many_patients_reaches_their_shards_alone(client: ApiClient) -> None:
    """A list of buckets is pruned in every statement: what it joins has the list too."""
    by_shard: dict[int, list[dict[str, Any]]] = {}
    while all(len(found) <= FEW_BUCKETS for found in by_shard.values()):
        known = made(client, observation(made(client, patient())["id"]))
        by_shard.setdefault(shard_of(known["id"]), []).append(known)
    resources = max(by_shard.values(), key=len)
    entries = [
        {
            "resource": {**each, "status": "amended"},
            "request": {"method": "PUT", "url": f"Observation/{each['id']}"},
        }
        for each in resources
    ]
    with sent() as tasks:
        answer = client.post("", {"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert answer.status_code == 200, answer.content
    updates = [task for task in tasks.tasks if "UPDATE public.resource_" in task]
    histories = [task for task in tasks.tasks if "INSERT INTO public.history_" in task]
    assert len(updates) == len(histories) == 1, "\n".join(tasks.tasks)


def test_a_conditional_create_asks_few_shards(client: ApiClient) -> None:
    """Where the identifier would be, and where nothing was found; then the row, and the place of the identifier."""
    resource = patient()
    condition = {"If-None-Exist": f"identifier=urn:tasks|{resource['identifier'][0]['value']}"}
    with sent() as tasks:
        assert client.post("Patient", resource, headers=condition).status_code == 201
    reads = [task for task in tasks.tasks if "SELECT" in task and "INSERT" not in task]
    assert len(reads) == 2, "\n".join(reads)


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


NEW_PATIENT = "transaction, one patient"


@pytest.mark.parametrize("name", [name for name in of_kind(shapes.READ, shapes.WRITE) if name != NEW_PATIENT])
def test_a_read_and_a_write_stay_in_one_shard(counts: dict[str, shapes.Count], name: str) -> None:
    assert counts[name].shards == 1, counts[name]


@pytest.fixture
def several_nodes(client: ApiClient) -> None:
    """What goes to another node is counted; of what one node does itself Citus does not tell all."""
    if database.here(0) is not None:
        pytest.skip("the database has one node only (set DATABASE_URL to that of a coordinator with workers)")


@pytest.mark.usefixtures("several_nodes")
def test_a_new_patient_is_written_to_one_shard_and_to_that_of_the_identifier(counts: dict[str, shapes.Count]) -> None:
    """Which may be the same one, as chance has it: it is told by their tasks."""
    assert counts[NEW_PATIENT].shards in (1, 2), counts[NEW_PATIENT]
    assert counts[NEW_PATIENT].tasks == "7", counts[NEW_PATIENT]


ONE_SHARD = ["compartment", "$everything", "patient, _revinclude", "the patient's own search"]


@pytest.mark.parametrize("name", ONE_SHARD)
def test_what_is_about_one_patient_asks_one_shard(counts: dict[str, shapes.Count], name: str) -> None:
    assert counts[name].shards == 1, counts[name]


@pytest.mark.parametrize("name", of_kind(shapes.READ, shapes.CHART))
def test_a_question_to_a_chart_is_one_task(counts: dict[str, shapes.Count], name: str) -> None:
    """Each of its statements, that is, the audit row's among them."""
    assert {task for trip in counts[name].trips for task in trip} == {1}, counts[name]


@pytest.mark.usefixtures("several_nodes")
def test_the_documentation_has_what_is_counted(counts: dict[str, shapes.Count]) -> None:
    """`python -m bench --tasks` writes the table anew."""
    text = (settings.BASE_DIR / "docs" / "distribution.md").read_text("utf-8")
    assert layout_report.differences(text, counts) == []
