"""Filters of value sets over the codes of a system (https://hl7.org/fhir/R4/valueset-filter-operator.html)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from . import patterns, texts
from .code_systems import CodeSystem
from .texts import refusal

Json = dict[str, Any]
Values = tuple[str, ...]
Test = Callable[[Values], bool]

_NAMED = ("in", "not-in")
_HIERARCHICAL = ("is-a", "is-not-a", "descendent-of", "generalizes")
_SECONDS = 2.0
_LONGEST_MATCHED = 1000


def selected(system: CodeSystem, filters: list[Json]) -> frozenset[str]:
    """The codes that meet all filters. Raises InvalidRequest where one is not understood or asks for unknown codes."""
    codes = frozenset(system.codes)
    for row in filters:
        codes &= _one(system, row["property"], row["op"], row["value"])
    return codes


def _one(system: CodeSystem, name: str, operator: str, value: str) -> frozenset[str]:
    if not system.has_property(name):
        raise refusal(texts.UNKNOWN_PROPERTY, system=system.url, property=name)
    test = _test(system, operator, value)
    values = system.values if operator == "exists" else system.assumed
    if operator != "regex":
        return frozenset(code for code in system.codes if test(values(name, code)))
    found, deadline = [], time.monotonic() + _SECONDS
    for code in system.codes:
        if time.monotonic() > deadline:
            raise refusal(texts.BAD_PATTERN, "too-costly", pattern=value)
        if test(values(name, code)):
            found.append(code)
    return frozenset(found)


def _test(system: CodeSystem, operator: str, value: str) -> Test:
    """Whether the values of a property meet a filter."""
    if operator == "regex":
        return _regex(value)
    if operator == "exists":
        return _exists(value)
    if operator == "=":
        return lambda values: value in values
    if operator not in (*_NAMED, *_HIERARCHICAL):
        raise refusal(texts.UNKNOWN_OPERATOR, operator=operator)
    if operator in _NAMED:
        listed = frozenset(item.strip() for item in value.split(","))
        return (lambda values: not listed.isdisjoint(values)) if operator == "in" else listed.isdisjoint
    related = _related(system, operator, value)
    if operator == "is-not-a":
        return related.isdisjoint
    return lambda values: not related.isdisjoint(values)


def _related(system: CodeSystem, operator: str, value: str) -> frozenset[str]:
    """The codes that a hierarchical filter compares with."""
    if value not in system.codes:
        raise refusal(texts.UNKNOWN_CODE, "invalid", code=value, system=system.url)
    if operator in ("is-a", "is-not-a"):
        return system.below(value)
    if operator == "descendent-of":
        return system.below(value) - {value}
    return system.above(value)


def _regex(value: str) -> Test:
    pattern = patterns.compiled(value)
    if pattern is None:
        raise refusal(texts.BAD_PATTERN, "too-costly", pattern=value)
    return lambda values: any(len(v) <= _LONGEST_MATCHED and pattern.fullmatch(v) is not None for v in values)


def _exists(value: str) -> Test:
    if value not in ("true", "false"):
        raise refusal(texts.BAD_BOOLEAN, "value", value=value)
    wanted = value == "true"
    return lambda values: bool(values) is wanted
