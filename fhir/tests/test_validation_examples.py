"""Official examples and Synthea charts pass, or are listed with the rule that they break."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest
from django.conf import settings

from fhir.validation import validate

SHARED = Path(os.environ.get("FHIR_SHARED", Path(settings.BASE_DIR).parent / "shared"))
EXAMPLES = SHARED / "data" / "examples" / "r4-examples-dev.ndjson.gz"
SYNTHEA = SHARED / "data" / "synthea" / "synthea-r4-dev.ndjson.gz"
PACKAGE = os.environ.get("FHIR_DEFINITIONS")  # the unpacked directory of hl7.fhir.r4.core


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "check_examples", Path(settings.BASE_DIR) / "scripts" / "check_examples.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compare(script: ModuleType, path: Path) -> tuple[int, int]:
    """(resources, refused): each refused one is in the table, with its place."""
    count, found = script.refused([path])
    listed = script.listed()
    places = {name: {issue.expression[0] for issue in issues} for name, issues in found.items()}
    assert {name: where for name, where in places.items() if listed.get(name) not in where} == {}
    names = {name for name, _ in script.read(path)}
    assert {name for name in listed if name in names} - set(found) == set()
    return count, len(found)


@pytest.mark.skipif(not EXAMPLES.exists(), reason="no official examples beside the project (FHIR_SHARED)")
def test_official_examples(script: ModuleType) -> None:
    count, refused = compare(script, EXAMPLES)
    assert count > 400
    assert refused <= 0.03 * count


@pytest.mark.skipif(not EXAMPLES.exists(), reason="no official examples beside the project (FHIR_SHARED)")
def test_warnings_of_official_examples(script: ModuleType) -> None:
    """Every rule of the severity warning can be asked of every example."""
    severities = {issue.severity for _, r in script.read(EXAMPLES) for issue in validate(r, warnings=True)}
    assert severities == {"error", "warning"}


@pytest.mark.skipif(not SYNTHEA.exists(), reason="no Synthea charts beside the project (FHIR_SHARED)")
def test_synthea_charts(script: ModuleType) -> None:
    count, found = script.refused([SYNTHEA])
    assert count > 40
    assert found == {}


@pytest.mark.skipif(PACKAGE is None, reason="FHIR_DEFINITIONS does not name the unpacked definitions package")
def test_official_definitions(script: ModuleType) -> None:
    count, refused = compare(script, Path(str(PACKAGE)))
    assert count > 4000
    assert refused <= 0.03 * count
