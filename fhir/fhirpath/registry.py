"""The functions that work on items at run time, by name; `functions_*` modules fill it.

Each takes (environment, input items, items of each argument…) and gives items. What is faster or must be typed at
compile time (`where`, `ofType`, `exists` …) is in `special` instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fhir.fhirpath.environment import Environment
from fhir.fhirpath.exceptions import FhirPathEvaluationError
from fhir.fhirpath.values import Item, Items, family, only

Implementation = Callable[..., Items]


@dataclass(frozen=True, slots=True)
class RuntimeFunction:
    """`result` is the static type of the results, None where it depends, "input" where it is that of the input.

    `accepts` names the families of input (see `values.family`) that make sense, for errors at compile time. `value`,
    where there is one, is the same function on bare values, of which none is None, and `takes` are the families of its
    arguments.
    """

    name: str
    call: Implementation
    minimum: int
    maximum: int
    result: str | None
    accepts: tuple[str, ...]
    value: Callable[..., Any] | None = None
    takes: tuple[str, ...] = ()


_LONGEST = 4_000_000  # characters; clients may send expressions that double a text again and again
FUNCTIONS: dict[str, RuntimeFunction] = {}


def collection(
    name: str, arguments: tuple[int, int] = (0, 0), result: str | None = None
) -> Callable[[Implementation], Implementation]:
    """Register a function of whole collections: `(environment, items, *argument items) -> items`."""

    def register(call: Implementation) -> Implementation:
        FUNCTIONS[name] = RuntimeFunction(name, call, *arguments, result, ())
        return call

    return register


def scalar(
    name: str,
    accepts: str,
    arguments: tuple[int, int] = (0, 0),
    result: str = "System.String",
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function of one value: `(value, *argument values) -> value or list of values or None`.

    An empty input or an empty argument gives an empty result, several items are an error, and so is a value of
    another family than `accepts` (space-separated) says.
    """
    families = tuple(accepts.split())

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        _, *parameters, _ = function.__annotations__.values()
        takes = tuple("string" if p == "str" else "number" for p in parameters)

        def call(environment: Environment, items: Items, *arguments_: Items) -> Items:
            item = only(items)
            values = [only(a) for a in arguments_]
            # An argument that can have no value, by its type, is left out by the compiler: it is empty too.
            absent = len(values) < arguments[0] or any(v is None for v in values)
            if item is None or item[1] is None or absent:
                return []
            if family(item[0]) not in families:
                raise FhirPathEvaluationError(f"{name}() does not work on {item[0]}")
            wrong = [v[0] for v, kind in zip(values, takes, strict=False) if v is not None and family(v[0]) != kind]
            if wrong:
                raise FhirPathEvaluationError(f"{name}() does not take {wrong[0]}")
            return wrap(result, function(item[1], *(v[1] for v in values if v is not None)))

        FUNCTIONS[name] = RuntimeFunction(name, call, *arguments, result, families, function, takes)
        return function

    return register


def wrap(type_name: str, value: Any) -> Items:
    """A Python value, a list of them, or None, as items."""
    if value is None:
        return []
    return [(type_name, v, None) for v in value] if isinstance(value, list) else [(type_name, value, None)]


def bounded(text: str) -> str:
    """The text itself. Raises FhirPathEvaluationError where it outgrew what any element may hold."""
    if len(text) > _LONGEST:
        raise FhirPathEvaluationError("The text is too long")
    return text


def string_argument(items: Items) -> str | None:
    """The single string among items, or None for none."""
    item = only(items)
    if item is None:
        return None
    if not isinstance(item[1], str):
        raise FhirPathEvaluationError(f"A string was expected, not {item[0]}")
    return item[1]


def integer_argument(items: Items) -> int | None:
    """The single integer among items, or None for none."""
    item: Item | None = only(items)
    if item is None:
        return None
    if not isinstance(item[1], int) or isinstance(item[1], bool):
        raise FhirPathEvaluationError(f"An integer was expected, not {item[0]}")
    return item[1]
