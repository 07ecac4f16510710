"""Codes in the content as SQL/JSON paths: what terms cannot tell, a value that is *not* the one asked for.

https://www.postgresql.org/docs/current/functions-json.html#FUNCTIONS-SQLJSON-PATH
"""

from __future__ import annotations

import json

from . import json_paths
from .catalogue import Parameter
from .clauses import Clause
from .parameters.text import split, unescape
from .rows import UnequalValues

# Where in a value its codings lie, and how the code is called there.
_CODINGS = {
    "CodeableConcept": ('$."coding"[*]', "code"),
    "Coding": ("$", "code"),
    "Identifier": ("$", "value"),
    "ContactPoint": ("$", "value"),
}


def unequal(parameter: Parameter, value: str) -> Clause | None:
    """With a value that is not `code`, `system|code`, `|code` or `system|`; None where its values cannot be read so."""
    system, code = _parts(value)
    found: list[tuple[str, str]] = []
    try:
        for branch in parameter.branches:
            for path, fhir_type in json_paths.values(branch, parameter.resource_type):
                test = _test(fhir_type, system, code, parameter.system)
                if test is None:
                    return None
                found.append((f"lax {path}[*]", test))
    except json_paths.NotAPath:
        return None
    return UnequalValues(tuple(found), parameter.code) if found else None


def _parts(value: str) -> tuple[str | None, str]:
    """(system, code): None for any system, "" for none."""
    parts = [unescape(part) for part in split(value, "|")]
    return (parts[0], parts[1]) if len(parts) == 2 else (None, parts[0])


def _test(fhir_type: str, system: str | None, code: str, implied: str | None) -> str | None:
    """What is true of a value that is the one asked for. Of elements of type code the system is implied."""
    if fhir_type in _CODINGS:
        place, name = _CODINGS[fhir_type]
        tests = [f'@."{name}" == {_text(code)}'] if code else []
        if system is not None:
            tests.append(f'@."system" == {_text(system)}' if system else '!exists(@."system")')
        return f"lax {place} ? ({' && '.join(tests)})"
    if fhir_type == "boolean":
        return f"lax $ ? (@ == {code})" if code in ("true", "false") and not system else "lax $ ? (1 == 0)"
    if fhir_type not in ("code", "id", "uri", "canonical"):
        return None
    if system and system != implied:
        return "lax $ ? (1 == 0)"
    return f"lax $ ? (@ == {_text(code)})" if code else "lax $"


def _text(text: str) -> str:
    return json.dumps(text)
