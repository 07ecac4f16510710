"""`manage.py generate_charts`: into a file or the database, the same each time."""

from __future__ import annotations

import gzip
import io

import pytest
from django.core.management import CommandError, call_command

from fhir import json
from fhir.charts import chart, facility
from fhir.definitions.structure import TYPE_NUMBER
from fhir.models import Content, Resource


def generate(**options):
    out = io.StringIO()
    call_command("generate_charts", stdout=out, **{"verbosity": 0, **options})
    return out.getvalue()


def test_it_writes_a_file_of_the_same_bytes_each_time(tmp_path):
    first, second, packed = tmp_path / "a.ndjson", tmp_path / "b.ndjson", tmp_path / "c.ndjson.gz"
    for path in (first, second, packed):
        generate(patients=2, seed=5, output=str(path))
    assert first.read_bytes() == second.read_bytes() == gzip.decompress(packed.read_bytes())
    ids_in_order = [json.loads(line)["id"] for line in first.read_bytes().splitlines()]
    assert ids_in_order == [r["id"] for r in facility(5) + chart(5, 0) + chart(5, 1)]


def test_a_packed_file_has_the_same_bytes_each_time(tmp_path):
    first, second = tmp_path / "a.ndjson.gz", tmp_path / "b.ndjson.gz"
    generate(patients=1, seed=5, output=str(first))
    generate(patients=1, seed=5, output=str(second))
    assert first.read_bytes() == second.read_bytes()


def test_it_counts_by_type(tmp_path):
    text = generate(patients=2, seed=5, output=str(tmp_path / "a.ndjson"), verbosity=1)
    assert "Patient                        2\n" in text


def test_a_second_run_adds_nothing_and_more_patients_extend_the_first(database):
    generate(patients=2, seed=8101)
    expected = facility(8101) + chart(8101, 0) + chart(8101, 1)
    stored = Resource.objects.filter(id__in=[r["id"] for r in expected])
    assert stored.count() == len(expected)
    again = generate(patients=2, seed=8101)
    assert f"{len(expected)}" in again
    assert set(stored.values_list("version", flat=True)) == {1}
    generate(patients=3, seed=8101)
    assert Resource.objects.filter(id__in=[r["id"] for r in chart(8101, 2)]).count() == len(chart(8101, 2))


def test_a_stored_chart_has_every_digit_and_its_patients_bucket(database):
    generate(patients=1, seed=8102)
    written = chart(8102, 0)
    bodies = {c.id: json.loads(c.body) for c in Content.objects.filter(id__in=[r["id"] for r in written])}
    for resource in written:
        stored = bodies[resource["id"]]
        del stored["meta"]
        assert json.dumps(stored) == json.dumps(json.loads(json.dumps(resource)))
    rows = Resource.objects.filter(id__in=[r["id"] for r in written])
    assert len(set(rows.values_list("bucket", "pat"))) == 1
    assert rows.filter(type=TYPE_NUMBER["Patient"]).count() == 1


def test_it_refuses_a_file_that_cannot_be_written(tmp_path):
    with pytest.raises(CommandError, match="nowhere"):
        generate(patients=1, output=str(tmp_path / "nowhere" / "a.ndjson"))


def test_it_refuses_a_negative_number():
    with pytest.raises(CommandError):
        generate(patients=-1)
