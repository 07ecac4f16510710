"""Conditions on other resources: chains and `_has` (https://hl7.org/fhir/R4/search.html#chaining, #has).

The term of a reference is made in SQL from the first term of its target, so that a chain of any size is one statement.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from fhir.definitions.structure import TYPE_NUMBER
from fhir.local_shards import Shard

from .clauses import (
    TRUE,
    Alias,
    AllOf,
    AnyOf,
    Chart,
    Clause,
    Filter,
    Fragment,
    Ids,
    Not,
    Nothing,
    Terms,
    Types,
    joined,
)
from .rows import CodeValues, Near, Ranges, Strings


@dataclass(frozen=True, slots=True)
class Chain:
    """Referring, by one of the parameters (hashes of "Type.code"), to a resource of a type that meets a condition.

    `through_pat` says that it decides the place: column `pat` then is the target's hash, if the terms say so too.
    `large` says that many targets may meet the condition: then each row asks a hash of them; few lead through an index.
    `url` (the hash of "Type.url" of the target) says that the parameters are canonical: they hold the target's url.
    Where `chart` is set, only targets placed by this patient are looked at (fhir.search.local_chain).
    """

    parameters: tuple[int, ...]
    target: int
    clause: Clause
    through_pat: bool = False
    large: bool = False
    url: int | None = None
    chart: Chart | None = None

    def sql(self, alias: Alias) -> Fragment:
        if self.chart is not None:
            return self._in_chart(alias, self.chart)
        if self.through_pat and self.large:
            return _beside(alias, self.target, self.clause, Fragment(f"{alias.name}.terms", self.parameters))
        inner = alias.beside() if self.through_pat else alias.inner()
        where = _of_inner(inner, self.target, self.clause, alias.policy)
        filters = self.large or alias.hidden
        if self.through_pat:
            found = f"SELECT {inner.name}.pat FROM resource {inner.name} WHERE {where.text}"
            among = f"IN ({found})" if filters else f"= ANY(ARRAY({found}))"
            text = f"({alias.name}.pat {among} AND {alias.name}.pat # %s::bigint = ANY({alias.name}.terms))"
            return Fragment(text, (*where.parameters, self.parameters[0]))
        terms = self._target_terms(inner)
        found = f"SELECT {terms.text} t FROM resource {inner.name} WHERE {where.text}"
        parameters = (*terms.parameters, *where.parameters)
        # Citus does not ask other rows once for each element of an array.
        if filters and not alias.routed:
            # In a select list the planner does not join: the targets are hashed once, and each row asks for its terms.
            return Fragment(f"(SELECT bool_or(u IN ({found})) FROM unnest({alias.name}.terms) u(u))", parameters)
        return Fragment(f"{alias.name}.terms && (SELECT array_agg(t) FROM ({found}) {inner.name}s)", parameters)

    def _in_chart(self, alias: Alias, chart: Chart) -> Fragment:
        inner = replace(alias, name=f"{alias.name}x", bucket=chart.bucket, hidden=True)
        where = joined([chart.sql(inner), _of_inner(inner, self.target, self.clause, alias.policy)], "AND")
        return _refers_to_one(alias, inner, self.parameters[0], where, large=self.large)

    def _target_terms(self, inner: Alias) -> Fragment:
        """What references to a target are as terms; of other terms than urls something becomes that nobody has."""
        if self.url is None:
            each = ", ".join(f"{inner.name}.terms[1] # %s::bigint" for _ in self.parameters)
            return Fragment(f"unnest(ARRAY[{each}])", self.parameters)
        shifted = tuple(parameter ^ self.url for parameter in self.parameters)
        each = " || ".join(f"ARRAY(SELECT u # %s::bigint FROM unnest({inner.name}.terms) u(u))" for _ in shifted)
        return Fragment(f"unnest({each})", shifted)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Whether a reference of a chart leads out of it.

    Among the rows of the chart that meet `among` there is one with a value of `parameter` (hash of "Type.code"; `mask`:
    its bit of column `present`) that is no reference to a resource of the chart of the types `targets`. `large` says
    that there may be many of those.
    """

    chart: Chart
    among: Clause
    parameter: int
    mask: int
    targets: tuple[int, ...]
    large: bool

    def sql(self, shard: Shard | None) -> Fragment:
        """The condition, about no row of the statement; `shard` has them all, where that goes past Citus."""
        row = Alias("e", self.chart.bucket, True, shard=shard)
        target = replace(row, name="ex")
        with_value = Fragment("e.present & %s::bigint <> 0", (self.mask,))
        there = joined([self.chart.sql(target), Types(self.targets).sql(target), Fragment("NOT ex.deleted")], "AND")
        here = _refers_to_one(row, target, self.parameter, there, large=self.large)
        where = joined([self.chart.sql(row), self.among.sql(row), with_value], "AND")
        text = f"EXISTS (SELECT FROM resource e WHERE NOT e.deleted AND {where.text} AND {here.text} IS NOT TRUE)"
        return Fragment(text, (*where.parameters, *here.parameters))


