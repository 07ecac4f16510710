"""On Citus: which buckets can hold what a search finds, so that it asks the shards of those alone.

A clause bounds a search if what meets it lies in buckets that can be told: those of ids, those of a patient's
compartment, those that identifier_locator names. Where that takes a question, it is asked in one round trip before the
search, of few shards. The buckets are candidates: the clauses are asked of their rows as ever, so that a bucket too
many costs a task and no more (docs/decisions/0040-places.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache

from fhir import citus, database, ids
from fhir.database import Row, Statement
from fhir.definitions.compartments import compartment_parameters
from fhir.definitions.structure import TYPE_NAME, TYPE_NUMBER
from fhir.versions import array

from .clauses import AllOf, AnyOf, Clause, Compartment, Filter, Ids, Not, Nothing, Terms
from .links import Chain, Has, stays
from .plan import SET, Plan

# More buckets than this lie in all shards, or nearly so; more questions than this cost more than asking all shards.
MOST = 32
_MOST_QUESTIONS = 8

_LINKS = """SELECT DISTINCT target FROM compartment_link
 WHERE bucket = %s AND pat = %s::bigint AND type = ANY(%s::smallint[]) LIMIT {limit}"""
_VALUES = """SELECT DISTINCT target FROM identifier_locator
 WHERE bucket = %s AND value = %s::bigint LIMIT {limit}"""
_TERMS = _VALUES.replace(" LIMIT", " AND term = %s::bigint LIMIT")
_LOCATORS = """SELECT DISTINCT target FROM locator
 WHERE bucket {is_one} AND type = ANY(%s::smallint[]) AND id = ANY(%s::text[]) LIMIT {limit}"""


@dataclass(frozen=True, slots=True)
class Bound:
    """The buckets that can hold what is sought: `known`, and the targets that the answers to `questions` name.

    `home` is where to look if there are none: nothing will be found.
    """

    known: frozenset[int] = frozenset()
    questions: tuple[Statement, ...] = ()
    home: int = 0

    def buckets(self, answers: Sequence[Sequence[Row]]) -> tuple[int, ...] | None:
        """The buckets, in order; None if they are too many to be worth telling apart."""
        if any(len(rows) > MOST for rows in answers):
            return None
        found = self.known.union(row[0] for rows in answers for row in rows)
        return tuple(sorted(found or (self.home,))) if len(found) <= MOST else None


class Narrowing:
    """Plans on their way to fewer shards: `questions` go out in one round trip, `plans` takes the answers."""

    def __init__(self, plans: Sequence[Plan]) -> None:
        self._plans = plans
        self._bounds = [_of_plan(plan) if citus.distributed() else None for plan in plans]
        self.questions = [question for bound in self._bounds if bound for question in bound.questions]

    def plans(self, answers: Sequence[list[Row]]) -> list[Plan]:
        """The plans, each within the buckets that can hold its matches."""
        left = iter(answers)
        found = []
        for plan, bound in zip(self._plans, self._bounds, strict=True):
            buckets = bound.buckets([next(left) for _question in bound.questions]) if bound else None
            found.append(plan if buckets is None else within(plan, buckets))
        return found


def narrowed(plan: Plan) -> Plan:
    """The plan within the buckets that can hold its matches; a round trip if they are asked for. Raises Unavailable."""
    narrowing = Narrowing([plan])
    return in_shard(narrowing.plans(asked(narrowing.questions))[0])


def asked(questions: Sequence[Statement]) -> list[list[Row]]:
    """The answers to the questions of bounds, in one round trip. Raises Unavailable."""
    return database.batch([here(each) for each in questions]) if questions else []


def here(question: Statement) -> Statement:
    """A question as it is to be sent: of one bucket, past Citus where that can be."""
    bucket = question[1][0]
    return database.at(bucket, question) if isinstance(bucket, int) else question


def in_shard(plan: Plan) -> Plan:
    """The plan, which knows whether one bucket has all its rows, and its shard where that is asked past Citus."""
    if plan.bucket is None or not all(map(stays, plan.clauses)):
        return plan
    return replace(plan, together=True, shard=database.here(plan.bucket))


def within(plan: Plan, buckets: tuple[int, ...]) -> Plan:
    """The plan, asked of these buckets alone; of one bucket all matches are gathered."""
    keys = tuple(key.within(buckets) for key in plan.keys)
    if plan.bucket is not None:
        return replace(plan, keys=keys)
    if len(buckets) == 1:
        return replace(plan, keys=keys, buckets=buckets, bucket=buckets[0], leads=SET, batched=None)
    return replace(plan, keys=keys, buckets=buckets)


def _of_plan(plan: Plan) -> Bound | None:
    if plan.bucket is not None:
        return Bound(frozenset((plan.bucket,)))
    numbers = {TYPE_NUMBER[name] for name in plan.types}
    if plan.policy is None:
        return of_clause(plan.condition, sorted(numbers))
    # What a policy leaves lies where it says, the other resources that the clauses look at too.
    return of_clause(plan.policy, sorted(numbers | _further(plan.condition)))


def _further(clause: Clause) -> set[int]:
    """The types of the other resources that a clause looks at."""
    match clause:
        case AllOf() | AnyOf():
            return {number for each in clause.clauses for number in _further(each)}
        case Not() | Filter():
            return _further(clause.clause)
        case Chain():
            return {clause.target} | _further(clause.clause)
        case Has():
            return {clause.source} | _further(clause.clause)
    return set()


def of_clause(clause: Clause, types: Sequence[int]) -> Bound | None:
    """Where resources of these types that meet the clause can lie; None for anywhere."""
    match clause:
        case AllOf():
            found = [bound for each in clause.clauses if (bound := of_clause(each, types)) is not None]
            return min(found, key=lambda bound: (len(bound.questions), len(bound.known)), default=None)
        case AnyOf():
            return _union([of_clause(each, types) for each in clause.clauses])
        case Filter():
            return of_clause(clause.clause, types)
        case Nothing():
            return Bound()
        case Ids():
            return of_resources([(number, name) for number in types for name in clause.ids])
        case Compartment():
            return of_compartment(clause, types)
        case Terms():
            return _of_identifiers(clause)
        case Chain() | Has() if clause.through_pat:
            # Both lie where the patient does.
            return of_clause(clause.clause, (clause.source if isinstance(clause, Has) else clause.target,))
    return None


def _union(bounds: Sequence[Bound | None]) -> Bound | None:
    kept = [bound for bound in bounds if bound is not None]
    if len(kept) < len(bounds):
        return None
    questions = tuple(question for bound in kept for question in bound.questions)
    known = frozenset().union(*(bound.known for bound in kept))
    return Bound(known, questions, kept[0].home if kept else 0) if len(questions) <= _MOST_QUESTIONS else None


def of_compartment(clause: Compartment, types: Sequence[int]) -> Bound | None:
    """The patient's bucket, and those of resources that name the patient beside another."""
    if clause.bucket is None:
        return None
    question = (_LINKS.format(limit=MOST + 1), (clause.bucket, clause.pat, array(types)))
    return Bound(frozenset((clause.bucket,)), (question,), clause.bucket)


