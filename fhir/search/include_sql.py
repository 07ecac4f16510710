"""The statements of one round of includes: resources by their terms, on Citus in the buckets that can hold them.

What a reference leads to lies at the home of its id, or where that one says; what refers to a patient by the reference
that decides its place lies with the patient. All else is asked of all shards, and so is what has too many places.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from accounts.scopes import Scope
from fhir import citus, database
from fhir.database import Row, Statement
from fhir.definitions.structure import RESOURCE_TYPES, TYPE_NUMBER
from fhir.local_shards import Shard

from . import places
from .clauses import TRUE, Alias, Fragment, Terms, Types
from .plan import policy_of
from .sql import content_of

# So many shards are asked one by one, past Citus, which would ask them side by side.
_FEW_SHARDS = 4
# What is known of where the resources of a term lie: their bucket, or that it is one of this (type, id).
Place = int | tuple[int, str] | None


def rows(scope: Scope, wanted: Mapping[int, Place], limit: int) -> list[Row]:
    """(type, id, content) of what the caller may see of the resources with these terms; up to `limit`, on Citus of each
    statement. Raises Unavailable."""
    if not citus.distributed():
        return database.fetch(*_on_one(scope, wanted, limit))
    statements = [each for share in _shares(scope, wanted) for each in _of_share(scope, *share, limit)]
    return [row for found in database.batch(statements) for row in found]


def _of_share(scope: Scope, terms: Sequence[int], buckets: tuple[int, ...] | None, limit: int) -> list[Statement]:
    """The statements that ask for terms in some buckets, or in all: past Citus one for each shard."""
    shards = {database.here(bucket) for bucket in buckets or ()}
    if not shards or None in shards or len(shards) > _FEW_SHARDS:
        return [_on_shards(scope, terms, buckets, limit)]
    return [shard.at(_on_one(scope, terms, limit, shard)) for shard in shards if shard is not None]


def _conditions(scope: Scope, alias: Alias, terms: Iterable[int]) -> list[Fragment]:
    """Of the terms, of the types and of the policy."""
    policy = policy_of(scope)
    return [
        Terms(tuple(sorted(terms))).sql(alias),
        _types(scope.types("r")),
        TRUE if policy is None else policy.sql(alias),
    ]


@lru_cache(maxsize=64)
def _types(allowed: frozenset[str]) -> Fragment:
    """The condition on the types that the caller may read."""
    if len(allowed) == len(RESOURCE_TYPES):
        return TRUE
    return Types(tuple(sorted(TYPE_NUMBER[name] for name in allowed))).sql(Alias("r"))


def _on_one(scope: Scope, terms: Iterable[int], limit: int, shard: Shard | None = None) -> Statement:
    parts = _conditions(scope, Alias("r", shard=shard), terms)
    # Gathered first: a condition on the type beside the terms would mislead the planner.
    text = (
        f"WITH m AS MATERIALIZED (SELECT r.bucket, r.type, r.id, r.pat, r.terms FROM resource r"
        f" WHERE {parts[0].text} AND NOT r.deleted) SELECT r.type, r.id, c.body FROM m r JOIN content c"
        f" ON c.bucket = r.bucket AND c.type = r.type AND c.id = r.id WHERE {parts[1].text} AND {parts[2].text}"
        f" LIMIT {limit:d}"
    )
    return text, [p for part in parts for p in part.parameters]


def _on_shards(scope: Scope, terms: Iterable[int], buckets: tuple[int, ...] | None, limit: int) -> Statement:
    """Without a step that would be gathered by the coordinator, and sent to all nodes from there."""
    one = buckets[0] if buckets is not None and len(buckets) == 1 else None
    alias = Alias("r", one, buckets=buckets or ())
    parts = [alias.of("c"), alias.here, *_conditions(scope, alias, terms)]
    contents = f"content c ON {parts[0].text} AND c.type = r.type AND c.id = r.id" if one is None else content_of("%s")
    text = (
        f"SELECT r.type, r.id, c.body FROM resource r JOIN {contents} WHERE NOT r.deleted"
        f" AND {' AND '.join(part.text for part in parts[1:])} LIMIT {limit:d}"
    )
    return text, [p for part in parts for p in part.parameters]


def _shares(scope: Scope, wanted: Mapping[int, Place]) -> list[tuple[list[int], tuple[int, ...] | None]]:
    """The terms whose places are known, with their buckets, and the others."""
    policy = policy_of(scope)
    if policy is not None:
        types = sorted(TYPE_NUMBER[name] for name in scope.types("r"))
        return [(list(wanted), _told(places.of_clause(policy, types)))]
    placed = [term for term, place in wanted.items() if place is not None]
    buckets = _told(_bound([place for place in wanted.values() if place is not None])) if placed else None
    if buckets is None:
        return [(list(wanted), None)]
    others = [term for term, place in wanted.items() if place is None]
    return [(placed, buckets), (others, None)] if others else [(placed, buckets)]


def _bound(found: Sequence[Place]) -> places.Bound | None:
    targets = places.of_resources(place for place in found if isinstance(place, tuple))
    if targets is None:
        return None
    here = frozenset(place for place in found if isinstance(place, int))
    return places.Bound(targets.known | here, targets.questions, targets.home)


def _told(bound: places.Bound | None) -> tuple[int, ...] | None:
    """The buckets, asked for if need be."""
    if bound is None:
        return None
    return bound.buckets(places.asked(bound.questions))