def _refers_to_one(alias: Alias, target: Alias, parameter: int, where: Fragment, *, large: bool) -> Fragment:
    """A row refers to one of the targets: its terms are compared with each, or many are hashed once."""
    found = f"SELECT {target.name}.terms[1] # %s::bigint FROM resource {target.name} WHERE {where.text}"
    hashed = f"(SELECT bool_or(u IN ({found})) FROM unnest({alias.name}.terms) u(u))"
    text = hashed if large else f"({alias.name}.terms && ARRAY({found}))"
    return Fragment(text, (parameter, *where.parameters))


@dataclass(frozen=True, slots=True)
class Has:
    """Referred to, by one of the parameters, from a resource of type `source` that meets a condition.

    `through_pat` says that the reference decides the place of the source, which then knows whom it is about.
    `large` says that many sources may meet the condition: then each row is asked for one of its own. `crowded` says
    that a patient has so many of the type that those that meet the condition, which is one of terms, are found through
    the index on terms.
    """

    source: int
    parameters: tuple[int, ...]
    through_pat: bool
    clause: Clause
    large: bool = False
    crowded: bool = False

    def sql(self, alias: Alias) -> Fragment:
        if self.large and self.through_pat:
            patient = Types((TYPE_NUMBER["Patient"],)).sql(alias)
            if self.crowded and not alias.routed:
                return joined([patient, self._through_terms(alias)], "AND")
            found = _beside(alias, self.source, self.clause, Fragment(f"{alias.name}x.terms", self.parameters))
            return joined([patient, found], "AND")
        if self.large and not alias.routed:
            return joined([self._refers(alias, parameter) for parameter in self.parameters], "OR")
        inner = alias.beside() if self.through_pat else alias.inner()
        found = _of_inner(inner, self.source, self.clause, alias.policy)
        where = f"FROM resource {inner.name} WHERE {found.text}"
        if self.through_pat:
            checked = f"{where} AND {inner.name}.pat # %s::bigint = ANY({inner.name}.terms)"
            # The type belongs here: all of a patient's resources have the same `pat`.
            patient = Types((TYPE_NUMBER["Patient"],)).sql(alias)
            text = f"({patient.text} AND {alias.name}.pat = ANY(ARRAY(SELECT DISTINCT {inner.name}.pat {checked})))"
            return Fragment(text, (*patient.parameters, *found.parameters, self.parameters[0]))
        tests = " OR ".join(
            f"{alias.name}.terms[1] # %s::bigint IN (SELECT unnest({inner.name}.terms) {where})"
            for _ in self.parameters
        )
        return Fragment(f"({tests})", tuple(p for base in self.parameters for p in (base, *found.parameters)))

    def _through_terms(self, alias: Alias) -> Fragment:
        """One patient's own sources with the terms of the condition: what both have in the index on terms."""
        inner = alias.beside()
        found = self.sources(inner, Fragment(f"ARRAY[{alias.name}.pat # %s::bigint]", self.parameters[:1]))
        # Beside these two the index on terms leads.
        same = f"({inner.name}.bucket = {alias.name}.bucket) IS TRUE AND ({inner.name}.pat = {alias.name}.pat) IS TRUE"
        text = f"EXISTS (SELECT FROM resource {inner.name} WHERE {found.text} AND {same} OFFSET 0)"
        return Fragment(text, found.parameters)

    def sources(self, inner: Alias, references: Fragment) -> Fragment:
        """The WHERE of sources that hold one of the terms of `references` and meet the condition, by the index."""
        condition = self.clause.sql(inner)
        seen = TRUE if inner.policy is None else inner.policy.sql(replace(inner, hidden=True))
        text = f"{inner.name}.terms && {references.text} AND {condition.text} AND NOT {inner.name}.deleted"
        return Fragment(f"{text} AND {seen.text}", (*references.parameters, *condition.parameters, *seen.parameters))

    def _refers(self, alias: Alias, parameter: int) -> Fragment:
        """One row's own referrers, through the index on terms."""
        inner = alias.inner()
        where = _of_inner(replace(inner, hidden=True), self.source, self.clause, alias.policy)
        text = (
            f"EXISTS (SELECT FROM resource {inner.name} WHERE {inner.name}.terms @> ARRAY[{alias.name}.terms[1] #"
            f" %s::bigint] AND {where.text} OFFSET 0)"
        )
        return Fragment(text, (parameter, *where.parameters))


