"""Composite parameters of a resource: the values of their parts, repetition by repetition.

https://hl7.org/fhir/R4/search.html#composite
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

from fhir.definitions.structure import type_definition
from fhir.fhirpath import Environment, compile_many
from fhir.ids import hash64

from . import hashing
from .catalogue import Parameter, parameters
from .parameters import composite, date, number, quantity, reference, string, token

Values = list[tuple[str, Any]]
Parts = tuple[Values, ...]
Reader = Callable[[Any, dict[str, Any], Environment], None]
_NUMBERS = ("date", "number", "quantity")


def readers(resource_type: str) -> list[Reader]:
    """One reader for each node that composites of a type stand on: (rows, resource, environment) → nothing."""
    by_node: dict[str, list[Parameter]] = {}
    known = parameters(resource_type)
    for parameter in known.values():
        if parameter.type == "composite" and parameter.code in parameter.stored_as:
            by_node.setdefault(parameter.expression, []).append(parameter)
    return [reader(resource_type, node, group) for node, group in by_node.items()]


def reader(resource_type: str, node: str, group: list[Parameter]) -> Reader:
    """Reads the parts of all composites on one node with one compiled function."""
    expressions = {
        part[2]: part[2].replace("DateTime)", "dateTime)") for parameter in group for part in parameter.parts
    }
    context = _context(resource_type, group[0])
    parts = compile_many(expressions, context)
    nodes = None if context == resource_type else compile_many({"node": node}, resource_type)
    known = parameters(resource_type).values()
    bits = {p.code: sum(q.mask for q in known if p.code in q.stored_as) for p in group}
    # The keys of a dict compare as a set and keep the order of the parts.
    named = [(dict.fromkeys(part[2] for part in p.parts).keys(), _writer(p), bits[p.code]) for p in group]
    steps = group[0].branches[0].steps or ()
    keys = steps[0].keys if steps else ("resourceType",)

    def read(rows: Any, resource: dict[str, Any], environment: Environment) -> None:
        if not any(key in resource for key in keys):
            return
        found = [("", resource)] if nodes is None else nodes(resource, environment).get("node", ())
        for _type, item in found:
            values = parts(item, environment)
            for names, write, mask in named:
                if values.keys() >= names:
                    write(rows, tuple(values[name] for name in names))
                    rows.present |= mask

    return read


def _context(resource_type: str, parameter: Parameter) -> str:
    types = {t for branch in parameter.branches for t in branch.types}
    if len(types) != 1:
        raise ValueError(f"{resource_type}.{parameter.code}: the parts of a composite need one type")
    return type_definition(types.pop()).name


def _writer(parameter: Parameter) -> Callable[[Any, Parts], None]:
    kinds = composite.kinds(parameter)
    if all(kind in _NUMBERS for kind in kinds[1:]):
        return _numbers(parameter, kinds)
    return _texts(parameter) if kinds[1] == "string" else _pairs(parameter, kinds)


def _numbers(parameter: Parameter, kinds: tuple[str, ...]) -> Callable[[Any, Parts], None]:
    resource_type, code = parameter.resource_type, parameter.code
    canonical = code + quantity.CANONICAL
    measures = kinds[1:] == ("quantity",)

    def write(rows: Any, values: Parts) -> None:
        columns = [
            [row for v in found if (row := _row(kind, *v))] for kind, found in zip(kinds[1:], values[1:], strict=True)
        ]
        converted = [row for v in values[1] if (row := quantity.canonical(*v))] if measures else []
        pairs = [pair for v in values[0] for pair in token.pairs(*v) if pair[1] is not None]
        for (system, text), *found in product(pairs, *columns):
            # Two numbers beside one code: the first lies in column lo, the second in column hi.
            unit, lo, hi = found[0] if len(found) == 1 else (None, found[0][1], found[1][1])
            rows.code_values[hashing.code_number(resource_type, code, system, text or ""), unit, lo, hi] = None
        for (system, text), row in product(pairs, converted):
            rows.code_values[hashing.code_number(resource_type, canonical, system, text or ""), *row] = None

    return write


def _row(kind: str, fhir_type: str, value: Any) -> quantity.Row | None:
    if kind == "quantity":
        return quantity.of_value(fhir_type, value)
    found = date.of_value(fhir_type, value) if kind == "date" else number.of_value(fhir_type, value)
    return None if found is None else (None, *found)


def _texts(parameter: Parameter) -> Callable[[Any, Parts], None]:
    column = hashing.parameter_number(parameter.resource_type, parameter.code)

    def write(rows: Any, values: Parts) -> None:
        pairs = [pair for v in values[0] for pair in token.pairs(*v) if pair[1] is not None]
        for (system, code), (_type, text) in product(pairs, values[1]):
            for begin in composite.text_forms(system, code or ""):
                rows.strings[column, begin + string.fold(text), begin + text] = None

    return write


def _pairs(parameter: Parameter, kinds: tuple[str, ...]) -> Callable[[Any, Parts], None]:
    base = hashing.parameter_hash(parameter.resource_type, parameter.code)

    def write(rows: Any, values: Parts) -> None:
        first, second = (
            [h for v in found for h in _hashes(rows, kind, *v)] for kind, found in zip(kinds, values, strict=True)
        )
        for a, b in product(first, second):
            rows.terms.add(base ^ composite.pair_hash(a, b))

    return write


def _hashes(rows: Any, kind: str, fhir_type: str, value: Any) -> tuple[int, ...]:
    if kind != "reference":
        return token.hashes(fhir_type, value)
    text = reference.literal(value)
    return () if text is None else tuple(hash64(form) for form in reference.forms(text, rows.base_url))
