"""The committed table of FHIR R4 facts, made by scripts/generate_definitions.py.

`types`: name → {k: kind, base, abstract?, regex? (primitives), e: own elements, c: own rules [path, key, severity,
expression]}; an element is {p: path, n: [min, max], t: types, r?: reference targets, c?: canonical targets, b?: value
set of a required binding, s?: in summaries, m?: modifier}. `search`: parameters; `compartments`: code → type →
parameters; `value_sets`: url → [[system, codes or null for all]]; `code_systems`: url → codes; `operations`.
"""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("r4.json.gz")


@cache
def table() -> dict[str, Any]:
    """The whole table; read once."""
    loaded: dict[str, Any] = json.loads(gzip.decompress(FILE.read_bytes()))
    return loaded
