"""Refusals: one shape, the right status, the caller's language, nothing of the inside."""

from __future__ import annotations

import re
from contextlib import nullcontext

import psycopg
import pytest

from fhir import database
from fhir.exceptions import Unavailable

INSIDE = re.compile(r"Traceback|File \"|\.py\b|psycopg|SELECT |FROM |relation|localhost:\d+")


@pytest.fixture
def client(api):
    return api(role="administrator")


def outcome(answer, status):
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"].startswith("application/fhir+json")
    body = answer.json()
    assert body["resourceType"] == "OperationOutcome"
    issue = body["issue"][0]
    assert issue["severity"] == "error"
    assert issue["code"]
    assert not INSIDE.search(answer.content.decode())
    return issue


def test_without_a_token_nobody_gets_in(client):
    client.access_token = None
    answer = client.get("Patient/1")
    outcome(answer, 401)
    assert answer["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b" ", "application/fhir+json", 400),
        (b"{", "application/fhir+json", 400),
        (b"[]", "application/fhir+json", 400),
        (b'{"resourceType":"Patient","gender":"male","gender":"female"}', "application/fhir+json", 400),
        (b'{"resourceType":"Patient","name":[{"family":"a\\u0000b"}]}', "application/fhir+json", 400),
        (b'{"resourceType":"Patient","name":[{"family":"a\\ud800b"}]}', "application/fhir+json", 400),
        (b'{"resourceType":"Patient","name":[{"family":"\xff"}]}', "application/fhir+json", 400),
        (b'{"resourceType":"Observation"}', "application/fhir+json", 400),
        (b'{"resourceType":"Patient","multipleBirthInteger":NaN}', "application/fhir+json", 400),
        (b"<Patient/>", "application/fhir+xml", 415),
        (b'{"resourceType":"Patient"}', "text/plain", 415),
        (b'{"resourceType":"Patient"}', "application/fhir+json; fhirVersion=3.0", 415),
        (b'{"resourceType":"Patient","gender":"robot"}', "application/fhir+json", 422),
        (b'{"resourceType":"Patient","extension":' + b'[{"url":"u","extension":' * 3000 + b"[]" + b"}]" * 3000 + b"}",
         "application/fhir+json", 413),
    ],
)  # fmt: skip
def test_bad_bodies(client, body, content_type, status):
    outcome(client.post("Patient", body, headers={"Content-Type": content_type}), status)


def test_the_words_are_in_the_language_of_the_caller(client):
    spanish = outcome(client.get("Patient/none", headers={"Accept-Language": "es-CO"}), 404)
    english = outcome(client.get("Patient/none", headers={"Accept-Language": "en-GB,es;q=0.5"}), 404)
    assert english["details"]["text"] == "There is no such record."
    assert spanish["details"]["text"] == "No existe ese registro."


@pytest.mark.parametrize("accept", ["image/png", "application/fhir+xml", "application/fhir+json; fhirVersion=3.0"])
def test_other_formats_are_not_acceptable(client, accept):
    outcome(client.get("Patient/1", headers={"Accept": accept}), 406)


@pytest.mark.parametrize(
    "accept", ["*/*", "application/json", "text/html,*/*;q=0.8", "", "application/fhir+json;fhirVersion=4.0"]
)
def test_json_is_acceptable(client, accept):
    outcome(client.get("Patient/none", headers={"Accept": accept}), 404)


def test_methods_that_do_not_exist_are_named(client):
    answer = client.delete("metadata")
    outcome(answer, 405)
    assert "GET" in answer["Allow"]


@pytest.mark.parametrize(
    "url", ["Nonsense", "Nonsense/1", "Patient/1/_history/1/2", "/fhir/R4/x/y/z", "Patient/$nothing"]
)
def test_unknown_urls(client, url):
    outcome(client.get(url), 404)


def test_a_body_over_the_limit_is_refused(client, settings):
    settings.FHIR_MAX_BODY_BYTES = settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 2000
    outcome(client.post("Patient", {"resourceType": "Patient", "name": [{"family": "x" * 3000}]}), 413)


def test_a_bundle_over_the_limit_is_refused(client, settings):
    settings.FHIR_MAX_BUNDLE_ENTRIES = 2
    entry = {"request": {"method": "GET", "url": "Patient/1"}}
    outcome(client.post("", {"resourceType": "Bundle", "type": "batch", "entry": [entry] * 3}), 413)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (psycopg.errors.DiskFull("no space left on device in /data"), 503),
        (psycopg.errors.AdminShutdown("terminating connection"), 503),
        (psycopg.OperationalError("connection to the remote node 10.0.0.1:5432 failed"), 503),
        (psycopg.errors.QueryCanceled("canceling statement due to statement timeout"), 503),
        (psycopg.errors.UndefinedTable('relation "secret" does not exist'), 500),
    ],
)
def test_failures_of_the_database_are_said_without_its_words(client, monkeypatch, error, status):
    real = database.raw()

    class Broken:
        closed, pgconn = False, real.pgconn

        def execute(self, *_args):
            raise error

        def pipeline(self):
            return nullcontext()

        def close(self):
            """Nothing to hang up."""

    monkeypatch.setattr(database, "raw", Broken)
    answer = client.get("Patient/1")
    issue = outcome(answer, status)
    assert "secret" not in issue["details"]["text"]
    assert ("Retry-After" in answer) == (status == 503)


def test_a_stopped_statement_leaves_the_connection_usable(client):
    with pytest.raises(Exception, match="took too long|demasiado"):
        database.batch([("SET statement_timeout = 20", ()), ("SELECT pg_sleep(1)", ())])
    database.fetch("RESET statement_timeout")
    assert database.fetch("SELECT 1") == [(1,)]


def test_what_follows_a_failed_statement_in_a_pipeline_is_not_taken_for_prepared(client):
    wrong, right = ("SELECT 1 / %s::int", (0,)), ("SELECT %s::int + 20240501", (1,))
    assert database.batch([right]) == [[(20240502,)]]
    for _again in range(3):
        with pytest.raises(psycopg.errors.DivisionByZero):
            database.batch([wrong, right])  # the second use: it is to be prepared, but skipped
        for _use in range(3):
            assert database.batch([right]) == [[(20240502,)]]


def test_a_node_that_is_lost_in_a_transaction_is_no_error_of_ours(client):
    lost = psycopg.errors.InternalError_("failure on connection marked as essential: 127.0.0.1:1")
    with pytest.raises(Unavailable):
        raise database._translated(lost, database.raw())


def test_a_hung_up_connection_is_replaced(client):
    pid = database.fetch("SELECT pg_backend_pid()")[0][0]
    info = database.raw().info
    with psycopg.connect(info.dsn, password=info.password, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s::int, 2000)", (pid,))
    assert client.post("Patient", {"resourceType": "Patient"}).status_code == 201
