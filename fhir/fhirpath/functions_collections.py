"""Existence, subsetting and combining (https://hl7.org/fhirpath/N1/#functions)."""

from __future__ import annotations

from fhir.fhirpath.environment import Environment
from fhir.fhirpath.exceptions import FhirPathEvaluationError
from fhir.fhirpath.registry import collection, integer_argument, wrap
from fhir.fhirpath.values import Item, Items, family, key, only, truth

BOOLEAN = "System.Boolean"


def _booleans(items: Items) -> list[bool]:
    if any(family(item[0]) != "boolean" for item in items):
        raise FhirPathEvaluationError("Booleans were expected")
    return [item[1] for item in items if item[1] is not None]


@collection("allTrue", result=BOOLEAN)
def all_true(environment: Environment, items: Items) -> Items:
    return wrap(BOOLEAN, all(_booleans(items)))


@collection("anyTrue", result=BOOLEAN)
def any_true(environment: Environment, items: Items) -> Items:
    return wrap(BOOLEAN, any(_booleans(items)))


@collection("allFalse", result=BOOLEAN)
def all_false(environment: Environment, items: Items) -> Items:
    return wrap(BOOLEAN, not any(_booleans(items)))


@collection("anyFalse", result=BOOLEAN)
def any_false(environment: Environment, items: Items) -> Items:
    return wrap(BOOLEAN, not all(_booleans(items)))


@collection("not", result=BOOLEAN)
def negate(environment: Environment, items: Items) -> Items:
    value = truth(items)
    return wrap(BOOLEAN, None if value is None else not value)


@collection("subsetOf", (1, 1), BOOLEAN)
def subset_of(environment: Environment, items: Items, other: Items) -> Items:
    return wrap(BOOLEAN, {key(i) for i in items} <= {key(i) for i in other})


@collection("supersetOf", (1, 1), BOOLEAN)
def superset_of(environment: Environment, items: Items, other: Items) -> Items:
    return wrap(BOOLEAN, {key(i) for i in items} >= {key(i) for i in other})


def unique(items: Items) -> Items:
    """Items without those equal to an earlier one."""
    found: dict[object, Item] = {}
    for item in items:
        found.setdefault(key(item), item)
    return list(found.values())


@collection("distinct", result="input")
def distinct(environment: Environment, items: Items) -> Items:
    return unique(items)


@collection("isDistinct", result=BOOLEAN)
def is_distinct(environment: Environment, items: Items) -> Items:
    return wrap(BOOLEAN, len({key(i) for i in items}) == len(items))


@collection("single", result="input")
def single(environment: Environment, items: Items) -> Items:
    item = only(items)
    return [] if item is None else [item]


@collection("first", result="input")
def first(environment: Environment, items: Items) -> Items:
    return items[:1]


@collection("last", result="input")
def last(environment: Environment, items: Items) -> Items:
    return items[-1:]


@collection("tail", result="input")
def tail(environment: Environment, items: Items) -> Items:
    return items[1:]


@collection("skip", (1, 1), "input")
def skip(environment: Environment, items: Items, number: Items) -> Items:
    count = integer_argument(number)
    return [] if count is None else items[max(count, 0) :]


@collection("take", (1, 1), "input")
def take(environment: Environment, items: Items, number: Items) -> Items:
    count = integer_argument(number)
    return [] if count is None else items[: max(count, 0)]


@collection("intersect", (1, 1), "input")
def intersect(environment: Environment, items: Items, other: Items) -> Items:
    wanted = {key(i) for i in other}
    return [i for i in unique(items) if key(i) in wanted]


@collection("exclude", (1, 1), "input")
def exclude(environment: Environment, items: Items, other: Items) -> Items:
    unwanted = {key(i) for i in other}
    return [i for i in items if key(i) not in unwanted]


@collection("union", (1, 1))
def union(environment: Environment, items: Items, other: Items) -> Items:
    return unique(items + other)


@collection("combine", (1, 1))
def combine(environment: Environment, items: Items, other: Items) -> Items:
    return items + other


def index(items: Items, number: Items) -> Items:
    """`items[number]`"""
    position = integer_argument(number)
    return [] if position is None or position < 0 else items[position : position + 1]


def contains(items: Items, element: Items) -> bool | None:
    """Whether `items` contain `element`, by equality (https://hl7.org/fhirpath/N1/#contains-containership)."""
    item = only(element)
    if item is None:
        return None
    wanted = key(item)
    return any(key(i) == wanted for i in items)
