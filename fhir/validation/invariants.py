"""Rules of the definitions (https://hl7.org/fhir/R4/conformance-rules.html#constraints), compiled from FHIRPath.

All rules of a type are one generated function. A few that nearly every resource meets are written by hand: ele-1 and
dom-2 to dom-5 in `structure` and `references`, ext-1, ref-1, txt-1 and txt-2 here; they say the same, cheaper.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from fhir.definitions.structure import Constraint, Element, element_constraints, type_definition
from fhir.fhirpath.compiler import compile_boolean, compile_booleans
from fhir.fhirpath.environment import Environment
from fhir.fhirpath.exceptions import FhirPathEvaluationError
from fhir.fhirpath.xhtml import problems as narrative_faults

from . import texts
from .problems import Context, Node, Problem, Problems, joined, say, shown
from .references import contained_resource
from .rule_texts import PROGRAM_NAME, RULES

Rules = Callable[[Any, Context], Problems]
Failures = Callable[[Any, Environment], list[str]]

ELSEWHERE = frozenset(("ele-1", "ext-1", "ref-1", "txt-1", "txt-2", "dom-2", "dom-3", "dom-4", "dom-5"))
# Rules ask for true, and an empty result is not true. But a comparison that cannot be decided (2020 and 2020-05, mg and
# tablets) breaks no rule, and neither does the absence of an optional element that a rule looks at.
UNDECIDED_PASSES = frozenset(("bdl-8", "inv-1", "md-1", "mdd-1", "per-1", "ras-2", "rng-2", "tim-4", "tim-5"))
# Broken in a draft these are warnings; argued in docs/validation.md.
MAY_WAIT = frozenset(("que-1", "que-2"))


def _expression(constraint: Constraint) -> str:
    if constraint.key in UNDECIDED_PASSES or constraint.key.endswith("-0"):
        return f"({constraint.expression}).where($this = false).empty()"
    return constraint.expression


def _failures(constraints: Mapping[str, Constraint], kind: str) -> Failures:
    """The keys of the rules that a node does not keep; one that cannot be evaluated on it is not kept."""
    expressions = {key: _expression(constraint) for key, constraint in constraints.items()}
    together = compile_booleans(expressions, kind)

    def failures(node: Any, environment: Environment) -> list[str]:
        try:
            return together(node, environment)
        except FhirPathEvaluationError:
            return [key for key, expression in expressions.items() if not _keeps(expression, kind, node, environment)]

    return failures


def _keeps(expression: str, kind: str, node: Any, environment: Environment) -> bool:
    try:
        return compile_boolean(expression, kind)(node, environment)
    except FhirPathEvaluationError:
        return False


def words(constraint: Constraint) -> Any:
    """What a person reads about a broken rule."""
    key = constraint.key
    if key.endswith("-0"):
        return PROGRAM_NAME
    return (
        RULES.get(f"{constraint.path}:{key}")
        or RULES.get(key)
        or say(texts.BROKEN_RULE, type=constraint.path, expression=constraint.expression)
    )


def _broken_rule(constraint: Constraint, context: Context) -> Problem:
    text = say(texts.RULE, text=words(constraint), key=constraint.key)
    waits = constraint.key in MAY_WAIT and context.is_draft()
    return Problem("invariant", text, severity="warning" if waits else constraint.severity)


def _compiled(constraints: Mapping[str, Constraint], kind: str) -> Rules:
    errors = {key: c for key, c in constraints.items() if c.severity == "error"}
    others = {key: c for key, c in constraints.items() if c.severity != "error"}
    broken = _failures(errors, kind)

    @cache
    def doubtful() -> Failures:
        return _failures(others, kind)

    def rules(node: Any, context: Context) -> Problems:
        failed = broken(node, context.environment)
        if context.warnings and others:
            failed = failed + doubtful()(node, context.environment)
        if not failed:
            return None
        return [_broken_rule(constraints[key], context) for key in failed]

    return rules


def _extension_content(node: Node, context: Context) -> Problems:
    """ext-1: a value or extensions."""
    contents = 1 if "extension" in node else 0
    for key in node:
        if key[:5] == "value" or key[:6] == "_value":
            contents |= 2
    return None if contents in (1, 2) else [Problem("invariant", texts.EXTENSION_BOTH)]


def _fragment(node: Node, context: Context) -> Problems:
    """ref-1: a fragment is the id of a contained resource; `#` alone is the container."""
    reference = node.get("reference")
    if reference is None or not reference.startswith("#"):
        return None
    if reference == "#":
        known = context.resource is not context.root
    else:
        known = contained_resource(context.root, reference[1:]) is not None
    if known:
        return None
    return [Problem("invariant", say(texts.NOT_CONTAINED, reference=shown(reference)), ".reference")]


def _narrative(text: str, context: Context) -> Problems:
    """txt-1 and txt-2: XHTML of the allowed elements, with content."""
    faults = narrative_faults(text)
    if not faults:
        return None
    told = [_narrative_fault(*fault.partition(" ")) for fault in faults[:5]]
    return [Problem("invariant", say(texts.BAD_NARRATIVE, faults=joined(told)))]


def _narrative_fault(kind: str, space: str, name: str) -> Any:
    return say(texts.NARRATIVE_FAULTS[kind], name=shown(name))


BY_HAND: dict[str, Rules] = {"Extension": _extension_content, "Reference": _fragment}


def _own_and_inherited(name: str) -> dict[str, Constraint]:
    definition = type_definition(name)
    inherited = _own_and_inherited(definition.base) if definition.base else {}
    return inherited | {c.key: c for c in definition.constraints if c.key not in ELSEWHERE}


def type_rules(name: str) -> Rules | None:
    """The rules stated at a type and the types that it specializes."""
    if name in BY_HAND:
        return BY_HAND[name]
    constraints = _own_and_inherited(name)
    return _compiled(constraints, name) if constraints else None


def element_rules(owner: str, element: Element, kind: str) -> Rules | None:
    """The rules stated at an element of the type `owner`, for values of type `kind`."""
    if element.path == "Narrative.div":
        return _narrative
    constraints = {c.key: c for c in element_constraints(element.path.rpartition(".")[0]) if c.path == element.path}
    if "sqty-1" in constraints and kind != "Quantity":  # SimpleQuantity is one of the types of such a choice
        del constraints["sqty-1"]
    return _compiled(constraints, kind) if constraints else None
