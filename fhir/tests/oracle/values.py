"""The values of a parameter in a resource, found by walking its JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Value:
    """A value and the FHIR type that the definition of its element gives it."""

    type: str
    value: Any


def items(value: Any) -> list[Any]:
    """The items of a repetition; one value is a repetition of one; null stands for a primitive without a value."""
    if value is None:
        return []
    return [item for item in value if item is not None] if isinstance(value, list) else [value]


def walk(node: Any, path: str) -> Iterator[Any]:
    """What lies at `a.b.c` below a node; `a[system=phone].b` keeps the items of `a` whose `system` is "phone"."""
    step, _dot, rest = path.partition(".")
    name, bracket, condition = step.partition("[")
    key, _equals, wanted = condition.removesuffix("]").partition("=")
    for item in items(node.get(name) if isinstance(node, dict) else None):
        if bracket and item.get(key) != wanted:
            continue
        if rest:
            yield from walk(item, rest)
        else:
            yield item


def found(resource: dict[str, Any], sources: tuple[tuple[str, str], ...]) -> list[Value]:
    """The values at all (path, FHIR type)."""
    return [Value(fhir_type, value) for path, fhir_type in sources for value in walk(resource, path)]


def split(text: str, separator: str) -> list[str]:
    """The parts of a query value; a separator after a backslash is none (https://hl7.org/fhir/R4/search.html#escaping).

    Escapes stay in the parts, so that they can be split again.
    """
    parts = [""]
    position = 0
    while position < len(text):
        if text[position] == "\\" and position + 1 < len(text):
            parts[-1] += text[position : position + 2]
            position += 2
        elif text[position] == separator:
            parts.append("")
            position += 1
        else:
            parts[-1] += text[position]
            position += 1
    return parts


def plain(text: str) -> str:
    """A part without its escapes."""
    for sign in ",|$":
        text = text.replace("\\\\", "\0").replace("\\" + sign, sign).replace("\0", "\\\\")
    return text.replace("\\\\", "\\")


def escaped(text: str) -> str:
    """A text as it has to be written in a query."""
    for sign in "\\,|$":
        text = text.replace(sign, "\\" + sign)
    return text
