"""The bench in its smallest form: it runs, its answers are right, and its client reads HTTP as it is sent."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time

import pytest
from django.conf import settings

from bench import __main__ as command
from bench import client, cpu, layout_report, population, queries, report, sampling, shapes
from fhir import ids

LINES = ("read", "create", "update", "search", "transaction")


def run(*options: str) -> str:
    """What the bench prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DATABASE_URL")}
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", *options],
        cwd=settings.BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "/" + str(settings.BASE_DIR).strip("/") not in done.stdout
    return done.stdout


def test_it_runs_from_nothing() -> None:
    told = run("--interactions")
    for name in LINES:
        assert re.search(rf"^\| {name} +\| +4 \| +[0-9,]+ \| +[0-9,]+ \|", told, re.MULTILINE), told


def test_every_search_is_measured_on_every_database() -> None:
    told = run("--search")
    for query in (*queries.PUBLIC, *queries.OWN):
        bare = "" if query.path == "metadata" else r"[0-9,.]+"
        line = rf"^\| {re.escape(query.name)} +\| +[0-9,.]+ \| +[0-9,.]+ \| +[0-9.]+ \| +{bare} \|"
        assert re.search(line, told, re.MULTILINE), (query.name, told)
    assert "failed" not in told, told
    assert "\n## What misses\n" in told


def test_a_part_of_the_searches_is_asked_with_what_it_is_compared_with() -> None:
    told = run("--search", "--only", "_has, ")
    for query in (*queries.PUBLIC, *queries.OWN):
        wanted = query.name.startswith("_has, ") or query.name in ("condition, plain", "HbA1c, plain")
        assert bool(re.search(rf"^\| {re.escape(query.name)} +\| +[0-9,.]+ \|", told, re.MULTILINE)) == wanted, told
    assert "failed" not in told, told


def test_a_part_of_the_results_is_replaced_and_the_other_stays() -> None:
    first = command.merged("", "One", "a\n\n## Under it\n\nb")
    both = command.merged(first, "Two", "c")
    assert both == "# One\n\na\n\n## Under it\n\nb\n\n# Two\n\nc\n"
    assert command.merged(both, "One", "new") == "# One\n\nnew\n\n# Two\n\nc\n"


def test_long_charts_are_the_same_ones_each_time_and_lie_together() -> None:
    chart, again = population.long_chart(3), population.long_chart(3)
    assert chart == again
    assert len(chart) >= population.RESOURCES
    assert len({resource["id"] for resource in chart}) == len(chart)
    assert {ids.bucket_of(resource["id"]) for resource in chart} == {ids.bucket_of(chart[0]["id"])}


def test_samples_fill_all_placeholders() -> None:
    values = sampling.samples(6, 3)
    assert len({each["patient"] for each in values}) == 3
    for query in (*queries.PUBLIC, *queries.OWN):
        for each in values:
            assert "{" not in query.url(each) and "%7B" not in query.url(each)


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: W/"1"\r\n\r\nhello', b"hello"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", b"hello"),
    ],
)
def test_the_client_reads_answers(answer: bytes, body: bytes) -> None:
    parsed = client.parse(answer)
    assert parsed.status == int(answer[9:12])
    assert parsed.body == body


def test_a_wrong_answer_is_an_error(live_server_url: str) -> None:
    def check(response: client.Response) -> None:
        assert response.status == 201

    request = client.Request(client.render("GET", "/health/live"), check)
    with pytest.raises(AssertionError):
        client.run(int(live_server_url.rsplit(":", 1)[1]), [request], 1)


def test_cpu_time_of_a_thread_is_seen() -> None:
    """What a thread burns counts, in the right measure, and its waiting does not."""
    burnt, seen = threading.Event(), threading.Event()

    def burn() -> None:
        end = time.thread_time() + 0.2
        while time.thread_time() < end:
            pass
        burnt.set()
        seen.wait()

    (before,) = cpu.seconds(os.getpid())
    thread = threading.Thread(target=burn)
    thread.start()
    burnt.wait()
    time.sleep(0.2)
    (after,) = cpu.seconds(os.getpid())
    seen.set()
    key = (os.getpid(), thread.native_id)
    assert key in after
    assert 0.19 < cpu.between({}, {key: after[key]}) < 0.25
    assert cpu.between(before, after) >= after[key]


def test_tables_are_markdown() -> None:
    made = report.table(("name", "value"), [["a", "1"], ["longer", "22"]])
    assert made.splitlines() == ["| name   | value |", "| ------ | ----: |", "| a      |     1 |", "| longer |    22 |"]


def test_tasks_are_told_by_shards() -> None:
    def count(*trips: tuple[int, ...], shards: int = 1) -> shapes.Count:
        return shapes.Count(trips, shards, 8, 0)

    assert (count((1,), (1, 1)).statements, count((1,), (1, 1)).tasks) == ("1+2", "3")
    assert count((8, 1), shards=8).tasks == "all + 1"
    assert count((19, 1), (8,), shards=8).tasks == "3 × all + 4"
    assert count((8,), shards=8).tasks == count((8,), shards=8).reached == "all"
    assert count((2,), shards=2).reached == "2"


def test_the_table_of_shapes_is_renewed_and_measured_figures_stay() -> None:
    counts = {shape.name: shapes.Count(((1,), (1,)), 1, 8, 2) for shape in shapes.SHAPES}
    text = f"before\n{layout_report.BEGIN}\n{layout_report.END}\nafter"
    first = layout_report.with_counts(text, counts)
    assert first.startswith("before\n") and first.endswith("\nafter")
    assert layout_report.differences(first, counts) == []
    measured = first.replace("| shards |", "| shards | plain ms |").replace("|      1 |", "|      1 | 7.25 |")
    changed = {**counts, "read": shapes.Count(((8,), (1,)), 8, 8, 9)}
    (difference,) = layout_report.differences(measured, changed)
    assert difference.startswith("read: ")
    again = layout_report.documented_rows(layout_report.with_counts(measured, changed))
    assert again["read"][2:] == ["1+1", "all + 1", "all", "7.25"]
    assert again["vread"][2:] == ["1+1", "2", "1", "7.25"]


def test_charts_that_are_read_and_charts_that_are_written_to_are_apart() -> None:
    hand = shapes.Hand(6)
    written = {shapes.chart(index)[0]["id"] for index in range(1, 6, 2)}
    for _number in range(20):
        assert hand.read()["id"] not in written
        assert {patient["id"] for patient in (hand.written(), *hand.apart(3))} <= written
    deleted = [hand.to_delete()["id"] for _number in range(12)]
    assert len(set(deleted)) == 12
    assert not {hand.to_update()["id"] for _number in range(12)} & set(deleted)
    for shape in shapes.SHAPES:
        assert shape.ask(hand).url.startswith(shapes.BASE)
