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

from bench import client, cpu, report

LINES = ("read", "create", "update", "search", "transaction")


def test_it_runs_from_nothing() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DATABASE_URL")}
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick"],
        cwd=settings.BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    for name in LINES:
        assert re.search(rf"^\| {name} +\| +4 \| +[0-9,]+ \| +[0-9,]+ \|", done.stdout, re.MULTILINE), done.stdout
    assert "/" + str(settings.BASE_DIR).strip("/") not in done.stdout


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

    before = cpu.seconds(os.getpid())
    thread = threading.Thread(target=burn)
    thread.start()
    burnt.wait()
    time.sleep(0.2)
    after = cpu.seconds(os.getpid())
    seen.set()
    key = (os.getpid(), thread.native_id)
    assert key in after
    assert 0.19 < cpu.between({}, {key: after[key]}) < 0.25
    assert cpu.between(before, after) >= after[key]


def test_tables_are_markdown() -> None:
    made = report.table(("name", "value"), [["a", "1"], ["longer", "22"]])
    assert made.splitlines() == ["| name   | value |", "| ------ | ----: |", "| a      |     1 |", "| longer |    22 |"]
