"""`manage.py load`: what files may hold, what becomes of it, and what is said about what is refused."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from fhir import ids, json
from fhir.definitions.structure import TYPE_NUMBER
from fhir.management import sources
from fhir.management.commands import load as command
from fhir.models import Content, History, LoadCheckpoint, Resource

ENCOUNTER_CLASS = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"}


@pytest.fixture
def write(tmp_path):
    """`write(name, *resources)` makes a file: NDJSON, or one JSON document where the name ends so."""

    def make(name, *resources, text=None):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = b"\n".join(map(json.dumps, resources)) if text is None else text
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return str(path)

    return make


def load(*files, **options):
    """(exit status, what was said, what was complained about)."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("load", *files, stdout=out, stderr=err, verbosity=0, **options)
    except SystemExit as stop:
        return stop.code, out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


def patient(**elements):
    return {"resourceType": "Patient", "id": ids.new_id(), "name": [{"family": "Rojas"}], **elements}


def observation(subject, **elements):
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": subject},
        **elements,
    }


def body(resource_id):
    return json.loads(Content.objects.get(id=resource_id).body)


def bundle(kind, *entries):
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def posted(resource_type, **elements):
    """An entry that creates."""
    resource = {"resourceType": resource_type, **elements}
    return {"resource": resource, "request": {"method": "POST", "url": resource_type}}


def unique():
    return {"system": "urn:test", "value": str(uuid4())}


def found(resource_type, value):
    """The contents of a type that hold this text somewhere."""
    return list(Content.objects.filter(type=TYPE_NUMBER[resource_type], body__contains=value))


def test_it_loads_lines_with_ids_and_without(database, write):
    ana, mark = patient(), unique()
    path = write("a.ndjson", ana, observation(f"Patient/{ana['id']}", identifier=[mark]))
    status, said, _ = load(path)
    assert status == 0
    assert "2" in said
    assert body(ana["id"])["name"] == ana["name"]
    (stored,) = found("Observation", mark["value"])
    assert stored.bucket == ids.bucket_of(ana["id"])


@pytest.mark.parametrize("name", ["a.json", "a.json.gz", "a.ndjson.gz", "a.jsonl", "noname"])
def test_it_reads_json_and_ndjson_packed_or_not(database, write, name):
    ana = patient()
    assert load(write(name, ana))[0] == 0
    assert body(ana["id"])["name"] == ana["name"]


def test_it_reads_json_of_several_lines(database, write):
    ana = patient()
    text = f'{{\n  "resourceType": "Patient",\n  "id": "{ana["id"]}",\n  "active": true\n}}\n'.encode()
    assert load(write("a.json", text=text))[0] == 0
    assert body(ana["id"])["active"] is True


def test_it_searches_folders(database, write, tmp_path):
    ana, bruno, nobody = patient(), patient(), patient()
    write("charts/one.ndjson", ana)
    write("charts/deep/two.json.gz", bruno)
    write("charts/readme.txt", nobody)
    assert load(str(tmp_path / "charts"))[0] == 0
    assert Resource.objects.filter(id__in=[ana["id"], bruno["id"], nobody["id"]]).count() == 2


def test_digits_stay(database, write):
    ana = ids.new_id()
    one = observation(f"Patient/{ana}", id=ids.new_id(ids.bucket_of(ana)))
    text = json.dumps(one)[:-1] + b',"valueQuantity":{"value":6.20,"unit":"%"}}'
    assert load(write("a.ndjson", text=text))[0] == 0
    assert '"value":6.20' in Content.objects.get(id=one["id"]).body


def test_a_resource_that_exists_is_updated(database, write):
    ana = patient()
    assert load(write("a.ndjson", ana))[0] == 0
    assert load(write("b.ndjson", {**ana, "name": [{"family": "Mejía"}]}))[0] == 0
    assert body(ana["id"])["name"] == [{"family": "Mejía"}]
    assert body(ana["id"])["meta"]["versionId"] == "2"
    assert History.objects.filter(id=ana["id"]).count() == 1


def test_the_same_id_twice_in_a_file_makes_two_versions(database, write):
    ana = patient()
    load(write("a.ndjson", ana, {**ana, "active": False}))
    assert body(ana["id"])["meta"]["versionId"] == "2"
    assert body(ana["id"])["active"] is False


def test_an_id_that_is_not_the_patients_is_found_again(database, write):
    ana, foreign = patient(), f"obs-{uuid4()}"
    one = observation(f"Patient/{ana['id']}", id=foreign)
    load(write("a.ndjson", ana, one))
    load(write("b.ndjson", {**one, "status": "amended"}))
    assert Resource.objects.filter(id=foreign).values_list("version", "bucket").get() == (2, ids.bucket_of(ana["id"]))


