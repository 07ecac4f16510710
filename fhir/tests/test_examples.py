"""The official examples through the door: created, read back to the digit, updated, patched and deleted.

Those that are refused are listed in docs/refused-examples.md with the rule that each breaks.
"""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

from django.conf import settings

from fhir import ids

REFUSED = re.compile(r"^\| `([^`]+\.json)` ", re.M)


def examples(shared_data: Path):
    folder = shared_data / "data" / "examples"
    rows = [line.split("\t") for line in (folder / "r4-examples-dev.tsv").read_text().splitlines()]
    number = {name: position for position, name in enumerate(rows[0])} if not rows[0][-1].isdigit() else {}
    rows = rows[1:] if number else rows
    with gzip.open(folder / "r4-examples-dev.ndjson.gz", "rt") as lines:
        texts = lines.read().splitlines()
    for row in rows:
        yield row[0], texts[int(row[3]) - 1]


def exactly(text: str, *, less=("id", "meta")):
    """The resource with numbers as their digits and members in order, less what the server sets."""
    pairs = json.loads(text, parse_float=str, parse_int=str, object_pairs_hook=list)
    return [pair for pair in pairs if pair[0] not in less]


def meta(text: str):
    found = json.loads(text).get("meta", {})
    return {key: value for key, value in found.items() if key not in ("versionId", "lastUpdated")}


def test_every_example_makes_the_round_trip(api, shared_data):
    client = api(role="administrator")
    listed = set(REFUSED.findall((Path(settings.BASE_DIR) / "docs" / "refused-examples.md").read_text()))
    refused, problems, count = set(), [], 0
    for name, text in examples(shared_data):
        count += 1
        resource_type = json.loads(text)["resourceType"]
        made = client.post(resource_type, text.encode())
        if made.status_code == 422:
            refused.add(name)
            continue
        problems += [f"{name}: {problem}" for problem in round_trip(client, resource_type, text, made)]
    assert problems == []
    assert refused <= listed, f"refused, and not in docs/refused-examples.md: {sorted(refused - listed)}"
    assert len(refused) <= 0.03 * count


def round_trip(client, resource_type: str, text: str, made):
    """What goes wrong with one example."""
    if made.status_code != 201:
        yield f"create {made.status_code} {made.content[:200]!r}"
        return
    resource_id = made.json()["id"]
    url = f"{resource_type}/{resource_id}"
    read = client.get(url).content.decode()
    if exactly(read) != exactly(text) or meta(read) != meta(text):
        yield "read back different"
    updated = client.put(url, read.encode())
    if updated.status_code != 200:
        yield f"update {updated.status_code} {updated.content[:200]!r}"
    patch = b'[{"op":"add","path":"/language","value":"es"}]'
    patched = client.patch(url, patch, headers={"Content-Type": "application/json-patch+json"})
    if patched.status_code != 200 or patched.json()["language"] != "es":
        yield f"patch {patched.status_code} {patched.content[:200]!r}"
    elif exactly(patched.content.decode(), less=("id", "meta", "language")) != exactly(
        text, less=("id", "meta", "language")
    ):
        yield "patched elsewhere too"
    if client.delete(url).status_code != 204 or client.get(url).status_code != 410:
        yield "delete"


def test_every_synthea_bundle_loads_as_a_transaction_and_its_references_resolve(api, shared_data):
    client = api(role="administrator")
    bundles = 0
    with gzip.open(shared_data / "data" / "synthea" / "synthea-r4-dev.ndjson.gz", "rt") as lines:
        for line in lines:
            bundles += 1
            answer = client.post("", line.encode(), headers={"Prefer": "return=representation"})
            assert answer.status_code == 200, answer.content[:500]
            check_references(client, answer, len(json.loads(line)["entry"]))
    assert bundles == 41


def check_references(client, answer, count: int) -> None:
    text = answer.content.decode()
    assert "urn:uuid:" not in re.sub(r'"fullUrl":"[^"]*"|"(system|value)":"urn:[^"]*"', "", text)
    made = {f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in answer.json()["entry"]}
    assert len(made) == count
    references = set(re.findall(r'"reference":"([^"#]+)"', text))
    assert references
    assert references <= made
    patient = next(name for name in made if name.startswith("Patient/"))
    bucket = ids.bucket_of(patient.removeprefix("Patient/"))
    observed = [name for name in made if name.startswith("Observation/")]
    assert {ids.bucket_of(name.removeprefix("Observation/")) for name in observed} <= {bucket}
    assert client.get(patient).status_code == 200
