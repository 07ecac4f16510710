"""Conditions on the rows that stand beside a resource: dates, numbers, quantities, texts, codes with values, content.

They are reached by the key of the resource, bucket first, so that every condition stays on one shard.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from fhir import citus, json

from .clauses import FALSE, Alias, Fragment, bigints, joined
from .comparison import Test


def _row_exists(alias: Alias, table: str, conditions: Fragment) -> Fragment:
    x, r = f"{alias.name}_{table[0]}", alias.name
    place, parameters = (f"{x}.bucket = %s", (alias.bucket,)) if alias.bucket is not None else (
        f"{x}.bucket = {r}.bucket", ())  # fmt: skip
    # OFFSET 0 keeps the planner from joining where another index leads: each row is looked up by its key.
    alone = " OFFSET 0" if alias.hidden and not citus.distributed() else ""
    text = (
        f"EXISTS (SELECT FROM {table} {x} WHERE {place} AND {x}.type = {r}.type AND {x}.id = {r}.id"
        f" AND {conditions.text.replace('$x', x)}{alone})"
    )
    return Fragment(text, (*parameters, *conditions.parameters))


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
class Words:
    """With all words of one of the alternatives in its content, or in its narrative (`element` "text").

    There is no index for this: it reads the contents of what the other clauses leave.
    """

    element: str | None
    alternatives: tuple[tuple[str, ...], ...]

    def sql(self, alias: Alias) -> Fragment:
        if not self.alternatives:
            return FALSE
        text = "$x.body" if self.element is None else "($x.body::jsonb #>> '{text,div}')"
        found = [
            joined([Fragment(f"{text} ILIKE %s", (f"%{self._pattern(word)}%",)) for word in words], "AND")
            for words in self.alternatives
        ]
        return _row_exists(alias, "content", joined(found, "OR"))

    def _pattern(self, word: str) -> str:
        """As it stands in the JSON text, and without what LIKE reads as wildcards."""
        written = json.dumps(word).decode()[1:-1] if self.element is None else word
        return re.sub(r"([\\%_])", r"\\\1", written)


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