def test_a_transaction_is_stored_whole(database, write):
    mark, urn = unique(), f"urn:uuid:{uuid4()}"
    entries = [
        {"fullUrl": urn, "resource": {"resourceType": "Patient", "identifier": [mark]},
         "request": {"method": "POST", "url": "Patient"}},
        {"resource": observation(urn, identifier=[mark]), "request": {"method": "POST", "url": "Observation"}},
    ]  # fmt: skip
    assert load(write("a.json", bundle("transaction", *entries)))[0] == 0
    (stored,), (ana,) = found("Observation", mark["value"]), found("Patient", mark["value"])
    assert json.loads(stored.body)["subject"]["reference"] == f"Patient/{ana.id}"
    assert stored.bucket == ana.bucket


def test_a_transaction_is_refused_whole(database, write):
    mark = unique()
    entries = [
        {
            "resource": {"resourceType": "Patient", "identifier": [mark]},
            "request": {"method": "POST", "url": "Patient"},
        },
        posted("Observation"),
    ]
    ana = patient()
    status, _, complaints = load(write("a.ndjson", bundle("transaction", *entries), ana))
    assert status == 1
    assert "a.ndjson:1 Bundle" in complaints
    assert not found("Patient", mark["value"])
    assert Resource.objects.filter(id=ana["id"]).exists()


def test_entries_of_a_batch_stand_alone(database, write):
    mark, ana = unique(), patient()
    entries = [
        posted("Patient", identifier=[mark]),
        posted("Observation"),
        {"resource": ana, "request": {"method": "PUT", "url": f"Patient/{ana['id']}"}},
        {"resource": {"resourceType": "Patient", "identifier": [mark]},
         "request": {"method": "POST", "url": "Patient", "ifNoneExist": f"identifier=urn:test|{mark['value']}"}},
    ]  # fmt: skip
    status, said, complaints = load(write("a.json", bundle("batch", *entries)))
    assert status == 1
    assert "Observation" in complaints
    assert len(found("Patient", mark["value"])) == 1
    assert body(ana["id"])["name"] == ana["name"]


def test_a_collection_is_its_resources(database, write):
    ana, wrong = patient(), {"resourceType": "Observation", "id": ids.new_id()}
    status, _, complaints = load(write("a.json", bundle("collection", {"resource": ana}, {"resource": wrong})))
    assert status == 1
    assert wrong["id"] in complaints
    assert Resource.objects.filter(id=ana["id"]).exists()
    assert not Resource.objects.filter(id=wrong["id"]).exists()


def test_resources_of_a_collection_that_name_each_other_by_urn_are_tied(database, write):
    mark, urn = unique(), f"urn:uuid:{uuid4()}"
    ana = {"resourceType": "Patient", "id": f"p-{uuid4()}", "identifier": [mark]}
    one = observation(urn, identifier=[mark])
    made = bundle("collection", {"fullUrl": urn, "resource": ana}, {"resource": one})
    assert load(write("a.json", made))[0] == 0
    (stored,) = found("Observation", mark["value"])
    assert json.loads(stored.body)["subject"]["reference"] == f"Patient/{ana['id']}"


def test_other_bundles_are_refused(database, write):
    status, _, complaints = load(write("a.json", bundle("history")))
    assert status == 1
    assert "history" in complaints


def test_what_is_refused_is_reported_with_its_reasons(database, write, tmp_path):
    ana, wrong = patient(), observation("Patient/x", id=ids.new_id(), status="nonsense")
    report = tmp_path / "refused.ndjson"
    text = b"\n".join([json.dumps(ana), b"", b"{not json", json.dumps(wrong), b'{"resourceType":"Nothing"}'])
    status, _, _ = load(write("a.ndjson", text=text), report=str(report))
    lines = [json.loads(line) for line in report.read_bytes().splitlines()]
    assert status == 1
    assert sorted((line["line"], line["type"], line["id"]) for line in lines if line["line"] != 3) == [
        (4, "Observation", wrong["id"]),
        (5, "Nothing", None),
    ]
    assert {line["line"] for line in lines} == {3, 4, 5}
    assert all(line["outcome"]["resourceType"] == "OperationOutcome" for line in lines)
    assert all(line["outcome"]["issue"][0]["details"]["text"] for line in lines)
    assert Resource.objects.filter(id=ana["id"]).exists()


