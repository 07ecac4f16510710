"""Index rows of the parameters that clients define: one reader for each, beside the compiled function of its type.

A resource that was indexed for a parameter carries one of two terms: that it has a value, or that it has none. One
that carries neither was indexed before the parameter was known; fhir.reindex looks for those.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Any

from fhir.definitions.structure import is_subtype
from fhir.fhirpath import Environment, FhirPathError, compile_many
from fhir.index_rows import IndexRows

from . import composites, extract, hashing
from .catalogue import Parameter
from .defining import VALUES
from .extract import Addition, Rows, Values, plain, writer

logger = logging.getLogger(__name__)

_compiled = lru_cache(maxsize=1024)(lambda expression, resource_type: compile_many({"x": expression}, resource_type))


def marks(parameter: Parameter) -> tuple[int, int]:
    """The terms of a resource that has a value of a custom parameter, and of one that has none."""
    return hashing.presence(parameter.resource_type, parameter.stored_as[0])


def values(parameter: Parameter, resource: dict[str, Any], environment: Environment) -> Values:
    """The values of a custom parameter that can be searched as its type asks.

    None where the expression cannot be evaluated on this resource: the definition of one client must not forbid the
    writes of others. The log says so.
    """
    try:
        found = _compiled(parameter.expression, parameter.resource_type)(resource, environment).get("x", ())
    except FhirPathError as error:
        logger.warning("%s of %s cannot be evaluated: %s", parameter.code, parameter.resource_type, error)
        return []
    wanted = VALUES[parameter.type]
    return [item for item in (plain(*each) for each in found) if _fits(item[0], wanted)]


@lru_cache(maxsize=4096)
def _fits(fhir_type: str, wanted: Iterable[str]) -> bool:
    if fhir_type == "Extension":
        return False
    return any(is_subtype(fhir_type, name) for name in wanted)


def reader(parameter: Parameter) -> Addition:
    """What adds the rows of one custom parameter to those of a resource."""
    stored = replace(parameter, code=parameter.stored_as[0])
    gather = _composite(stored) if parameter.type == "composite" else _single(parameter, stored)
    present, absent = marks(parameter)

    def add(rows: Rows, resource: dict[str, Any], environment: Environment) -> None:
        own = Rows(rows.base_url)
        gather(own, resource, environment)
        rows.terms |= own.terms
        rows.ranges |= own.ranges
        rows.strings |= own.strings
        rows.code_values |= own.code_values
        rows.terms.add(present if own.terms or own.ranges or own.strings or own.code_values else absent)

    return add


def _single(parameter: Parameter, stored: Parameter) -> Addition:
    write = writer(stored, {stored.code: stored})

    def gather(rows: Rows, resource: dict[str, Any], environment: Environment) -> None:
        found = values(parameter, resource, environment)
        if found:
            write(rows, found)

    return gather


def _composite(stored: Parameter) -> Addition:
    read = composites.reader(stored.resource_type, stored.expression, [stored])

    def gather(rows: Rows, resource: dict[str, Any], environment: Environment) -> None:
        try:
            read(rows, resource, environment)
        except FhirPathError as error:
            logger.warning("%s of %s cannot be evaluated: %s", stored.code, stored.resource_type, error)

    return gather


def completed(stored: IndexRows, resource: dict[str, Any], base_url: str) -> IndexRows:
    """The rows of a resource with those of all custom parameters of its type; the others as they are stored."""
    own = Rows(base_url)
    environment = Environment(resource=resource)
    for addition in extract.additions.get(resource["resourceType"], ()):
        addition(own, resource, environment)
    return IndexRows(
        terms=[stored.terms[0], *sorted(own.terms.union(stored.terms[1:]))],
        present=stored.present,
        sdate=stored.sdate,
        ranges=list(dict.fromkeys((*stored.ranges, *own.ranges))),
        strings=list(dict.fromkeys((*stored.strings, *own.strings))),
        code_values=list(dict.fromkeys((*stored.code_values, *own.code_values))),
        patients=stored.patients,
    )
