"""fhirpy, blocking and asynchronous, against the real server: log in, create, read, search, page, update, delete."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
import requests
from fhirpy import AsyncFHIRClient, SyncFHIRClient
from fhirpy.base.exceptions import AuthorizationError, OperationOutcome, ResourceNotFound

from accounts.models import Role, User

PASSWORD = "una contraseña larga"
COUNT = 7


@pytest.fixture
def authorization(live_server_url: str, database: None) -> str:
    """What POST /auth/login gives to a new practitioner."""
    username = f"fhirpy-{uuid4().hex[:12]}"
    User.objects.create_user(username, password=PASSWORD, role=Role.PRACTITIONER)
    answer = requests.post(
        f"{live_server_url}/auth/login", json={"username": username, "password": PASSWORD}, timeout=30
    )
    assert answer.status_code == 200, answer.text
    return f"Bearer {answer.json()['access']}"


@pytest.fixture
def base(live_server_url: str) -> str:
    return f"{live_server_url}/fhir/R4"


def patient(identifier: str) -> dict[str, Any]:
    return {
        "identifier": [{"system": "urn:fhirpy", "value": identifier}],
        "name": [{"family": "Núñez", "given": ["Inés"]}],
        "birthDate": "1975-11-30",
    }


def observation(subject: Any, day: int) -> dict[str, Any]:
    return {
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]},
        "subject": subject,
        "effectiveDateTime": f"2024-05-{day:02d}",
        "valueQuantity": {"value": 70.5, "unit": "kg", "system": "http://unitsofmeasure.org", "code": "kg"},
    }


def replacement(path: str, value: str) -> dict[str, Any]:
    """FHIRPath Patch: fhirpy's own patch() sends a merge patch, which R4 does not have."""
    parts = [
        {"name": "type", "valueCode": "replace"},
        {"name": "path", "valueString": path},
        {"name": "value", "valueCode": value},
    ]
    return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}


def test_blocking(base: str, authorization: str) -> None:
    client = SyncFHIRClient(base, authorization=authorization)
    identifier = uuid4().hex
    ines = client.resource("Patient", **patient(identifier))
    ines.save()
    assert ines.id and ines.meta.versionId == "1"

    made = [client.resource("Observation", **observation(ines.to_reference(), day + 1)) for day in range(COUNT)]
    for weight in made:
        weight.save()
    assert client.reference("Patient", ines.id).to_resource().serialize() == ines.serialize()

    found = client.resources("Patient").search(identifier=f"urn:fhirpy|{identifier}").fetch()
    assert [each.id for each in found] == [ines.id]
    weights = client.resources("Observation").search(patient=ines.id).sort("-date").limit(3)
    assert len(weights.fetch()) == 3
    paged = weights.fetch_all()
    assert [each.id for each in paged] == [each.id for each in reversed(made)]
    counted = client.resources("Observation").search(patient=ines.id, _total="accurate").fetch_raw()
    assert counted["total"] == COUNT

    ines["birthDate"] = "1975-12-01"
    ines.save()
    assert ines.meta.versionId == "2"
    client.execute(f"Observation/{made[0].id}", "patch", data=replacement("Observation.status", "amended"))
    assert client.reference("Observation", made[0].id).to_resource()["status"] == "amended"

    made[1].delete()
    with pytest.raises(ResourceNotFound, match="deleted"):
        client.reference("Observation", made[1].id).to_resource()
    with pytest.raises(ResourceNotFound):
        client.reference("Observation", str(uuid4())).to_resource()


def test_its_count_needs_leniency(base: str, authorization: str) -> None:
    """fhirpy's count() sends `_totalMethod`, which R4 does not know: a server may ignore it if it is asked to."""
    client = SyncFHIRClient(base, authorization=authorization, extra_headers={"Prefer": "handling=lenient"})
    identifier = uuid4().hex
    for _number in range(2):
        client.resource("Patient", **patient(identifier)).save()
    assert client.resources("Patient").search(identifier=f"urn:fhirpy|{identifier}").count() == 2


def test_its_conditional_update(base: str, authorization: str) -> None:
    client = SyncFHIRClient(base, authorization=authorization)
    identifier = uuid4().hex
    search = client.resources("Patient").search(identifier=f"urn:fhirpy|{identifier}")
    ines, created = search.update(client.resource("Patient", **patient(identifier)))
    assert created
    changed, created = search.update(client.resource("Patient", **{**patient(identifier), "active": True}))
    assert not created and changed.id == ines.id and changed.meta.versionId == "2"


def test_refusals_arrive(base: str, authorization: str) -> None:
    client = SyncFHIRClient(base, authorization=authorization)
    with pytest.raises(OperationOutcome) as refused:
        client.resource("Patient", birthDate="1975-02-31").save()
    assert refused.value.resource["issue"][0]["expression"] == ["Patient.birthDate"]
    with pytest.raises(AuthorizationError):
        SyncFHIRClient(base).resources("Patient").fetch()


def test_asynchronous(base: str, authorization: str) -> None:
    asyncio.run(_asynchronous(base, authorization))


async def _asynchronous(base: str, authorization: str) -> None:
    client = AsyncFHIRClient(base, authorization=authorization)
    identifier = uuid4().hex
    ines = client.resource("Patient", **patient(identifier))
    await ines.save()
    made = [client.resource("Observation", **observation(ines.to_reference(), day + 1)) for day in range(COUNT)]
    await asyncio.gather(*(weight.save() for weight in made))

    weights = client.resources("Observation").search(patient=ines.id).sort("date").limit(2)
    found = [each.id async for each in weights]
    assert found == [each.id for each in made]
    assert (await client.resources("Patient").search(identifier=f"urn:fhirpy|{identifier}").get()).id == ines.id

    ines["active"] = False
    await ines.save()
    assert ines.meta.versionId == "2"
    await made[0].delete()
    remaining = await client.resources("Observation").search(patient=ines.id).fetch_all()
    assert {each.id for each in remaining} == {each.id for each in made[1:]}
