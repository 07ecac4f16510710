"""`_contained` and `_containedType`: https://hl7.org/fhir/R4/search.html#contained."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from fhir.interactions import contained


class Pharmacy:
    """Prescriptions that contain their medication, one Medication of its own; by name, all of one code system."""

    def __init__(self, api: Any) -> None:
        self.client, self.system = api(role="administrator"), f"http://x.example/{uuid4().hex}"
        self.api, self.names = api, dict[str, str]()
        self.patients = {name: self.make(name, "Patient") for name in ("ana", "carlos")}
        self.prescribe("pills", "ana", "500")
        self.prescribe("syrup", "ana", "250")
        self.prescribe("secret", "carlos", "500")
        self.make("shelf", "Medication", code=self.code("500"), form={"text": "pill"})

    def code(self, code: str) -> dict[str, Any]:
        return {"coding": [{"system": self.system, "code": code}]}

    def make(self, name: str, kind: str, **elements: Any) -> str:
        answer = self.client.post(kind, {"resourceType": kind, **elements})
        assert answer.status_code == 201, answer.content
        self.names[answer.json()["id"]] = name
        return str(answer.json()["id"])

    def prescribe(self, name: str, patient: str, code: str) -> None:
        ingredient = [{"itemCodeableConcept": self.code(f"of-{code}")}]
        inner = {"resourceType": "Medication", "id": "m", "code": self.code(code), "ingredient": ingredient,
                 "batch": {"lotNumber": f"lot {code}", "expirationDate": f"20{code[:2]}-06-01"}}  # fmt: skip
        self.make(
            name,
            "MedicationRequest",
            status="active",
            intent="order",
            subject={"reference": f"Patient/{self.patients[patient]}"},
            contained=[inner],
            medicationReference={"reference": "#m"},
        )

    def pages(self, query: str, client: Any = None) -> list[list[str]]:
        """The names on each page."""
        path: str | None = f"Medication?{query.replace('SYSTEM', self.system)}"
        found = []
        while path:
            answer = (client or self.client).get(path)
            assert answer.status_code == 200, answer.content
            bundle = answer.json()
            urls = [entry["fullUrl"].rpartition("/")[2].partition("#")[0] for entry in bundle.get("entry", ())]
            found.append([self.names[resource_id] for resource_id in urls])
            following = [link["url"] for link in bundle["link"] if link["relation"] == "next"]
            path = following[0].split("/fhir/R4/", 1)[1] if following else None
        return found

    def found(self, query: str, client: Any = None) -> set[str]:
        return {name for page in self.pages(query, client) for name in page}


@pytest.fixture
def pharmacy(api: Any) -> Pharmacy:
    return Pharmacy(api)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("code=SYSTEM|500", {"shelf"}),
        ("code=SYSTEM|500&_contained=false", {"shelf"}),
        ("code=SYSTEM|500&_contained=true", {"pills", "secret"}),
        ("code=SYSTEM|500&_contained=both", {"pills", "secret", "shelf"}),
        ("code=SYSTEM|&ingredient-code=SYSTEM|of-250&_contained=true", {"syrup"}),
        ("code=SYSTEM|&code:not=SYSTEM|500&_contained=true", {"syrup"}),
        ("code=SYSTEM|&expiration-date=lt2030&_contained=true", {"syrup"}),
        ("code=SYSTEM|&form:missing=false&_contained=both", {"shelf"}),
        ("code=SYSTEM|9&_contained=both", set()),
    ],
)
def test_containers_are_found_by_what_they_contain(pharmacy: Pharmacy, query: str, expected: set[str]) -> None:
    assert pharmacy.found(query) == expected


def test_the_contained_resource_itself_is_returned_if_asked_for(pharmacy: Pharmacy) -> None:
    query = f"code={pharmacy.system}|250&_contained=true&_containedType=contained"
    (entry,) = pharmacy.client.get(f"Medication?{query}").json()["entry"]
    assert entry["fullUrl"].endswith("#m") and "/MedicationRequest/" in entry["fullUrl"]
    assert entry["resource"]["resourceType"] == "Medication" and entry["search"] == {"mode": "match"}


def test_totals_and_counts(pharmacy: Pharmacy) -> None:
    query = f"Medication?code={pharmacy.system}|500&_contained=both"
    assert pharmacy.client.get(f"{query}&_total=accurate&_count=1").json()["total"] == 3
    counted = pharmacy.client.get(f"{query}&_summary=count").json()
    assert counted["total"] == 3 and "entry" not in counted


def test_pages_hold_every_container_once(pharmacy: Pharmacy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contained, "_BATCH", 2)
    monkeypatch.setattr(contained, "_MOST", 3)
    pages = pharmacy.pages("code=SYSTEM|&_contained=both&_count=1")
    assert sorted(name for page in pages for name in page) == ["pills", "secret", "shelf", "syrup"]


def test_a_patient_finds_only_what_their_own_resources_contain(pharmacy: Pharmacy) -> None:
    patient = pharmacy.api(role="patient", fhir_user=f"Patient/{pharmacy.patients['ana']}")
    answer = patient.get(f"Medication?code={pharmacy.system}|500&_contained=true")
    assert answer.status_code in (200, 403) and "carlos" not in str(answer.content)
    if answer.status_code == 200:
        assert pharmacy.found("code=SYSTEM|500&_contained=true", patient) == {"pills"}


@pytest.mark.parametrize(
    "query",
    ["_contained=maybe", "_contained=true&_containedType=x", "_contained=true&_sort=code",
     "_contained=true&_has:MedicationRequest:medication:status=active"],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused(pharmacy: Pharmacy, query: str) -> None:
    assert pharmacy.client.get(f"Medication?{query}").status_code == 400
