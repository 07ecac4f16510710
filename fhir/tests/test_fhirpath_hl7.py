"""HL7's own FHIRPath tests (repository FHIR/fhir-test-cases, r4/fhirpath/tests-fhir-r4.xml).

The files stay outside: set FHIR_TEST_CASES to the folder that holds the repository's `r4`. What does not pass is the
table of docs/fhirpath.md, exactly.
"""

from __future__ import annotations

import os
import re
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import pytest

from fhir.fhirpath.compiler import compile_typed
from fhir.fhirpath.environment import Environment
from fhir.fhirpath.exceptions import FhirPathError
from fhir.tests.fhirpath_hl7 import Case, cases, resource, same, written

FOLDER = Path(os.environ.get("FHIR_TEST_CASES", ""))
SUITE = FOLDER / "r4" / "fhirpath" / "tests-fhir-r4.xml"
DOCUMENT = Path(__file__).parents[2] / "docs" / "fhirpath.md"

pytestmark = pytest.mark.skipif(
    not os.environ.get("FHIR_TEST_CASES") or not SUITE.exists(),
    reason="HL7's test cases are not here: set FHIR_TEST_CASES to a checkout of FHIR/fhir-test-cases",
)


@lru_cache
def read(name: str) -> dict:
    for folder in (SUITE.parent, FOLDER / "r4", FOLDER / "r4" / "examples", FOLDER / "r4" / "fhirpath" / "input"):
        if (folder / name).exists():
            return resource(folder / name)
    raise FileNotFoundError(name)


def outcome(case: Case) -> str:
    """ "" when the case passes, else what happened."""
    node = read(case.input or "patient-example.xml")
    try:
        environment = Environment(node, now=datetime.now().astimezone())
        items = compile_typed(case.expression, node["resourceType"], strict=True)(node, environment)
    except FhirPathError as error:
        return "" if case.invalid else f"{type(error).__name__}: {error}"
    results = [written(kind, value) for kind, value, _ in items]
    if case.invalid:
        return f"no error, but {results}"
    if case.predicate:
        results = [("boolean", str(bool(results)).lower())]
    expected = list(case.outputs)
    if not case.ordered:
        expected, results = sorted(expected), sorted(results)
    if len(expected) == len(results) and all(map(same, expected, results)):
        return ""
    return f"{results} instead of {expected}"


def known_failures() -> set[str]:
    table = DOCUMENT.read_text().partition("<!-- hl7-failures -->")[2].partition("<!-- end -->")[0]
    return set(re.findall(r"^\| (\w\S*) \|", table, re.MULTILINE)) - {"test"}


def test_exactly_the_documented_cases_fail():
    outcomes = {case.name: outcome(case) for case in cases(SUITE)}
    failed = {name: what for name, what in outcomes.items() if what}
    assert len(outcomes) > 900
    assert set(failed) == known_failures(), {n: failed.get(n, "passes") for n in set(failed) ^ known_failures()}
    assert len(failed) < 0.03 * len(outcomes)
