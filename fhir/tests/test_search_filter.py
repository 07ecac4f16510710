"""`_filter`, operator by operator (https://hl7.org/fhir/R4/search_filter.html#ops)."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

LOINC = "http://loinc.org"


class Ward:
    """Observations of one tag, by name."""

    def __init__(self, api: Any) -> None:
        self.client, self.tag, self.names = api(role="administrator"), uuid4().hex, dict[str, str]()
        self.make("lab", code=self.code("1-1"), category=[self.code("a", "u:x"), self.code("b", "u:x")])
        self.make("vital", code=self.code("x|y"), category=[self.code("a", "u:x")], valueString="Zoë says “ay”")
        self.make("none", code={"text": "?"}, effectiveDateTime="2024-05", valueString="alpha")

    def code(self, code: str, system: str = LOINC) -> dict[str, Any]:
        return {"coding": [{"system": system, "code": code}]}

    def make(self, name: str, **elements: Any) -> None:
        meta = {"tag": [{"system": "u:t", "code": self.tag}]}
        body = {"resourceType": "Observation", "status": "final", "meta": meta, **elements}
        answer = self.client.post("Observation", body)
        assert answer.status_code == 201, answer.content
        self.names[answer.json()["id"]] = name

    def ask(self, expression: str) -> Any:
        return self.client.get(f"Observation?_tag={self.tag}&_filter={quote(expression, safe='')}")


@pytest.fixture
def ward(api: Any) -> Ward:
    return Ward(api)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # Some value is another one: a resource without values has none.
        ("code ne http://loinc.org|1-1", {"vital", "none"}),
        ("category ne a", {"lab"}),
        ("category ne u:y|a", {"lab", "vital"}),
        ("value-string ne alpha", {"vital"}),
        ("date ne 2024-05", set()),
        ("status ne amended", {"lab", "vital", "none"}),
        # A word may hold what is escaped in a token; a JSON string doubles its backslash.
        (r"code eq loinc|x\|y", {"vital"}),
        (r'code eq "loinc|x\\|y"', {"vital"}),
        ('value-string co "zo\\u00eb"', {"vital"}),
        ('value-string co "\\"ay\\""', {"vital"}),
        # Texts by their first character.
        ("value-string gt b", {"vital"}),
        ("value-string le axe", {"none"}),
        # All of the period asked for, a part of it.
        ("date co 2024-05-31", {"none"}),
        ("date co 2024", set()),
        ("date po 2024", {"none"}),
        ("_lastUpdated po 2020", set()),
        ("_lastUpdated pr true", {"lab", "vital", "none"}),
        ("status ni http://hl7.org/fhir/ValueSet/administrative-gender", {"lab", "vital", "none"}),
    ],
)
def test_operators(ward: Ward, expression: str, expected: set[str]) -> None:
    answer = ward.ask(expression)
    assert answer.status_code == 200, answer.content
    assert {ward.names[entry["resource"]["id"]] for entry in answer.json().get("entry", ())} == expected


@pytest.mark.parametrize(
    "expression",
    [
        "date eq ge2024",  # a date begins with a digit
        r'code eq "a\|b"',  # no JSON string
        "patient ne Patient/1",
        "value-quantity co 5",
        "status gt a",
        "status eq |",
    ],
)
def test_what_has_no_meaning_is_refused(ward: Ward, expression: str) -> None:
    assert ward.ask(expression).status_code == 400