def _beside(alias: Alias, type_number: int, clause: Clause, terms: Fragment) -> Fragment:
    """Another resource of the same patient meets a condition; one of the two has, in `terms`, the reference to it."""
    inner = replace(alias.beside(), hidden=True)
    x, r = inner.name, alias.name
    of_type = Types((type_number,)).sql(inner)
    condition = clause.sql(inner)
    seen = TRUE if alias.policy is None else alias.policy.sql(inner)
    place = inner.here
    alone = "" if alias.pushed else " OFFSET 0"
    text = (
        f"EXISTS (SELECT FROM resource {x} WHERE {x}.bucket = {r}.bucket AND {x}.pat = {r}.pat AND {place.text}"
        f" AND {of_type.text} AND NOT {x}.deleted AND {r}.pat # %s::bigint = ANY({terms.text})"
        f" AND {seen.text} AND {condition.text}{alone})"
    )
    parameters = (*place.parameters, *of_type.parameters, terms.parameters[0], *seen.parameters, *condition.parameters)
    return Fragment(text, parameters)


def _of_inner(inner: Alias, type_number: int, clause: Clause, policy: Clause | None) -> Fragment:
    """The WHERE of a further resource: its type, that it is not deleted, what the caller may see, the condition."""
    condition = clause.sql(inner)
    of_type = TRUE if names_type(clause) and inner.bucket is None else Types((type_number,)).sql(inner)
    seen = TRUE if policy is None else policy.sql(inner)
    place = inner.here
    text = f"{place.text} AND {of_type.text} AND NOT {inner.name}.deleted AND {seen.text} AND {condition.text}"
    return Fragment(text, (*place.parameters, *of_type.parameters, *seen.parameters, *condition.parameters))


def stays(clause: Clause) -> bool:
    """Whether a condition on a row looks at rows of its own bucket only."""
    if isinstance(clause, AllOf | AnyOf):
        return all(stays(c) for c in clause.clauses)
    if isinstance(clause, Not | Filter):
        return stays(clause.clause)
    if isinstance(clause, Chain | Has):
        in_chart = isinstance(clause, Chain) and clause.chart is not None
        return (clause.through_pat or in_chart) and stays(clause.clause)
    return True


def names_type(clause: Clause) -> bool:
    """Whether only resources of one type can meet the clause, so that no condition on the type is needed beside it."""
    if isinstance(clause, AllOf):
        return any(names_type(c) for c in clause.clauses)
    if isinstance(clause, AnyOf):
        return all(names_type(c) for c in clause.clauses)
    if isinstance(clause, Chain):
        return not clause.through_pat
    if isinstance(clause, Has):
        # The references may be to other types as well.
        return clause.through_pat
    return isinstance(clause, Terms | Types | Ranges | Strings | CodeValues | Near | Ids | Nothing)
