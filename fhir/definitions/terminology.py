"""ValueSets and CodeSystems of the official package (https://hl7.org/fhir/R4/terminologies-systems.html).

The committed table, made by scripts/generate_definitions.py, is one line of JSON for each: the resource without its
words (no displays, definitions or narratives). The lines stay as bytes; one is read when it is asked for.
"""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("terminology.ndjson.gz")
_KIND, _URL = b'"resourceType":"', b'"url":"'


@cache
def _lines() -> dict[tuple[str, str], bytes]:
    found = {}
    for line in gzip.decompress(FILE.read_bytes()).splitlines():
        kind, rest = line.split(_KIND, 1)[1].split(b'"', 1)
        found[kind.decode(), rest.split(_URL, 1)[1].split(b'"', 1)[0].decode()] = line
    return found


def urls(kind: str) -> list[str]:
    """Canonical urls of all official resources of a kind, ValueSet or CodeSystem, in order."""
    return [url for name, url in _lines() if name == kind]


def official(kind: str, url: str) -> dict[str, Any] | None:
    """The ValueSet or CodeSystem (`kind`) of this canonical url, without its words; None if there is none."""
    line = _lines().get((kind, url))
    if line is None:
        return None
    resource: dict[str, Any] = json.loads(line)
    return resource