def test_refusals_among_updates_and_creates_stop_nobody_else(database, write):
    people = [patient() for _ in range(9)]
    load(write("a.ndjson", *people))
    mark = unique()
    changed = [{**each, "active": True} for each in people]
    changed[4]["gender"] = "nonsense"
    nameless = [observation("Patient/x", identifier=[mark]), {"resourceType": "Observation"}]
    status, said, _ = load(write("b.ndjson", *changed, *nameless))
    assert status == 1
    versions = Resource.objects.filter(id__in=[each["id"] for each in people]).values_list("version", flat=True)
    assert sorted(versions) == [1] + [2] * 8
    assert len(found("Observation", mark["value"])) == 1


def test_lenient_exits_with_zero(database, write):
    assert load(write("a.ndjson", {"resourceType": "Observation", "id": ids.new_id()}), lenient=True)[0] == 0


def test_a_file_is_loaded_once_and_again_only_when_asked(database, write):
    mark = unique()
    path = write("a.ndjson", {"resourceType": "Patient", "identifier": [mark]})
    load(path)
    status, said, _ = load(path)
    assert status == 0
    assert "--again" in said
    assert len(found("Patient", mark["value"])) == 1
    load(path, again=True)
    assert len(found("Patient", mark["value"])) == 2


def forget(marks):
    """What has these identifiers was never stored: a row without its content would be damage, which a reindex finds."""
    for mark in marks:
        for content in Content.objects.filter(body__contains=mark["value"]):
            Resource.objects.filter(bucket=content.bucket, type=content.type, id=content.id).delete()
            Content.objects.filter(bucket=content.bucket, type=content.type, id=content.id).delete()


def test_it_goes_on_where_it_was_left(database, write, monkeypatch):
    marks = [unique() for _ in range(7)]
    path = write("a.ndjson", *({"resourceType": "Patient", "identifier": [mark]} for mark in marks))
    load(path)
    # As if it had been stopped behind the fifth line.
    forget(marks[5:])
    LoadCheckpoint.objects.filter(name=path).update(line=5, created=5, finished=False)
    status, said, _ = load(path)
    assert status == 0
    assert [len(found("Patient", mark["value"])) for mark in marks] == [1] * 7
    assert "7" in said


def test_it_goes_on_inside_a_batch(database, write):
    marks = [unique() for _ in range(4)]
    entries = [posted("Patient", identifier=[mark]) for mark in marks]
    path = write("a.json", bundle("batch", *entries))
    load(path)
    forget(marks[2:])
    LoadCheckpoint.objects.filter(name=path).update(part=1, finished=False)
    load(path)
    assert [len(found("Patient", mark["value"])) for mark in marks] == [1] * 4


def test_a_damaged_file_is_loaded_as_far_as_it_can_be_read(database, write, tmp_path):
    people = [patient(name=[{"text": str(uuid4())} for _ in range(40)]) for _ in range(200)]
    whole = gzip.compress(b"\n".join(map(json.dumps, people)))
    path = tmp_path / "a.ndjson.gz"
    path.write_bytes(whole[: len(whole) // 2])
    status, _, complaints = load(str(path))
    assert status == 1
    assert "a.ndjson.gz" in complaints
    assert 0 < Resource.objects.filter(id__in=[each["id"] for each in people]).count() < len(people)


def test_it_refuses_files_that_are_not_there(database, tmp_path):
    with pytest.raises(CommandError, match="nothing.ndjson"):
        load(str(tmp_path / "nothing.ndjson"))


def test_a_synthea_bundle_loads_with_all_its_references(database, shared_data, tmp_path):
    path = shared_data / "data" / "synthea" / "synthea-r4-dev.ndjson.gz"
    if not path.exists():
        pytest.skip(f"there is no {path}")
    with gzip.open(path) as file:
        first = file.readline()
    copy = tmp_path / "one.ndjson.gz"
    copy.write_bytes(gzip.compress(first))
    status, said, complaints = load(str(copy))
    assert (status, complaints) == (0, "")
    assert str(len(json.loads(first)["entry"])) in said


def test_a_file_that_another_process_loads_is_left_to_it(database, write, monkeypatch):
    path = write("a.ndjson", patient())
    lock = ids.hash64("load/" + sources.digest(Path(path)))
    monkeypatch.setattr(command, "LOCK_SECONDS", 0.2)
    with psycopg.connect(dsn()) as other:
        other.execute("SELECT pg_advisory_lock(%s::bigint)", (lock,))
        with pytest.raises(CommandError, match="a.ndjson"):
            load(path)
    assert load(path)[0] == 0


def dsn():
    at = connection.settings_dict
    return psycopg.conninfo.make_conninfo(
        host=at["HOST"], port=at["PORT"] or None, user=at["USER"], password=at["PASSWORD"] or None, dbname=at["NAME"]
    )
