"""`_explain=true` says how a search is answered, to administrators only (docs/search.md)."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from audit.models import AuditRecord
from fhir.search import custom


def told(answer: Any) -> dict[str, str]:
    """The explanation in a Bundle: text by label."""
    assert answer.status_code == 200, answer.content
    outcomes = [e["resource"] for e in answer.json()["entry"] if e["search"]["mode"] == "outcome"]
    assert [o["resourceType"] for o in outcomes] == ["OperationOutcome"]
    return {issue["details"]["text"]: issue["diagnostics"] for issue in outcomes[0]["issue"]}


@pytest.fixture
def administrator(api: Any) -> Any:
    return api(role="administrator")


ENGLISH = {"Accept-Language": "en"}


def test_the_parts_of_an_answer_are_told(administrator: Any) -> None:
    secret = f"zz{uuid4().hex}"
    made = administrator.post("Patient", {"resourceType": "Patient", "identifier": [{"value": secret}]}).json()["id"]
    answer = administrator.get(f"Patient?identifier={secret}&_explain=true", headers=ENGLISH)
    said = told(answer)
    assert set(said) == {"Clauses", "Policy", "Plan", "Statement", "Execution"}
    assert "Terms(identifier, 1 hashes)" in said["Clauses"]
    assert "leads: set" in said["Plan"]
    assert "$1" in said["Statement"] and "%s" not in said["Statement"]
    assert "1 tasks" in said["Execution"] and "resource" in said["Execution"]
    assert secret not in str(said)
    matches = [e["resource"]["id"] for e in answer.json()["entry"] if e["search"]["mode"] == "match"]
    assert matches == [made]


def test_a_count_is_explained_too(administrator: Any) -> None:
    assert "count(*)" in told(administrator.get("Patient?_summary=count&_explain=true", headers=ENGLISH))["Statement"]


def test_it_is_audited(administrator: Any) -> None:
    tag = uuid4().hex
    administrator.get(f"Patient?_tag={tag}&_explain=true")
    assert AuditRecord.objects.filter(query__contains=tag, query__endswith="_explain=true").count() == 1


@pytest.mark.parametrize("role", ["practitioner", "patient"])
def test_others_are_refused(api: Any, role: str) -> None:
    patient = api(role="administrator").post("Patient", {"resourceType": "Patient"}).json()["id"]
    answer = api(role=role, fhir_user=f"Patient/{patient}").get("Patient?_explain=true")
    assert answer.status_code == 403
    assert "entry" not in answer.json()


def test_other_values_are_refused(administrator: Any) -> None:
    assert administrator.get("Patient?_explain=maybe").status_code == 400


@pytest.fixture
def impatient(administrator: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Statements that run longer than a millisecond are stopped, and there is enough to read for that."""
    monkeypatch.setattr(custom, "CHECK_SECONDS", 3600.0)  # of many shards even this look takes longer
    monkeypatch.setattr(custom, "_watched_until", 0.0)
    custom.refresh(now=True)
    tag = uuid4().hex
    narrative = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">' + "x " * 20000 + "</div>"}
    for _number in range(12):
        body = {"resourceType": "Basic", "code": {"text": "x"}, "meta": {"tag": [{"code": tag}]}, "text": narrative}
        assert administrator.post("Basic", body).status_code == 201
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = '1ms'")
        yield administrator, tag
        cursor.execute("RESET statement_timeout")


def test_what_takes_too_long_is_503_with_the_hint(impatient: Any) -> None:
    client, tag = impatient
    answer = client.get(f"Basic?_tag={tag}&_text=nowhere", headers=ENGLISH)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    issues = answer.json()["issue"]
    assert [issue["code"] for issue in issues] == ["timeout", "informational"]
    assert "_explain=true" in issues[1]["details"]["text"]
