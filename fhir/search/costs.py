"""What an answer is expected to cost, by the statistics: matches are gathered, or rows are walked and asked one by one.

The unit is a row that a walk along an index passes: about half a microsecond of PostgreSQL, in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf, sqrt
from typing import TypeGuard

from fhir.definitions.structure import TYPE_NUMBER

from .clauses import Clause, Terms
from .links import Has
from .statistics import Statistics

# A row found through the index on terms; with a look-up of its patient.
_GATHERED, _JOINED = 2.0, 7.0
# Terms lie in an order as chance has it: a walk may be so many times as long as it should be. What is cheap anyway.
_LUCK, _FEW_ROWS = 4.0, 400.0
# Of patients it is known badly how many have a resource with a term, but rather more than fewer.
_LUCK_OF_PATIENTS = 2.0
# A patient is asked for a resource: the look-up, each resource of the type that is read; by the index on terms, alone
# and with others (fhir.search.batches).
_LOOKED_UP, _READ, _PROBED, _BATCHED = 4.0, 0.7, 38.0, 10.0
# From so many resources of a type in a chart on, the index on terms is asked.
_CROWDED = 20.0
_PATIENT = TYPE_NUMBER["Patient"]


def crowded(has: Has, statistics: Statistics) -> bool:
    """Whether a patient has so many resources of the type that those with a term are found through the index."""
    return isinstance(has.clause, Terms) and not has.clause.many and _in_a_chart(has, statistics) > _CROWDED


def _in_a_chart(has: Has, statistics: Statistics) -> float:
    return statistics.of_type(has.source) / max(1.0, statistics.of_type(_PATIENT))


def asked(clause: Clause) -> TypeGuard[Has]:
    """Whether each patient is asked for a resource that refers to it."""
    return isinstance(clause, Has) and clause.through_pat and clause.large


def asking_is_cheaper(
    has: Has, others: Sequence[Clause], statistics: Statistics, *, wanted: float, most: float
) -> bool:
    """Patients to ask until `wanted` are found, beside `others`, or at the `most`; against all sources to gather."""
    if not isinstance(has.clause, Terms):
        return has.large
    patients, passed = min(statistics.of_type(_PATIENT), most), 1.0
    found = _share(has, _PATIENT, statistics)
    for clause in others:
        if isinstance(clause, Terms):
            passed *= _share(clause, _PATIENT, statistics)
        else:
            found *= _share(clause, _PATIENT, statistics)
    walked = min(patients, _LUCK_OF_PATIENTS * wanted / max(passed * found, 1e-9))
    cost = walked * (1 + passed * _asking(has, statistics, walks=wanted < inf))
    return cost <= _JOINED * statistics.expected(has.clause.hashes)


def _share(clause: Clause, type_number: int, statistics: Statistics) -> float:
    """Which part of the resources of a type meets a clause, where that is known; else 1."""
    rows = max(1.0, statistics.of_type(type_number))
    if isinstance(clause, Terms):
        return min(1.0, statistics.expected(clause.hashes) / rows)
    if isinstance(clause, Has) and isinstance(clause.clause, Terms):
        # Each patient may have one of the sources, or a few patients all that fit into a chart: between the two.
        each = max(1.0, _in_a_chart(clause, statistics))
        return min(1.0, statistics.expected(clause.clause.hashes) / rows / sqrt(each))
    return 1.0


def _asking(has: Has, statistics: Statistics, *, walks: bool) -> float:
    if has.crowded:
        return _BATCHED if walks else _PROBED
    return _LOOKED_UP + _READ * _in_a_chart(has, statistics)


def gathering_is_cheaper(
    clauses: Sequence[Clause], statistics: Statistics, types: Sequence[str], *, wanted: float
) -> bool:
    """Rows to gather by the rarest term, against rows to walk until `wanted` are found.

    The clauses are terms, or asked of each row that has those.
    """
    terms = [clause for clause in clauses if isinstance(clause, Terms)]
    having = [clause for clause in clauses if isinstance(clause, Has)]
    rows = sum(statistics.of_type(TYPE_NUMBER[name]) for name in types)
    passed = found = 1.0
    for clause in terms:
        passed *= min(1.0, statistics.expected(clause.hashes) / max(1.0, rows))
    for has in having:
        found *= _share(has, _PATIENT, statistics)
    luck = _LUCK_OF_PATIENTS if having else _LUCK
    walked = min(rows, luck * wanted / max(passed * found, 1.0 / max(1.0, rows)))
    walking = walked * (1 + passed * sum(_asking(has, statistics, walks=True) for has in having))
    rarest = min(statistics.expected(clause.hashes) for clause in terms)
    gathering = rarest * (_GATHERED + sum(_asking(has, statistics, walks=False) for has in having))
    return gathering <= max(walking, _FEW_ROWS)


def counted(clause: Clause, statistics: Statistics) -> Clause:
    """The clause as a total asks it: all sources are gathered, unless that is dearer than asking all patients."""
    if not asked(clause) or asking_is_cheaper(clause, (), statistics, wanted=inf, most=inf):
        return clause
    return replace(clause, large=False)
