"""Conditions as values: what a search asks of one resource, printable, comparable, and able to say itself in SQL.

Each clause is about one row of `resource`, which an Alias names; rows of other tables are reached by its key, so that
every condition stays on one shard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

from fhir import citus
from fhir.local_shards import Shard

from .comparison import Test

_MANY = 64


class Fragment(NamedTuple):
    """A piece of SQL with its parameters, in order."""

    text: str
    parameters: tuple[Any, ...] = ()


TRUE = Fragment("TRUE")
FALSE = Fragment("FALSE")


@dataclass(frozen=True, slots=True)
class Alias:
    """A row of `resource` in a statement. `bucket`, where it is known, is on every table reached from the row; a
    condition on the type stands beside it. `buckets`, on Citus, are the few that the row can lie in.

    `hidden` hides conditions on terms from the index on terms, for statements in which another index leads.
    `policy` is what the caller may see, for further rows of `resource` that a clause looks at. `shard` has all rows
    that the statement looks at, where it goes past Citus; `together` says that they all lie in `bucket`.
    """

    name: str
    bucket: int | None = None
    hidden: bool = False
    policy: Clause | None = None
    buckets: tuple[int, ...] = ()
    shard: Shard | None = None
    together: bool = False

    @property
    def routed(self) -> bool:
        """Whether it is Citus that plans the statement."""
        return self.shard is None and citus.distributed()

    @property
    def pushed(self) -> bool:
        """Whether Citus takes the statement apart for many shards, which it does not with everything."""
        return self.routed and not self.together

    def inner(self) -> Alias:
        """An alias for a subquery inside this one, over all buckets; on Citus over those of the policy.

        Raises ValueError where the statement has the rows of one bucket only.
        """
        if self.together:
            raise ValueError("a statement about one bucket asks for rows of others")
        if self.policy is not None and self.buckets:
            return self.beside()
        return Alias(f"{self.name}x", None, False, self.policy)

    def beside(self) -> Alias:
        """An alias for another resource of the same patient: on Citus its bucket has to be said again."""
        if not self.routed:
            return Alias(f"{self.name}x", None, False, self.policy, shard=self.shard, together=self.together)
        return Alias(f"{self.name}x", self.bucket, False, self.policy, self.buckets, together=self.together)

    @property
    def here(self) -> Fragment:
        """Where the row itself lies."""
        return self._of(self.name)

    def of(self, table: str) -> Fragment:
        """Where a row lies that another table has for this one."""
        if self.bucket is not None:
            return Fragment(f"{table}.bucket = %s", (self.bucket,))
        same = f"{table}.bucket = {self.name}.bucket"
        return joined([Fragment(same), self._of(table)], "AND") if self.buckets else Fragment(same)

    def _of(self, table: str) -> Fragment:
        if self.bucket is not None:
            return Fragment(f"{table}.bucket = %s", (self.bucket,))
        if self.buckets:
            return Fragment(f"{table}.bucket = ANY(%s::int[])", (bigints(self.buckets),))
        return TRUE


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
        # No index finds what does not meet a condition.
        inner = self.clause.sql(replace(alias, hidden=True))
        # A chain that leads nowhere is null in SQL.
        return Fragment(f"({inner.text}) IS NOT TRUE", inner.parameters)


@dataclass(frozen=True, slots=True)
class Filter:
    """The same condition, asked of rows that another one has found."""

    clause: Clause

    def sql(self, alias: Alias) -> Fragment:
        return self.clause.sql(replace(alias, hidden=True))


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
    """With at least one of these terms. The type is in them: no condition on the type belongs beside this one.

    `identifiers`, if identifier_locator has a row for whatever meets the clause: value and term of each alternative,
    the term None where any system will do.
    """

    hashes: tuple[int, ...]
    code: str = field(default="", compare=False)
    identifiers: tuple[tuple[int, int | None], ...] = field(default=(), compare=False)

    @property
    def many(self) -> bool:
        """Whether these are so many that PostgreSQL must not compare each with each."""
        return len(self.hashes) > _MANY

    def sql(self, alias: Alias) -> Fragment:
        if not self.hashes:
            return FALSE
        if self.many:
            return self._sql_of_many(alias)
        if len(self.hashes) == 1:
            if alias.hidden:
                return Fragment(f"%s::bigint = ANY({alias.name}.terms)", self.hashes)
            return Fragment(f"{alias.name}.terms @> %s::bigint[]", (bigints(self.hashes),))
        text = f"{alias.name}.terms && %s::bigint[]"
        return Fragment(f"({text}) IS TRUE" if alias.hidden else text, (bigints(self.hashes),))

    def _sql_of_many(self, alias: Alias) -> Fragment:
        """`&&` takes seconds for thousands of terms, and the planner does not know it.

        As a filter each term of a row is looked for in a hash of these: made once, if they stand in a select list, in
        generic plans too. Where they lead, each of these is looked for in the index, and the rows are fetched by their
        address, which is one only within a shard.
        """
        name, among = alias.name, "IN (SELECT unnest(%s::bigint[]))"
        if alias.routed and alias.bucket is None:
            # Citus sends no subquery to its shards that is about a row and has no table.
            place = alias.of(f"{name}m")
            text = (
                f"EXISTS (SELECT 1 FROM (SELECT m.bucket, m.type, m.id, unnest(m.terms) h FROM resource m) {name}m"
                f" WHERE {place.text} AND {name}m.type = {name}.type AND {name}m.id = {name}.id"
                f" AND {name}m.h {among})"
            )
            return Fragment(text, (*place.parameters, bigints(self.hashes)))
        elif alias.hidden or alias.routed:
            text = f"(SELECT bool_or(h.h {among}) FROM unnest({name}.terms) h(h)) IS TRUE"
        else:
            found = "SELECT m.ctid FROM unnest(%s::bigint[]) h(h) JOIN resource m ON m.terms @> ARRAY[h.h]"
            text = f"{name}.ctid = ANY(ARRAY({found}))"
        return Fragment(text, (bigints(self.hashes),))


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
    """In the compartment of a patient: as the one who decides its place, or as another one. `bucket`: the patient's."""

    pat: int
    term: int
    bucket: int | None = field(default=None, compare=False)

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
