"""`manage.py load` killed in the middle, again and again: in the end everything is there, and nothing twice."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from uuid import uuid4

from django.conf import settings

from clinical_records.testing import database_environment
from fhir import json
from fhir.models import Content, LoadCheckpoint

LINES = 1200


def lines(mark):
    """Resources without ids, transactions and batches: none of them could be sent twice without harm."""
    for number in range(LINES):
        patient = {"resourceType": "Patient", "identifier": [{"system": mark, "value": f"{number}."}]}
        request = {"method": "POST", "url": "Patient"}
        if number % 10 == 3:
            yield {
                "resourceType": "Bundle",
                "type": "transaction" if number % 20 == 3 else "batch",
                "entry": [{"resource": patient, "request": request}],
            }
        else:
            yield patient


def start(path):
    return subprocess.Popen(
        [sys.executable, "manage.py", "load", str(path), "-v0"],
        cwd=settings.BASE_DIR,
        env={**os.environ, **database_environment(), "DEMO_MODE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def test_a_killed_load_goes_on_without_losing_or_repeating(database, tmp_path):
    mark = f"urn:test:{uuid4()}"
    path = tmp_path / "killed.ndjson"
    path.write_bytes(b"\n".join(map(json.dumps, lines(mark))))
    kills, seen = 0, 0
    while True:
        process = start(path)
        while process.poll() is None and _line(path) <= seen:
            time.sleep(0.005)
        if process.poll() is None:
            process.kill()
            kills += 1
        status, complaint = process.wait(), process.stderr.read()
        assert status in (0, -9), complaint.decode()
        if status == 0:
            break
        # Some more is to be stored before the next kill, so that the test ends.
        seen = _line(path) + LINES // 4
    stored = Content.objects.filter(body__contains=mark).values_list("body", flat=True)
    numbers = sorted(int(float(json.loads(body)["identifier"][0]["value"])) for body in stored)
    assert numbers == list(range(LINES))
    assert kills >= 2
    assert LoadCheckpoint.objects.get(name=str(path)).created == LINES


def _line(path):
    found = LoadCheckpoint.objects.filter(name=str(path)).values_list("line", flat=True)
    return found[0] if found else 0