def _of_identifiers(clause: Terms) -> Bound | None:
    if not clause.identifiers or len(clause.identifiers) > _MOST_QUESTIONS:
        return None
    questions = []
    for value, term in clause.identifiers:
        at = (ids.bucket_of_term(value), value)
        text, parameters = (_VALUES, at) if term is None else (_TERMS, (*at, term))
        questions.append((text.format(limit=MOST + 1), parameters))
    return Bound(questions=tuple(questions), home=ids.bucket_of_term(clause.identifiers[0][0]))


def of_resources(keys: Iterable[tuple[int, str]]) -> Bound | None:
    """Where resources with these (type, id) can lie: at home, or where the home says."""
    listed = list(keys)
    known = frozenset(ids.bucket_of(name) for _number, name in listed)
    if len(known) > MOST:
        return None
    moving = [(number, name) for number, name in listed if _may_move(number)]
    if not moving:
        return Bound(known)
    homes = sorted({ids.bucket_of(name) for _number, name in moving})
    numbers, names = (sorted(set(column)) for column in zip(*moving, strict=True))
    text = _LOCATORS.format(is_one="= %s" if len(homes) == 1 else "= ANY(%s::int[])", limit=MOST + 1)
    place = homes[0] if len(homes) == 1 else array(homes)
    return Bound(known, ((text, (place, array(numbers), list(names))),), homes[0])


@cache
def _may_move(number: int) -> bool:
    """Whether a patient decides where resources of a type lie; others, Patients too, lie where their ids say."""
    return TYPE_NAME[number] != "Patient" and bool(compartment_parameters("Patient", TYPE_NAME[number]))
