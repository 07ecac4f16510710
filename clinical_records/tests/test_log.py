"""Log lines hold what happened and where, never what patients told their doctor."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.db import connection

from clinical_records.log import JsonFormatter, NoRefusals, PlainFormatter
from clinical_records.request_id import current_request_id
from clinical_records.testing import ApiClient

NAME = "Anastasia-Quintana"


def record_of(raising: Callable[[], Any]) -> logging.LogRecord:
    """What logger.exception would make of it."""
    try:
        raising()
    except Exception as error:
        info: Any = (type(error), error, error.__traceback__)
        return logging.LogRecord("fhir", logging.ERROR, __file__, 1, "It failed", (), info)
    raise AssertionError("nothing was raised")


def wrong_statement() -> None:
    with connection.cursor() as cursor:
        cursor.execute("select %s::int", [NAME])


@pytest.mark.parametrize("formatter", [JsonFormatter(), PlainFormatter()])
def test_a_database_error_shows_its_sqlstate_and_no_value(database: None, formatter: logging.Formatter) -> None:
    line = formatter.format(record_of(wrong_statement))
    assert "SQLSTATE 22P02" in line
    assert "wrong_statement" in line
    assert NAME not in line


def test_psycopg_errors_too() -> None:
    def raising() -> None:
        raise psycopg.errors.UniqueViolation(f"Key (name)=({NAME}) already exists")

    assert NAME not in JsonFormatter().format(record_of(raising))


def test_json_lines_carry_the_request() -> None:
    mark = current_request_id.set("0b5d3f8e-6f0f-4c0e-9d7e-0d5f4f1d2c3b")
    try:
        line = JsonFormatter().format(logging.LogRecord("a", logging.INFO, "", 1, "%s ñ", ("text",), None))
    finally:
        current_request_id.reset(mark)
    found = json.loads(line)
    assert found["text"] == "text ñ"
    assert found["request"] == "0b5d3f8e-6f0f-4c0e-9d7e-0d5f4f1d2c3b"
    assert "\n" not in line


def test_refusals_are_left_out_and_failures_are_not() -> None:
    def line(level: int) -> logging.LogRecord:
        return logging.LogRecord("django.request", level, "", 1, "Not Found: /fhir/R4/Patient/1", (), None)

    assert not NoRefusals().filter(line(logging.WARNING))
    assert NoRefusals().filter(line(logging.ERROR))


def test_a_search_leaves_no_name_in_the_log(api: Callable[..., ApiClient], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    kept = [record for record in _search(api, caplog) if NoRefusals().filter(record)]
    assert NAME not in "".join(JsonFormatter().format(record) for record in kept if record.name != "django.db.backends")


def _search(api: Callable[..., ApiClient], caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    client = api()
    assert client.get(f"Patient?name={NAME}").status_code == 200
    assert client.get(f"Patient?nonsense={NAME}").status_code == 400
    return caplog.records
