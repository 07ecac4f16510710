"""Conditions as values: what a search asks of one resource, printable, comparable, and able to say itself in SQL.

Each clause is about one row of `resource`, which an Alias names; rows of other tables are reached by its key, so that
every condition stays on one shard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from .comparison import Test


class Fragment(NamedTuple):
    """A piece of SQL with its parameters, in order."""

    text: str
    parameters: tuple[Any, ...] = ()


TRUE = Fragment("TRUE")
FALSE = Fragment("FALSE")


@dataclass(frozen=True, slots=True)
class Alias:
    """A row of `resource` in a statement. `bucket`, where it is known, is on every table reached from the row.

    `hidden` hides conditions on terms from the index on terms, for statements in which another index leads.
    `policy` is what the caller may see, for further rows of `resource` that a clause looks at.
    """

    name: str
    bucket: int | None = None
    hidden: bool = False
    policy: Clause | None = None

    def inner(self) -> Alias:
        """An alias for a subquery inside this one, over all buckets."""
        return Alias(f"{self.name}x", None, False, self.policy)


class Clause(Protocol):
    """A condition on one resource."""

    def sql(self, alias: Alias) -> Fragment:
        """The condition on the row `alias`."""


def joined(fragments: Sequence[Fragment], operator: str) -> Fragment:
    """Fragments with AND or OR between them."""
    if len(fragments) == 1:
        return fragments[0]
    text = f" {operator} ".join(f.text for f in fragments)
    return Fragment(f"({text})", tuple(p for f in fragments for p in f.parameters))


def bigints(numbers: Sequence[int]) -> str:
    """An array literal of 64-bit integers."""
    return "{" + ",".join(map(str, numbers)) + "}"


@dataclass(frozen=True, slots=True)
class Nothing:
    """No resource."""

    def sql(self, alias: Alias) -> Fragment:
        return FALSE


@dataclass(frozen=True, slots=True)
class Everything:
    """Any resource."""

    def sql(self, alias: Alias) -> Fragment:
        return TRUE


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every one of these."""

    clauses: tuple[Clause, ...]

    def sql(self, alias: Alias) -> Fragment:
        return joined([c.sql(alias) for c in self.clauses], "AND") if self.clauses else TRUE


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one of these."""

    clauses: tuple[Clause, ...]

    def sql(self, alias: Alias) -> Fragment:
        return joined([c.sql(alias) for c in self.clauses], "OR") if self.clauses else FALSE


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    clause: Clause

    def sql(self, alias: Alias) -> Fragment:
        inner = self.clause.sql(alias)
        return Fragment(f"NOT ({inner.text})", inner.parameters)


@dataclass(frozen=True, slots=True)
class Types:
    """Of one of these resource types, by number."""

    numbers: tuple[int, ...]

    def sql(self, alias: Alias) -> Fragment:
        if len(self.numbers) == 1:
            return Fragment(f"{alias.name}.type = %s::smallint", self.numbers)
        return Fragment(f"{alias.name}.type = ANY(%s::smallint[])", (bigints(self.numbers),))


@dataclass(frozen=True, slots=True)
class Terms:
    """With at least one of these terms. The type is in them: no condition on the type belongs beside this one."""

    hashes: tuple[int, ...]
    code: str = field(default="", compare=False)

    def sql(self, alias: Alias) -> Fragment:
        if not self.hashes:
            return FALSE
        if len(self.hashes) == 1:
            if alias.hidden:
                return Fragment(f"%s::bigint = ANY({alias.name}.terms)", self.hashes)
            return Fragment(f"{alias.name}.terms @> %s::bigint[]", (bigints(self.hashes),))
        text = f"{alias.name}.terms && %s::bigint[]"
        return Fragment(f"({text}) IS TRUE" if alias.hidden else text, (bigints(self.hashes),))


@dataclass(frozen=True, slots=True)
class Present:
    """With (or without) a value for the parameters of `mask`."""

    mask: int
    present: bool
    code: str = field(default="", compare=False)

    def sql(self, alias: Alias) -> Fragment:
        return Fragment(f"{alias.name}.present & %s::bigint {'<>' if self.present else '='} 0", (self.mask,))


@dataclass(frozen=True, slots=True)
class Compartment:
    """In the compartment of a patient: as the one who decides its place, or as another one."""

    pat: int
    term: int

    def sql(self, alias: Alias) -> Fragment:
        text = f"({alias.name}.pat = %s::bigint OR {alias.name}.terms @> %s::bigint[])"
        return Fragment(text, (self.pat, bigints((self.term,))))


@dataclass(frozen=True, slots=True)
class Chart:
    """Placed by this patient. `bucket` is where."""

    pat: int
    bucket: int

    def sql(self, alias: Alias) -> Fragment:
        return Fragment(f"{alias.name}.pat = %s::bigint AND {alias.name}.bucket = %s", (self.pat, self.bucket))


@dataclass(frozen=True, slots=True)
class Ids:
    """With one of these ids."""

    ids: tuple[str, ...]
    own_terms: tuple[int, ...]

    def sql(self, alias: Alias) -> Fragment:
        if alias.bucket is not None:
            return Fragment(f"{alias.name}.id = ANY(%s::text[])", (list(self.ids),))
        terms = Terms(self.own_terms).sql(alias)
        return Fragment(f"({terms.text} AND {alias.name}.id = ANY(%s::text[]))", (*terms.parameters, list(self.ids)))


@dataclass(frozen=True, slots=True)
class Updated:
    """Last updated in one of these intervals (microseconds since 1970)."""

    tests: tuple[Test, ...]

    def sql(self, alias: Alias) -> Fragment:
        column = f"{alias.name}.updated"
        return joined([Fragment(*test.instant_sql(column)) for test in self.tests], "OR")


@dataclass(frozen=True, slots=True)
class ClinicalDate:
    """A bound on column `sdate` that follows from another clause; it lets the index on dates lead."""

    least: float | None
    below: float | None

    def sql(self, alias: Alias) -> Fragment:
        found = []
        if self.least is not None:
            found.append(Fragment(f"{alias.name}.sdate >= %s::float8", (self.least,)))
        if self.below is not None:
            found.append(Fragment(f"{alias.name}.sdate < %s::float8", (self.below,)))
        return joined(found, "AND") if found else TRUE


def _row_exists(alias: Alias, table: str, conditions: Fragment) -> Fragment:
    x, r = f"{alias.name}_{table[0]}", alias.name
    place, parameters = (f"{x}.bucket = %s", (alias.bucket,)) if alias.bucket is not None else (
        f"{x}.bucket = {r}.bucket", ())  # fmt: skip
    text = (
        f"EXISTS (SELECT FROM {table} {x} WHERE {place} AND {x}.type = {r}.type AND {x}.id = {r}.id"
        f" AND {conditions.text.replace('$x', x)})"
    )
    return Fragment(text, (*parameters, *conditions.parameters))


def _of_parameters(numbers: tuple[int, ...]) -> Fragment:
    if len(numbers) == 1:
        return Fragment("$x.param = %s::int", numbers)
    return Fragment("$x.param = ANY(%s::int[])", (bigints(numbers),))


@dataclass(frozen=True, slots=True)
class Ranges:
    """With a date, number or quantity in the rows of these parameters that passes one of the tests."""

    params: tuple[int, ...]
    tests: tuple[Test, ...]
    code: str = field(default="", compare=False)

    def sql(self, alias: Alias) -> Fragment:
        tests = joined([Fragment(*test.sql()) for test in self.tests], "OR")
        return _row_exists(alias, "range_index", joined([_of_parameters(self.params), tests], "AND"))


# Above every character that a folded text can hold.
_LAST = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Strings:
    """With a text in the rows of these parameters. `operator` is prefix, contains (folded values) or exact."""

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
        return Fragment("($x.value >= %s AND $x.value < %s)", (folded, folded + _LAST))


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


@dataclass(frozen=True, slots=True)
class Chain:
    """Referring, by one of the parameters (hashes of "Type.code"), to a resource of a type that meets a condition."""

    parameters: tuple[int, ...]
    target: int
    clause: Clause

    def sql(self, alias: Alias) -> Fragment:
        inner = alias.inner()
        condition = self.clause.sql(inner)
        policy = TRUE if alias.policy is None else alias.policy.sql(inner)
        of_type = TRUE if names_type(self.clause) else Types((self.target,)).sql(inner)
        terms = ", ".join(f"{inner.name}.terms[1] # %s::bigint" for _ in self.parameters)
        text = (
            f"{alias.name}.terms && (SELECT array_agg(t) FROM (SELECT unnest(ARRAY[{terms}]) t"
            f" FROM resource {inner.name} WHERE {of_type.text} AND NOT {inner.name}.deleted AND {policy.text}"
            f" AND {condition.text}) {inner.name}s)"
        )
        return Fragment(text, (*self.parameters, *of_type.parameters, *policy.parameters, *condition.parameters))


@dataclass(frozen=True, slots=True)
class Has:
    """Referred to, by one of the parameters, from a resource of type `source` that meets a condition.

    `through_pat` says that the reference decides the place of the source, which then knows whom it is about.
    """

    source: int
    parameters: tuple[int, ...]
    mask: int
    through_pat: bool
    clause: Clause

    def sql(self, alias: Alias) -> Fragment:
        inner = alias.inner()
        condition = self.clause.sql(inner)
        policy = TRUE if alias.policy is None else alias.policy.sql(inner)
        of_type = TRUE if names_type(self.clause) else Types((self.source,)).sql(inner)
        where = (
            f"FROM resource {inner.name} WHERE {of_type.text} AND NOT {inner.name}.deleted"
            f" AND {inner.name}.present & %s::bigint <> 0 AND {policy.text} AND {condition.text}"
        )
        parameters = (*of_type.parameters, self.mask, *policy.parameters, *condition.parameters)
        if self.through_pat:
            return Fragment(f"{alias.name}.pat IN (SELECT {inner.name}.pat {where})", parameters)
        terms = ", ".join(f"{alias.name}.terms[1] # %s::bigint" for _ in self.parameters)
        found = f"SELECT array_agg(t) FROM (SELECT unnest({inner.name}.terms) t {where}) {inner.name}s"
        text = f"ARRAY[{terms}] && ({found})"
        if len(self.parameters) == 1:
            text = f"({terms}) IN (SELECT unnest({inner.name}.terms) {where})"
        return Fragment(text, (*self.parameters, *parameters))


def names_type(clause: Clause) -> bool:
    """Whether only resources of one type can meet the clause, so that no condition on the type is needed beside it."""
    if isinstance(clause, AllOf):
        return any(names_type(c) for c in clause.clauses)
    if isinstance(clause, AnyOf):
        return all(names_type(c) for c in clause.clauses)
    if isinstance(clause, Has):
        return not clause.through_pat
    return isinstance(clause, Terms | Types | Ranges | Strings | CodeValues | Near | Chain | Ids | Nothing)
