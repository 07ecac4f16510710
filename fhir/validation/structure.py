"""One check per type, built from the definitions: elements, cardinality, types, bindings, rules, in one walk.

A check is a closure over tables made from the type's definition. It visits only the keys that are there, and gives
None for a sound node, so that a sound resource costs no allocation; a finding gets its location on the way back up.
Why this and not a JSON schema: docs/decisions/0010-validation.md. The JSON form: https://hl7.org/fhir/R4/json.html.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock
from typing import Any

from fhir.definitions.structure import RESOURCE_TYPES, Element, TypeDefinition, type_definition

from . import texts
from .bindings import code_check, concept_rule
from .invariants import Rules, element_rules, type_rules
from .primitives import PRIMITIVE_CHECKS
from .problems import Check, Context, Node, Problem, Problems, at, kind_of, listed, say, shown
from .references import contained_problems, target_problem

RESOURCES = frozenset(RESOURCE_TYPES)
BOUND_TYPES = ("CodeableConcept", "Coding", "Quantity")

Choice = tuple[str, frozenset[str], bool]

# Required elements whose absence is only a warning in a draft; argued in docs/validation.md.
MAY_WAIT: dict[tuple[str, str], Callable[[Node], bool]] = {
    ("Questionnaire.item", "linkId"): lambda node: node.get("type") == "display",
}


def _broken(problems: Problems) -> bool:
    return problems is not None and any(problem.shape for problem in problems)


# --- values -----------------------------------------------------------------------------------------------------------


def _list_of(check: Check) -> Check:
    """An element that repeats (https://hl7.org/fhir/R4/json.html#repeat)."""

    def check_list(value: Any, parent: Node, context: Context) -> Problems:
        if type(value) is not list:
            return _not_a_list(value)
        if not value:
            return [Problem("structure", texts.EMPTY_LIST)]
        problems: Problems = None
        for number, item in enumerate(value):
            found = check(item, parent, context)
            if found is not None:
                problems = (problems or []) + at(f"[{number}]", found)
        return problems

    return check_list


def _not_a_list(value: Any) -> list[Problem]:
    if value is None:
        return [Problem("structure", texts.NULL_VALUE, shape=True)]
    return [Problem("structure", say(texts.NOT_A_LIST, found=kind_of(value)), shape=True)]


def _has_extension(value: Any) -> bool:
    return isinstance(value, dict) and bool(value.get("extension"))


def _primitive_list(key: str, check: Check) -> Check:
    """A primitive that repeats: null stands where only the list `_key` has something."""
    sibling = "_" + key

    def check_list(value: Any, parent: Node, context: Context) -> Problems:
        if type(value) is not list:
            return _not_a_list(value)
        if not value:
            return [Problem("structure", texts.EMPTY_LIST)]
        problems: Problems = None
        for number, item in enumerate(value):
            if item is None:
                others = parent.get(sibling)
                if isinstance(others, list) and number < len(others) and _has_extension(others[number]):
                    continue
                found: Problems = [Problem("structure", say(texts.LONELY_NULL, key=key), shape=True)]
            else:
                found = check(item, parent, context)
            if found is not None:
                problems = (problems or []) + at(f"[{number}]", found)
        return problems

    return check_list


def _sibling(key: str) -> Check:
    """`_key`: the id and extensions of a primitive (https://hl7.org/fhir/R4/json.html#primitive)."""
    check_element = _build("Element")

    def check(value: Any, parent: Node, context: Context) -> Problems:
        problems = check_element(value, parent, context)
        if problems is None and "extension" not in value and key not in parent:
            return [Problem("invariant", texts.NO_EXTENSION)]
        return problems

    return check


def _sibling_list(key: str) -> Check:
    def check(value: Any, parent: Node, context: Context) -> Problems:
        if type(value) is not list:
            return _not_a_list(value)
        if not value:
            return [Problem("structure", texts.EMPTY_LIST)]
        values = parent.get(key)
        known = values if isinstance(values, list) else []
        problems: Problems = None
        for number, item in enumerate(value):
            has_value = number < len(known) and known[number] is not None
            found = None if item is None and has_value else _sibling_item(item, has_value, parent, context)
            if found is not None:
                problems = (problems or []) + at(f"[{number}]", found)
        return problems

    return check


def _sibling_item(item: Any, has_value: bool, parent: Node, context: Context) -> Problems:
    if item is None:
        return [Problem("structure", texts.NULL_VALUE, shape=True)]
    problems = check_type("Element")(item, parent, context)
    if problems is None and not has_value and "extension" not in item:
        return [Problem("invariant", texts.NO_EXTENSION)]
    return problems


# --- objects ----------------------------------------------------------------------------------------------------------


def _not_an_object(kind: str, value: Any) -> list[Problem]:
    if value is None:
        return [Problem("structure", texts.NULL_VALUE, shape=True)]
    if isinstance(value, list):
        return [Problem("structure", texts.NOT_SINGLE, shape=True)]
    return [Problem("structure", say(texts.NOT_AN_OBJECT, type=kind, found=kind_of(value)), shape=True)]


def _missing(owner: str, name: str, node: Node, problems: Problems, context: Context) -> Problems:
    if "_" + name in node:
        return problems
    may_wait = MAY_WAIT.get((owner, name))
    severity = "warning" if may_wait is not None and may_wait(node) and context.is_draft() else "error"
    return [*(problems or []), Problem("required", texts.MISSING, "." + name, severity=severity)]


def _choice_problems(choices: tuple[Choice, ...], node: Node) -> Problems:
    """Exactly one, or at most one, of the forms of value[x] (https://hl7.org/fhir/R4/formats.html#choice)."""
    problems: Problems = None
    for name, keys, required in choices:
        found = keys.intersection(node)
        if len(found) > 1 and len({key.removeprefix("_") for key in found}) > 1:
            words = say(texts.TWO_CHOICES, keys=", ".join(key for key in node if key in found))
            problems = [*(problems or []), Problem("structure", words, "." + name)]
        elif required and not found:
            words = say(texts.MISSING_CHOICE, keys=listed(sorted(key for key in keys if key[0] != "_")))
            problems = [*(problems or []), Problem("required", words, "." + name)]
    return problems


def _unknown(kind: str, key: str) -> list[Problem]:
    where = f".{key}" if key.isidentifier() else ""
    # An element that calls itself a resource would be taken for one by the rules.
    deceives = key == "resourceType"
    return [Problem("structure", say(texts.UNKNOWN_ELEMENT, type=kind, key=shown(key)), where, shape=deceives)]


def _forms(element: Element) -> tuple[tuple[str, str], ...]:
    """(JSON key, type) of each form of an element."""
    return element.keys()


class Tables:
    """What the check of one type needs, from its definition. Filled after it is known: types refer in circles."""

    def __init__(self, definition: TypeDefinition) -> None:
        self.definition = definition
        self.name = definition.name
        self.is_resource = definition.kind == "resource"
        self.fields: dict[str, Check] = {}
        self.steps: dict[str, str] = {}
        elements = definition.elements.values()
        self.required = tuple(e.name for e in elements if e.min and not e.choice)
        self.choices: tuple[Choice, ...] = tuple(
            (e.name, frozenset(key for k, _ in _forms(e) for key in (k, "_" + k)), bool(e.min))
            for e in elements
            if e.choice
        )
        self.rules = type_rules(self.name)

    def fill(self) -> None:
        for element in self.definition.elements.values():
            for key, kind in _forms(element):
                self._add(key, kind, element)
        if self.is_resource:
            self.fields["resourceType"] = lambda value, parent, context: None

    def _add(self, key: str, kind: str, element: Element) -> None:
        many = element.max is None
        check = _value_check(kind, element)
        rules = element_rules(self.name, element, kind)
        if rules is not None:
            check = _with_rules(check, rules)
        step = "." + element.name
        self.steps[key] = self.steps["_" + key] = step
        if type_definition(kind).kind == "primitive":
            self.fields[key] = _primitive_list(key, check) if many else check
            self.fields["_" + key] = _sibling_list(key) if many else _sibling(key)
        else:
            self.fields[key] = _list_of(check) if many else check


def _with_rules(check: Check, rules: Rules) -> Check:
    """A check that also asks rules stated at the element rather than at its type."""

    def check_with_rules(value: Any, parent: Node, context: Context) -> Problems:
        problems = check(value, parent, context)
        if _broken(problems):
            return problems
        found = rules(value, context)
        return problems if found is None else (problems or []) + found

    return check_with_rules


def _value_check(kind: str, element: Element) -> Check:
    """The check of one value of an element."""
    if kind == "code":
        return code_check(element.binding, element.path)
    if kind in PRIMITIVE_CHECKS:
        return PRIMITIVE_CHECKS[kind]
    if kind == "Resource":
        return check_contained if element.path == "DomainResource.contained" else check_resource
    check = _build(kind)
    if kind == "Reference":
        targets = frozenset(element.targets) - {"Resource"}
        return _and_also(check, lambda node, context: target_problem(node, targets, context))
    rule = concept_rule(element.binding, kind) if element.binding and kind in BOUND_TYPES else None
    return check if rule is None else _and_also(check, lambda node, context: rule(node))


def _and_also(check: Check, rule: Callable[[Node, Context], Problem | None]) -> Check:
    def check_both(value: Any, parent: Node, context: Context) -> Problems:
        problems = check(value, parent, context)
        if problems is None:
            problem = rule(value, context)
            return None if problem is None else [problem]
        return problems

    return check_both


def _object_check(tables: Tables) -> Check:
    """The check of a type with elements."""
    name = tables.name
    # The object beside a primitive is an Element too, and may have nothing but an id.
    needs_content = not tables.is_resource and name != "Element"
    fields, steps, required, choices, rules = (
        tables.fields,
        tables.steps,
        tables.required,
        tables.choices,
        tables.rules,
    )

    def check(node: Any, parent: Node, context: Context) -> Problems:
        if type(node) is not dict:
            return _not_an_object(name, node)
        if not node:
            return [Problem("structure", texts.EMPTY_OBJECT)]
        problems: Problems = None
        for key, value in node.items():
            field = fields.get(key)
            if field is None:
                problems = (problems or []) + _unknown(name, key)
            elif (found := field(value, node, context)) is not None:
                problems = (problems or []) + at(steps[key], found)
        for element in required:
            if element not in node:
                problems = _missing(name, element, node, problems, context)
        if choices and (found := _choice_problems(choices, node)) is not None:
            problems = (problems or []) + found
        if needs_content and len(node) == 1 and "id" in node:
            problems = [*(problems or []), Problem("invariant", texts.ONLY_ID)]
        if rules is not None and not _broken(problems) and (found := rules(node, context)) is not None:
            problems = (problems or []) + found
        return problems

    return check


_checks: dict[str, Check] = {}
_building: dict[str, Check] = {}
_lock = RLock()


def _build(name: str) -> Check:
    """The check of a type and of all types that it reaches; called with the lock held."""
    known = PRIMITIVE_CHECKS.get(name) or _checks.get(name) or _building.get(name)
    if known is not None:
        return known
    tables = Tables(type_definition(name))
    _building[name] = check = _object_check(tables)
    tables.fill()
    return check


def check_type(name: str) -> Check:
    """The check of a type by name or, for backbone elements, by path: `Patient`, `Patient.contact`, `Quantity`.

    Raises KeyError for a name that is no type.
    """
    check = _checks.get(name)
    if check is None:
        with _lock:
            check = _build(name)
            _checks.update(_building)
            _building.clear()
    return check


# --- resources --------------------------------------------------------------------------------------------------------


def _typed(value: Any) -> tuple[str, Problems]:
    """The type of a resource, or why it has none."""
    if type(value) is not dict:
        return "", _not_an_object("Resource", value)
    name = value.get("resourceType")
    if not isinstance(name, str):
        return "", [Problem("structure", texts.NOT_A_RESOURCE, shape=True)]
    if name not in RESOURCES:
        return "", [Problem("structure", say(texts.UNKNOWN_TYPE, value=shown(name)), ".resourceType", shape=True)]
    return name, None


def _check_in(value: Node, name: str, context: Context) -> Problems:
    problems = check_type(name)(value, value, context)
    if isinstance(value.get("contained"), list) and context.resource is context.root:
        problems = ((problems or []) + contained_problems(value)) or None
    return problems


def check_root(value: Any, context: Context) -> Problems:
    """The resource that the context was made for."""
    name, problems = _typed(value)
    return problems if problems else _check_in(value, name, context)


def check_resource(value: Any, parent: Node, context: Context) -> Problems:
    """A resource that stands for itself inside another: in an entry of a Bundle, in a parameter."""
    name, problems = _typed(value)
    return problems if problems else _check_in(value, name, context.entering(value, value))


def check_contained(value: Any, parent: Node, context: Context) -> Problems:
    """A contained resource: %rootResource stays the resource that contains it."""
    name, problems = _typed(value)
    return problems if problems else _check_in(value, name, context.entering(value, context.root))
