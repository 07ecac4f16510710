"""Which buckets a statement asks for, by its own text: every statement for one place names its bucket as a parameter.

Only asked when a node of the cluster is in trouble: then it decides who goes on. A statement in which no bucket is
found counts as one for all shards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

_PLACEHOLDER = r"(?:%[sb]|%\(\w+\)s)"
_ANY_PLACEHOLDER = re.compile(r"%%|%[sb]|%\((\w+)\)s")
# `bucket = %s`, `bucket = ANY(%s…)`; the first column of an INSERT; arrays of keys: buckets, then types or ids.
_BUCKETS = re.compile(
    rf"""\bbucket"?\s*=\s*(?:ANY\()?(?P<equal>{_PLACEHOLDER})
    |\(\s*"?bucket"?,[^()]*\)\s*(?:VALUES\s*\(|SELECT\s+)(?P<inserted>{_PLACEHOLDER})
    |unnest\((?P<keys>{_PLACEHOLDER})::int(?:eger)?\[\],\s*{_PLACEHOLDER}::(?:smallint|uuid)\[\]""",
    re.IGNORECASE | re.VERBOSE,
)
_NUMBER = re.compile(r"-?\d+")

Key = int | str


@lru_cache(maxsize=2048)
def _parameters(sql: str) -> tuple[Key, ...]:
    """The parameters that are buckets: their places, or their names."""
    keys: dict[int, Key] = {}
    number = 0
    for found in _ANY_PLACEHOLDER.finditer(sql):
        if found.group() != "%%":
            keys[found.start()] = found.group(1) or number
            number += 1
    named = (match.start(str(match.lastgroup)) for match in _BUCKETS.finditer(sql))
    return tuple(dict.fromkeys(keys[start] for start in named))


def buckets(sql: str, parameters: Sequence[Any] | Mapping[str, Any] | None) -> set[int]:
    """The buckets that the statement names; empty where it names none."""
    if not parameters:
        return set()
    values: Any = parameters
    return {bucket for key in _parameters(sql) for bucket in _numbers(values[key])}


def _numbers(value: Any) -> Iterator[int]:
    if isinstance(value, int):
        yield value
    elif isinstance(value, str):  # a number, or the literal of an array
        yield from map(int, _NUMBER.findall(value))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _numbers(item)
