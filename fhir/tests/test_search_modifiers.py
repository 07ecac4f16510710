"""The table of modifiers in docs/search.md, cell by cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

# For each type of parameter: a search that has it, as (resource type, parameter, value).
SAMPLES = {
    "token": ("Patient", "gender", "female"),
    "string": ("Patient", "family", "x"),
    "date": ("Patient", "birthdate", "1980"),
    "number": ("RiskAssessment", "probability", "0.5"),
    "quantity": ("Observation", "value-quantity", "5.4"),
    "reference": ("Observation", "subject", "Patient/1"),
    "uri": ("ValueSet", "url", "http://x.example/a/b"),
    "composite": ("Observation", "code-value-quantity", "a$5"),
    "special": ("Location", "near", "4.6|-74.1"),
}
# Where a modifier needs another parameter or value.
OTHERS = {
    (":of-type", "token"): ("Patient", "identifier", "http://x.example|MR|1"),
    (":in", "token"): ("Patient", "gender", "http://hl7.org/fhir/ValueSet/administrative-gender"),
    (":not-in", "token"): ("Patient", "gender", "http://hl7.org/fhir/ValueSet/administrative-gender"),
    (":above", "reference"): ("QuestionnaireResponse", "questionnaire", "http://x.example/a/b"),
    (":below", "reference"): ("QuestionnaireResponse", "questionnaire", "http://x.example/a/b"),
    (":identifier", "reference"): ("Observation", "subject", "http://x.example|1"),
    (":[type]", "reference"): ("Observation", "subject", "1"),
}


def _cells() -> list[tuple[str, str, str]]:
    """(modifier, type, what the documentation says)."""
    lines = (Path(settings.BASE_DIR) / "docs" / "search.md").read_text(encoding="utf-8").split("## Modifiers")[1]
    table = [line.strip("|").split("|") for line in lines.split("\n## ")[0].splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in row] for row in table]
    types = rows[0][1:]
    return [(row[0].strip("`"), kind, said) for row in rows[2:] for kind, said in zip(types, row[1:], strict=True)]


CELLS = _cells()


def test_the_table_is_about_every_type_and_modifier() -> None:
    assert {kind for _modifier, kind, _said in CELLS} == set(SAMPLES)
    assert len({modifier for modifier, _kind, _said in CELLS}) == 12
    assert len(CELLS) == 12 * 9


@pytest.mark.parametrize(("modifier", "kind", "said"), CELLS, ids=[f"{kind}{modifier}" for modifier, kind, _s in CELLS])
def test_a_cell_says_what_happens(api: Any, modifier: str, kind: str, said: str) -> None:
    resource_type, code, value = OTHERS.get((modifier, kind), SAMPLES[kind])
    written = ":Patient" if modifier == ":[type]" else modifier
    answer = api(role="administrator").get(
        f"{resource_type}?{code}{written}={'true' if modifier == ':missing' else value}"
    )
    assert answer.status_code == (200 if said else 400), answer.content
    if not said:
        assert answer.json()["issue"][0]["expression"] == [code]


@pytest.mark.parametrize("modifier", [":above", ":below"])
def test_references_that_are_no_canonicals_have_no_hierarchy(api: Any, modifier: str) -> None:
    assert api(role="administrator").get(f"Observation?subject{modifier}=Patient/1").status_code == 400
