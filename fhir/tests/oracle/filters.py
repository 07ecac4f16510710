"""`_filter`: https://hl7.org/fhir/R4/search_filter.html, its grammar and its table of operators, read literally.

Choices of docs/search.md: texts are compared folded, tokens with their case; `eq` and `ne` of dates, numbers and
quantities are those of the prefixes, to which the page refers.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from . import codes, dates, judge, references, texts, tokens
from .parameters import PARAMETERS, SYSTEMS, Parameter
from .values import Value, plain, split

PREDEFINED = {
    "loinc": "http://loinc.org",
    "snomed": "http://snomed.info/sct",
    "rxnorm": "http://www.nlm.nih.gov/research/umls/rxnorm",
    "ucum": "http://unitsofmeasure.org",
}
NAME = re.compile(r"[_A-Za-z][-_A-Za-z0-9]*(?::[A-Za-z]+)?")


@dataclass(frozen=True)
class Test:
    """`path operator value`; each step of the path is a name and the filter behind it, or None."""

    path: tuple[tuple[str, Tree | None], ...]
    operator: str
    value: str


@dataclass(frozen=True)
class Negated:
    """not (filter)"""

    inner: Tree


@dataclass(frozen=True)
class Joined:
    """left and right; left or right"""

    word: str
    left: Tree
    right: Tree


Tree = Test | Negated | Joined


class Reader:
    """Reads a filter, character by character, as the grammar says."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def space(self) -> None:
        while self.text[self.at : self.at + 1] == " ":
            self.at += 1

    def word(self, *known: str) -> str | None:
        self.space()
        for each in known:
            if re.match(rf"{re.escape(each)}(?![-_A-Za-z0-9])", self.text[self.at :]):
                self.at += len(each)
                return each
        return None

    def sign(self, sign: str) -> bool:
        self.space()
        if self.text.startswith(sign, self.at):
            self.at += len(sign)
            return True
        return False

    def filter(self) -> Tree:
        """Logical expressions are evaluated from left to right, with no precedence between `and` and `or`."""
        found = self.one()
        while word := self.word("and", "or"):
            found = Joined(word, found, self.one())
        return found

    def one(self) -> Tree:
        negated = self.word("not") is not None
        if negated or self.text.startswith("(", self.at):
            assert self.sign("(")
            inner = self.filter()
            assert self.sign(")")
            return Negated(inner) if negated else inner
        return self.test()

    def test(self) -> Test:
        path = [self.step()]
        while self.text[self.at : self.at + 1] == ".":
            self.at += 1
            path.append(self.step())
        operator = self.word("eq", "ne", "co", "sw", "ew", "gt", "lt", "ge", "le", "ap", "sa", "eb", "pr", "po", "ss",
                             "sb", "in", "ni", "re")  # fmt: skip
        assert operator is not None, self.text
        self.space()
        return Test(tuple(path), operator, self.value())

    def step(self) -> tuple[str, Tree | None]:
        self.space()
        name = NAME.match(self.text, self.at)
        assert name is not None, self.text
        self.at = name.end()
        if self.text[self.at : self.at + 1] != "[":
            return name[0], None
        self.at += 1
        inner = self.filter()
        assert self.sign("]")
        return name[0], inner

    def value(self) -> str:
        """A JSON string, or a run of characters that are no space and do not close a bracket."""
        if self.text[self.at] == '"':
            found, length = json.JSONDecoder().raw_decode(self.text[self.at :])
            self.at += length
            return str(found)
        start = self.at
        while self.at < len(self.text) and not self.text[self.at].isspace() and self.text[self.at] not in ")]":
            self.at += 1
        return self.text[start : self.at]


def matches(world: judge.World, resource: judge.Resource, text: str) -> bool:
    """Whether a resource meets a filter."""
    reader = Reader(text)
    tree = reader.filter()
    reader.space()
    assert reader.at == len(text), text
    return holds(world, resource, tree)


def holds(world: judge.World, resource: judge.Resource, tree: Tree) -> bool:
    if isinstance(tree, Negated):
        return not holds(world, resource, tree.inner)
    if isinstance(tree, Joined):
        both = all if tree.word == "and" else any
        return both(holds(world, resource, each) for each in (tree.left, tree.right))
    return _test(world, resource, tree)


def _test(world: judge.World, resource: judge.Resource, test: Test) -> bool:
    (name, condition), *rest = test.path
    code, _colon, kind = name.partition(":")
    parameter = PARAMETERS[resource["resourceType"]][code]
    if not rest:
        return compare(world, parameter, resource, test.operator, test.value)
    further = Test(tuple(rest), test.operator, test.value)
    following = rest[0][0].partition(":")[0]
    return any(
        kind in ("", other["resourceType"])
        and following in PARAMETERS[other["resourceType"]]
        and any(judge.points_to(world, value, other) for value in parameter.values(resource))
        and (condition is None or holds(world, other, condition))
        and _test(world, other, further)
        for other in world.resources
    )


def compare(world: judge.World, parameter: Parameter, resource: judge.Resource, operator: str, value: str) -> bool:
    """The operator against the set of values of a parameter."""
    if operator == "pr":
        return judge.present(parameter, resource) == (value == "true")
    if parameter.type == "composite":
        return judge.composite(world, parameter, resource, value)
    if operator == "ni":
        return not any(codes.matches(stored, "in", value) for stored in parameter.values(resource))
    return any(_item(world, parameter, stored, operator, value) for stored in parameter.values(resource))


def _item(world: judge.World, parameter: Parameter, stored: Value, operator: str, value: str) -> bool:
    """The operator against one value of the set."""
    kind = parameter.type
    if kind == "string":
        return any(text_matches(text, operator, value) for text in texts.strings(stored))
    if kind == "date":
        return _date(world, stored, operator, value)
    if kind in ("number", "quantity"):
        return judge.part_matches(world, kind, stored, operator + _in_full(value, 1))
    if kind == "reference":
        return references.matches(stored, None, plain(value), world.base_url)
    if kind == "uri":
        return references.uri_matches(stored, None, plain(value)) == (operator == "eq")
    if operator == "in":
        return codes.matches(stored, "in", value)
    value = _in_full(value, 0)
    if operator in ("ss", "sb"):
        return codes.matches(stored, {"ss": "below", "sb": "above"}[operator], value)
    same = tokens.matches(stored, value, SYSTEMS.get((parameter.resource_type, parameter.code)))
    return same == (operator == "eq")


def text_matches(stored: str, operator: str, asked: str) -> bool:
    """Of texts; greater and less look at the first character only."""
    one, other = texts.fold(stored), texts.fold(asked)
    return {
        "eq": one == other,
        "ne": one != other,
        "co": other in one,
        "sw": one.startswith(other),
        "ew": one.endswith(other),
        "gt": one[:1] > other[:1],
        "lt": one[:1] < other[:1],
        "ge": one[:1] >= other[:1],
        "le": one[:1] <= other[:1],
    }[operator]


def _date(world: judge.World, stored: Value, operator: str, value: str) -> bool:
    if operator not in ("po", "co"):
        return dates.matches(stored, operator, value, world.now)
    held = dates.target(stored)
    if held is None:
        return False
    (lo, hi), (a, b) = held, dates.interval(value)
    return (lo < b and hi > a) if operator == "po" else (lo <= a and hi >= b)


def _in_full(value: str, place: int) -> str:
    """A value whose system may be one of the predefined names."""
    parts = split(value, "|")
    if len(parts) > place + 1:
        parts[place] = PREDEFINED.get(parts[place], parts[place])
    return "|".join(parts)
