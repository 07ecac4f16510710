"""Conditions on the rows that stand beside a resource: dates, numbers, quantities, texts, codes with values, content.

They are reached by the key of the resource, bucket first, so that every condition stays on one shard.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from fhir import json

from .clauses import FALSE, Alias, Fragment, bigints, joined
from .comparison import Test


def _row_exists(alias: Alias, table: str, conditions: Fragment) -> Fragment:
    x, r = f"{alias.name}_{table[0]}", alias.name
    place = alias.of(x)
    # OFFSET 0 keeps the planner from joining where another index leads: each row is looked up by its key.
    alone = " OFFSET 0" if alias.hidden and not alias.pushed else ""
    text = (
        f"EXISTS (SELECT FROM {table} {x} WHERE {place.text} AND {x}.type = {r}.type AND {x}.id = {r}.id"
        f" AND {conditions.text.replace('$x', x)}{alone})"
    )
    return Fragment(text, (*place.parameters, *conditions.parameters))


def _of_parameters(numbers: tuple[int, ...]) -> Fragment:
    if len(numbers) == 1:
        return Fragment("$x.param = %s::int", numbers)
    return Fragment("$x.param = ANY(%s::int[])", (bigints(numbers),))


@dataclass(frozen=True, slots=True)
class Ranges:
    """With a date, number or quantity in the rows of these parameters that passes one of the tests.

    `further` are groups of tests that the same row has to pass too, one of each.
    """

    params: tuple[int, ...]
    tests: tuple[Test, ...]
    code: str = field(default="", compare=False)
    further: tuple[tuple[Test, ...], ...] = ()

    def sql(self, alias: Alias) -> Fragment:
        groups = [joined([Fragment(*test.sql()) for test in group], "OR") for group in (self.tests, *self.further)]
        return _row_exists(alias, "range_index", joined([_of_parameters(self.params), *groups], "AND"))


# Above every character that a folded text can hold.
_LAST = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Strings:
    """With a text in the rows of these parameters. `operator`: prefix, contains, ends, equal (folded), or exact."""

    params: tuple[int, ...]
    operator: str
    values: tuple[tuple[str, str], ...]  # (folded, exact)
    code: str = field(default="", compare=False)

    def sql(self, alias: Alias) -> Fragment:
        tests = joined([self._test(*value) for value in self.values], "OR")
        return _row_exists(alias, "string_index", joined([_of_parameters(self.params), tests], "AND"))

    def _test(self, folded: str, exact: str) -> Fragment:
        if self.operator == "exact":
            return Fragment("($x.value = %s AND $x.exact = %s)", (folded, exact))
        if self.operator == "contains":
            return Fragment("$x.value LIKE %s", (f"%{folded}%",))
        if self.operator == "ends":
            return Fragment("$x.value LIKE %s", (f"%{folded}",))
        if self.operator == "equal":
            return Fragment("$x.value = %s", (folded,))
        return Fragment("($x.value >= %s AND $x.value < %s)", (folded, folded + _LAST))


@dataclass(frozen=True, slots=True)
class ComparedStrings:
    """With a text in the rows of these parameters that is not `value` ("ne"), or begins after or before it does.

    Only the first characters are compared (https://hl7.org/fhir/R4/search_filter.html#ops). No index leads here.
    """

    params: tuple[int, ...]
    operator: str
    value: str
    code: str = field(default="", compare=False)

    def sql(self, alias: Alias) -> Fragment:
        if self.operator == "ne":
            test = Fragment("$x.value <> %s", (self.value,))
        else:
            sign = {"gt": ">", "lt": "<", "ge": ">=", "le": "<="}[self.operator]
            test = Fragment(f'left($x.value, 1) COLLATE "C" {sign} %s', (self.value[:1],))
        return _row_exists(alias, "string_index", joined([_of_parameters(self.params), test], "AND"))


@dataclass(frozen=True, slots=True)
class UnequalValues:
    """With a value in its content, at one of the places, that fails the test: (path, test), both SQL/JSON paths."""

    places: tuple[tuple[str, str], ...]
    code: str = field(default="", compare=False)

    def sql(self, alias: Alias) -> Fragment:
        one = (
            "EXISTS (SELECT FROM jsonb_path_query($x.body::jsonb, %s::jsonpath) v(v)"
            " WHERE NOT jsonb_path_exists(v.v, %s::jsonpath))"
        )
        return _row_exists(alias, "content", joined([Fragment(one, place) for place in self.places], "OR"))


@dataclass(frozen=True, slots=True)
class Words:
    """With all words of one of the alternatives in its content, or in its narrative (`element` "text").

    There is no index for this: it reads the contents of what the other clauses leave.
    """

    element: str | None
    alternatives: tuple[tuple[str, ...], ...]

    def sql(self, alias: Alias) -> Fragment:
        if not self.alternatives:
            return FALSE
        test = self._told if self.element else self._written
        found = [joined([test(word) for word in words], "AND") for words in self.alternatives]
        return _row_exists(alias, "content", joined(found, "OR"))

    def _told(self, word: str) -> Fragment:
        """In the narrative, not in its markup."""
        text = _without_markup("($x.body::jsonb #>> '{text,div}')")
        return Fragment(f"{text} ILIKE %s", (f"%{_literal(word)}%",))

    def _written(self, word: str) -> Fragment:
        """In a value, not in the name of an element: the whole text is looked at first, it is cheaper."""
        text = "(v.v #>> '{}')"
        value = f"CASE WHEN {text} LIKE '<div%%' THEN {_without_markup(text)} ELSE {text} END"
        condition = (
            "($x.body ILIKE %s AND EXISTS (SELECT FROM jsonb_path_query($x.body::jsonb, 'strict $.**') v(v)"
            f" WHERE jsonb_typeof(v.v) IN ('string', 'number') AND {value} ILIKE %s))"
        )
        as_json = json.dumps(word).decode()[1:-1]
        return Fragment(condition, (f"%{_literal(as_json)}%", f"%{_literal(word)}%"))


def _without_markup(text: str) -> str:
    return f"regexp_replace({text}, '<[^>]*>', ' ', 'g')"


def _literal(word: str) -> str:
    """A word without what LIKE reads as wildcards."""
    return re.sub(r"([\\%_])", r"\\\1", word)


@dataclass(frozen=True, slots=True)
class CodeValue:
    """A code between `first` and `last` beside a number that passes all of the tests."""

    first: int
    last: int
    tests: tuple[Test, ...]


@dataclass(frozen=True, slots=True)
class CodeValues:
    """With a code and a number of one repetition that fit one of the alternatives."""

    alternatives: tuple[CodeValue, ...]
    code: str = field(default="", compare=False)

    def sql(self, alias: Alias) -> Fragment:
        return _row_exists(alias, "code_value_index", joined([self._one(a) for a in self.alternatives], "OR"))

    @staticmethod
    def _one(alternative: CodeValue) -> Fragment:
        tests = [Fragment(*test.sql()) for test in alternative.tests]
        if alternative.first == alternative.last:
            code = Fragment("$x.code = %s::bigint", (alternative.first,))
        else:
            code = Fragment("$x.code BETWEEN %s::bigint AND %s::bigint", (alternative.first, alternative.last))
        return joined([code, *tests], "AND")


@dataclass(frozen=True, slots=True)
class Near:
    """Within `metres` of a point, by the great circle; rows hold latitude in lo and longitude in hi."""

    param: int
    latitude: float
    longitude: float
    metres: float

    def sql(self, alias: Alias) -> Fragment:
        degrees = self.metres / 111_000
        distance = (
            "2 * 6371008.8 * asin(least(1, sqrt(sin(radians(($x.lo - %s::float8) / 2)) ^ 2 + cos(radians(%s::float8))"
            " * cos(radians($x.lo)) * sin(radians(($x.hi - %s::float8) / 2)) ^ 2)))"
        )
        return _row_exists(
            alias,
            "range_index",
            Fragment(
                f"$x.param = %s::int AND $x.lo BETWEEN %s::float8 AND %s::float8 AND {distance} <= %s::float8",
                (self.param, self.latitude - degrees, self.latitude + degrees,
                 self.latitude, self.latitude, self.longitude, self.metres),
            ),
        )  # fmt: skip
