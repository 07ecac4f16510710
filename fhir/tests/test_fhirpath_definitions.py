"""Every official expression of R4 compiles, and gives what fhirpathpy gives on official examples."""

from __future__ import annotations

import gzip
import json as plain_json
import os
from collections import Counter
from functools import cache, lru_cache
from pathlib import Path

import fhirpathpy
import pytest
from fhirpathpy.models import models

from fhir import json
from fhir.definitions.search_parameters import parameters
from fhir.definitions.structure import RESOURCE_TYPES, element_constraints, type_definition
from fhir.definitions.table import table
from fhir.fhirpath import (
    Environment,
    FhirPathError,
    compile_boolean,
    compile_booleans,
    compile_expression,
    compile_many,
    evaluate,
)
from fhir.fhirpath.values import truth

SHARED = Path(os.environ.get("FHIR_SHARED") or Path(__file__).parents[3] / "shared")
EXAMPLES = SHARED / "data" / "examples" / "r4-examples-dev.ndjson.gz"
with_examples = pytest.mark.skipif(not EXAMPLES.exists(), reason="the official examples are not beside the repository")
PER_TYPE = 1


@lru_cache
def examples() -> list[dict]:
    """The first examples of each type."""
    count: Counter[str] = Counter()
    found = []
    with gzip.open(EXAMPLES) as lines:
        for line in lines:
            resource = json.loads(line)
            count[resource["resourceType"]] += 1
            if count[resource["resourceType"]] <= PER_TYPE:
                found.append(resource)
    return found


def rules():
    """(context type, key, expression) of every invariant, those of elements for each type the element may have."""
    for name in table()["types"]:
        owner = table()["types"][name]
        for path in {name, *(row["p"] for row in owner.get("e", ()))}:
            kind = path if path == name or _is_backbone(path) else None
            if kind is None:
                continue
            for rule in type_definition(kind).constraints:
                yield kind, rule.key, rule.expression
            for rule in element_constraints(kind):
                element = type_definition(kind).elements[rule.path.rpartition(".")[2].removesuffix("[x]")]
                for target in element.types:
                    yield target, rule.key, rule.expression


def _is_backbone(path: str) -> bool:
    owner, _, name = path.rpartition(".")
    return type_definition(owner).elements[name.removesuffix("[x]")].types == (path,)


def test_every_search_parameter_compiles():
    for resource_type in RESOURCE_TYPES:
        expressions = {code: p.expression for code, p in parameters(resource_type).items()}
        assert compile_many(expressions, resource_type)({"resourceType": resource_type}, Environment()) is not None


def test_every_invariant_compiles():
    compiled = [compile_boolean(expression, kind) for kind, _, expression in rules()]
    assert len(compiled) > 290


@with_examples
def test_search_parameters_find_what_fhirpathpy_finds():
    compared = 0
    for resource in examples():
        plain = plain_json.loads(json.dumps(resource))
        for code, parameter in parameters(resource["resourceType"]).items():
            theirs = _theirs(parameter.expression, plain)
            if theirs is not None:
                ours = evaluate(parameter.expression, plain)
                assert _comparable(ours) == _comparable(theirs), (resource["resourceType"], resource["id"], code)
                compared += 1
    assert compared > 1000


def _theirs(expression: str, resource: dict) -> list | None:
    """What fhirpathpy finds; None for what it cannot do."""
    unknown = ("resolve()", "hasExtension(", "Resource.meta", "Resource.id", "Resource.implicit", "Resource.language")
    if any(part in expression for part in unknown):
        return None
    try:
        return _oracle(expression)(resource, {})
    except ValueError as error:
        if "Expected singleton on left side of 'as'" not in str(error):
            raise
        return None


@cache
def _oracle(expression: str):
    return fhirpathpy.compile(expression, models["r4"])


def _comparable(values: list) -> list[str]:
    """Values as sorted texts; fhirpathpy turns numbers to texts of its own."""
    return sorted(plain_json.dumps(_numbers(v), sort_keys=True, default=str) for v in values)


def _numbers(value):
    if isinstance(value, dict):
        return {k: _numbers(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_numbers(v) for v in value]
    if isinstance(value, bool):
        return value
    try:
        return str(float(value))
    except (TypeError, ValueError):
        return value


@with_examples
@pytest.mark.parametrize(
    "expression",
    [
        "children().ofType(Identifier).count()",
        "descendants().where(system.exists() and code.exists()).code",
        "descendants().ofType(Reference).reference",
        "descendants().reference.distinct().count()",
        "meta.tag.code | text.status",
        "extension.url.select($this.substring(0, 10))",
        "identifier.where(value.exists()).value.first()",
        "identifier.select(system & '|' & value)",
        "text.status.upper() + id",
        "contained.id.exists() or text.exists()",
        "identifier.count() * 2 + 1",
        "identifier.value.length()",
        "identifier.skip(1).value | identifier.take(1).value",
        "iif(identifier.exists(), identifier.count(), -1)",
        "(identifier.value | id).isDistinct()",
        "meta.tag.all(code.matches('[A-Z]+'))",
        "identifier.exists() implies identifier.value.exists()",
    ],
)
def test_general_expressions_agree_with_fhirpathpy(expression):
    for resource in examples():
        plain = plain_json.loads(json.dumps(resource))
        run = compile_expression(expression, "")
        try:
            theirs = _oracle(expression)(plain, {})
        except Exception as error:  # fhirpathpy raises bare exceptions
            theirs = type(error)
        try:
            ours = run(plain, Environment(plain))
        except FhirPathError as error:
            ours = type(error)
        if isinstance(ours, list) and isinstance(theirs, list):
            assert _comparable(ours) == _comparable(theirs), (resource["resourceType"], resource["id"])
        else:
            assert not isinstance(ours, list), (resource["resourceType"], resource["id"], ours, theirs)


@with_examples
def test_one_function_for_all_rules_agrees_with_each_rule_alone():
    for resource in examples():
        kind = resource["resourceType"]
        expressions = {rule.key: rule.expression for rule in type_definition(kind).constraints}
        environment = Environment(resource)
        together = compile_booleans(expressions, kind)(resource, environment)
        items = {
            key: [("System.Boolean", v, None) for v in compile_expression(x, kind)(resource, environment)]
            for key, x in expressions.items()
            if key != "cid-0"  # names an element that ChargeItemDefinition does not have
        }
        assert set(together) - {"cid-0"} == {key for key, found in items.items() if truth(found) is not True}


@with_examples
def test_extraction_agrees_with_single_expressions():
    for resource in examples():
        kind = resource["resourceType"]
        expressions = {code: p.expression for code, p in parameters(kind).items()}
        environment = Environment(resource)
        found = compile_many(expressions, kind)(resource, environment)
        for code, expression in expressions.items():
            alone = compile_expression(expression, kind)(resource, environment)
            values = [value for _, value in found.get(code, ())]
            assert [v for v in alone if v not in values] == [v for v in values if v not in alone] == [], (kind, code)
