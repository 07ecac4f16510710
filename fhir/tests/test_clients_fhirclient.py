"""fhirclient (SMART Health IT) against the real server: capabilities, create, read, search, page, update, delete."""

from __future__ import annotations

from uuid import uuid4

import pytest
from fhirclient.client import FHIRClient
from fhirclient.models.bundle import Bundle, BundleEntry, BundleEntryRequest
from fhirclient.models.codeableconcept import CodeableConcept
from fhirclient.models.fhirdate import FHIRDate
from fhirclient.models.fhirdatetime import FHIRDateTime
from fhirclient.models.fhirreference import FHIRReference
from fhirclient.models.humanname import HumanName
from fhirclient.models.observation import Observation
from fhirclient.models.patient import Patient
from fhirclient.models.quantity import Quantity
from fhirclient.server import FHIRServer

from clinical_records.testing import ApiClient

COUNT = 5


@pytest.fixture
def server(live_server_url: str, database: None) -> FHIRServer:
    """fhirclient's server, ready after it has read the CapabilityStatement; the token goes with each request."""
    client = FHIRClient(settings={"app_id": "tests", "api_base": f"{live_server_url}/fhir/R4"})
    client.server.session.headers["Authorization"] = f"Bearer {ApiClient.logged_in('practitioner').access_token}"
    client.prepare()
    return client.server


def patient(family: str) -> Patient:
    made = Patient()
    made.name = [HumanName({"family": family, "given": ["Íñigo"]})]
    made.birthDate = FHIRDate("1990-01-31")
    return made


def observation(subject: str, day: int) -> Observation:
    made = Observation()
    made.status = "final"
    made.code = CodeableConcept({"coding": [{"system": "http://loinc.org", "code": "8302-2"}]})
    made.subject = FHIRReference({"reference": subject})
    made.effectiveDateTime = FHIRDateTime(f"2024-06-{day:02d}T08:00:00Z")
    made.valueQuantity = Quantity({"value": 171.5, "unit": "cm", "system": "http://unitsofmeasure.org", "code": "cm"})
    return made


def test_it_reads_the_capabilities(server: FHIRServer) -> None:
    assert server.capabilityStatement.fhirVersion == "4.0.1"
    assert {each.type for each in server.capabilityStatement.rest[0].resource} >= {"Patient", "Observation"}


def test_a_chart(server: FHIRServer) -> None:
    family = f"Ibáñez{uuid4().hex[:12]}"
    made = patient(family).create(server)
    assert made["meta"]["versionId"] == "1"
    heights = [observation(f"Patient/{made['id']}", day + 1).create(server)["id"] for day in range(COUNT)]

    read = Patient.read(made["id"], server)
    assert read.as_json() == made

    found = list(Patient.where({"family": family}).perform_resources_iter(server))
    assert [each.id for each in found] == [made["id"]]
    pages = list(Observation.where({"patient": made["id"], "_count": "2", "_sort": "-date"}).perform_iter(server))
    assert [len(page.entry) for page in pages] == [2, 2, 1]
    assert [entry.resource.id for page in pages for entry in page.entry] == heights[::-1]

    read.active = True
    assert read.update()["meta"]["versionId"] == "2"
    Observation.read(heights[0], server).delete()
    left = Observation.where({"patient": made["id"]}).perform_resources_iter(server)
    assert {each.id for each in left} == set(heights[1:])
    with pytest.raises(Exception, match="410"):
        Observation.read(heights[0], server)


def test_a_transaction(server: FHIRServer) -> None:
    subject = f"urn:uuid:{uuid4()}"
    bundle = Bundle({"type": "transaction"})
    bundle.entry = []
    for url, resource in ((subject, patient("Echeverría")), (f"urn:uuid:{uuid4()}", observation(subject, 1))):
        entry = BundleEntry({"fullUrl": url})
        entry.resource = resource
        entry.request = BundleEntryRequest({"method": "POST", "url": resource.resource_type})
        bundle.entry.append(entry)
    answer = server.post_json("", bundle.as_json()).json()
    locations = [entry["response"]["location"].split("/_history")[0] for entry in answer["entry"]]
    stored = Observation.read(locations[1].rsplit("/", 1)[1], server)
    assert locations[0].endswith(stored.subject.reference)
