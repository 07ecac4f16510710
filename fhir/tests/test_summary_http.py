"""`_summary` and `_elements` of a read (https://hl7.org/fhir/R4/http.html#read), through HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from clinical_records.testing import ApiClient

PATIENT = {
    "resourceType": "Patient",
    "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">Ana</div>'},
    "name": [{"family": "Ruiz"}],
    "gender": "female",
    "contact": [{"name": {"text": "Luis"}}],
}


@pytest.fixture
def read(api: Callable[..., ApiClient]) -> Callable[[str], Any]:
    client = api()
    location = f"Patient/{client.post('Patient', PATIENT).resource()['id']}"
    return lambda query: client.get(location + query)


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("?_summary=true", {"name", "gender"}),
        ("?_summary=text", {"text"}),
        ("?_summary=data", {"name", "gender", "contact"}),
        ("?_summary=false", {"text", "name", "gender", "contact"}),
        ("?_elements=gender", {"gender"}),
        ("?_elements=name,contact", {"name", "contact"}),
    ],
)
def test_the_part_that_was_asked_for(read: Callable[[str], Any], query: str, kept: set[str]) -> None:
    answer = read(query)
    resource = answer.resource()
    assert answer.status_code == 200
    assert set(resource) == {"resourceType", "id", "meta", *kept}
    codes = [tag["code"] for tag in resource["meta"].get("tag", [])]
    assert codes == ([] if query == "?_summary=false" else ["SUBSETTED"])
    assert answer.headers["ETag"] == f'W/"{resource["meta"]["versionId"]}"'


@pytest.mark.parametrize("query", ["?_summary=nonsense", "?_summary=count"])
def test_what_is_no_summary_is_a_bad_request(read: Callable[[str], Any], query: str) -> None:
    answer = read(query)
    assert answer.status_code == 400
    assert answer.resource()["issue"][0]["expression"] == ["_summary"]


def test_the_stored_resource_stays_whole(read: Callable[[str], Any]) -> None:
    read("?_summary=true")
    assert set(PATIENT) < set(read("").resource())
