#!/usr/bin/env python3
"""Validates files of resources and compares what is refused with docs/refused-examples.md.

    python scripts/check_examples.py FILE_OR_DIRECTORY...

A file is JSON or NDJSON, plain or gzip; beside `x-dev.ndjson.gz` an index `x-dev.tsv` gives each line its name. Of a
directory every *.json is read. Exit status 1 when a resource is refused that the table does not list, or passes
although listed.
"""

from __future__ import annotations

import gzip
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "docs" / "refused-examples.md"
sys.path.insert(0, str(ROOT))

from django.conf import settings  # noqa: E402

if not settings.configured:
    settings.configure(USE_I18N=False)

from fhir import json  # noqa: E402
from fhir.exceptions import Issue  # noqa: E402
from fhir.validation import validate  # noqa: E402


def listed(table: Path = TABLE) -> dict[str, str]:
    """File → expression of the rule it breaks, from the table's first and third columns."""
    rows = re.findall(r"^\| `([^`]+)` \| [^|]+ \| `([^`]+)`", table.read_text("utf-8"), re.MULTILINE)
    return dict(rows)


def _names(path: Path, count: int) -> list[str]:
    index = path.with_name(path.name.removesuffix(".gz").removesuffix(".ndjson") + ".tsv")
    if index.exists():
        return [line.split("\t")[0] for line in index.read_text("utf-8").splitlines()]
    return [path.name] if count == 1 else [f"{path.name}:{number}" for number in range(1, count + 1)]


def read(path: Path) -> Iterator[tuple[str, Any]]:
    """(name, resource) of every resource in a file or directory."""
    if path.is_dir():
        for file in sorted(path.glob("*.json")):
            yield from read(file)
        return
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    texts = [line for line in data.splitlines() if line.strip()] if ".ndjson" in path.name else [data]
    for name, text in zip(_names(path, len(texts)), texts, strict=True):
        resource = json.loads(text)
        if isinstance(resource, dict) and "resourceType" in resource:
            yield name, resource


def refused(paths: list[Path]) -> tuple[int, dict[str, list[Issue]]]:
    """How many resources were read, and the issues of each that is refused, by name."""
    found: dict[str, list[Issue]] = {}
    count = 0
    for path in paths:
        for name, resource in read(path):
            count += 1
            issues = validate(resource)
            if issues:
                found[name] = issues
    return count, found


def main(arguments: list[str]) -> int:
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    known = listed()
    count, found = refused([Path(argument) for argument in arguments])
    for name, issues in found.items():
        print(f"{name}{'' if name in known else '  NOT LISTED'}")
        for issue in issues[:5]:
            print(f"    {issue.code}: {issue.text}")
    print(f"{count} resources, {len(found)} refused ({100 * len(found) / max(count, 1):.2f} %)")
    return 1 if set(found) - set(known) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
