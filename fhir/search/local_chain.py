"""Chains in one patient's chart, asked of the chart alone, where nearly always their targets lie.

A page of such a plan comes with a guard, in the same statement: whether some reference of the chart leads out of it, to
another patient, to nothing, or to another server. If none does, the chart's answer is the whole one: each row has one
reference at most, to a resource of the chart, and about no other can a chain ask. If one does, the plan as it was made
is asked in a second round trip (docs/decisions/0080-chains-in-a-chart.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from fhir.definitions.compartments import compartment_parameters
from fhir.definitions.structure import TYPE_NAME, TYPE_NUMBER

from . import hashing, places
from .catalogue import official_parameters, patient_decides
from .clauses import AllOf, AnyOf, Chart, Clause, ClinicalDate, Filter, Not, Present, Terms, Types, Updated
from .links import Chain, Elsewhere, Has, stays
from .plan import CHART, Plan, one_plan
from .statistics import Statistics

# More types of targets than this are looked for in too much of a chart.
_MOST_TARGETS = 8
# What is cheap to ask of a row: those that do not meet it need not be looked at.
_CHEAP = (Types, Terms, Present, Updated, ClinicalDate)
# From so many targets in a chart on it is cheaper to hash them than to compare each term of a row with each.
_MANY = 100


class _NotLocal(Exception):
    """A clause looks at resources that the chart may not have."""


@dataclass(frozen=True, slots=True)
class _Reference:
    """A parameter with one reference at most. `targets` are the types it can refer to in a chart; `decides` says that
    it names the patient whose chart it is."""

    mask: int
    targets: frozenset[int]
    decides: bool


def local(plan: Plan, statistics: Statistics) -> Plan | None:
    """The plan as it is asked of the chart alone, with what says that it is not enough; None for all other plans.

    Raises Unavailable.
    """
    chart = next((clause for clause in plan.clauses if isinstance(clause, Chart)), None)
    if plan.leads != CHART or chart is None or len(plan.types) != 1:
        return None
    searched = AllOf(tuple(clause for clause in plan.clauses if isinstance(clause, _CHEAP)))
    finder = _Finder(chart, searched, statistics)
    source = TYPE_NUMBER[plan.types[0]]
    try:
        clauses = tuple(finder.bounded(clause, source) for clause in plan.clauses)
        counted = tuple(finder.bounded(clause, source) for clause in plan.counted)
        elsewhere = tuple(finder.elsewhere())
    except _NotLocal:
        return None
    if not elsewhere:
        return None
    generic = all(one_plan(clause, False) for clause in clauses)
    made = replace(plan, clauses=clauses, counted=counted, generic=generic, elsewhere=elsewhere)
    return places.in_shard(made)


def whole(rows: Sequence[Any]) -> list[Any] | None:
    """The rows of a page or a count that came with a guard, without it; None where they are not the whole answer."""
    if any(row[0] for row in rows):
        return None
    # A page without rows has one for the guard.
    return [row[1:] for row in rows if row[1] is not None]


class _Finder:
    """Bounds the chains of a plan to a chart; gathers which references they follow."""

    def __init__(self, chart: Chart, searched: Clause, statistics: Statistics) -> None:
        self._chart, self._searched, self._statistics = chart, searched, statistics
        # (rows that are asked, parameter) → what the parameter is, the types of targets asked for
        self._followed: dict[tuple[Clause, int], tuple[_Reference, set[int]]] = {}

    def bounded(self, clause: Clause, source: int, among: Clause | None = None) -> Clause:
        """The clause about a row of type `source` of the chart, its chains within the chart. Raises _NotLocal.

        The rows that it is asked of meet `among`; without it they are those that are searched.
        """
        match clause:
            case AllOf() | AnyOf():
                return replace(clause, clauses=tuple(self.bounded(each, source, among) for each in clause.clauses))
            case Not() | Filter():
                return replace(clause, clause=self.bounded(clause.clause, source, among))
            case Chain() if not clause.through_pat:
                return self._chain(clause, source, among or self._searched)
            case Chain() | Has():
                if not stays(clause):
                    raise _NotLocal
        return clause

    def _chain(self, clause: Chain, source: int, among: Clause) -> Clause:
        reference = _reference(source, clause.parameters[0]) if len(clause.parameters) == 1 else None
        if clause.url is not None or reference is None:
            raise _NotLocal
        self._followed.setdefault((among, clause.parameters[0]), (reference, set()))[1].add(clause.target)
        # Whatever row of the type is referred to may be asked.
        inner = self.bounded(clause.clause, clause.target, Types((clause.target,)))
        return replace(clause, clause=inner, chart=self._chart, large=self._many((clause.target,)))

    def elsewhere(self) -> Iterator[Elsewhere]:
        """What must not hold, of each reference that is followed. Raises _NotLocal."""
        for (among, parameter), (reference, asked) in self._followed.items():
            if not (reference.decides or asked <= reference.targets):
                raise _NotLocal
            targets = tuple(sorted(reference.targets))
            yield Elsewhere(self._chart, among, parameter, reference.mask, targets, self._many(targets))

    def _many(self, targets: tuple[int, ...]) -> bool:
        """Whether a chart has many resources of these types, as charts are."""
        patients = max(1.0, self._statistics.of_type(TYPE_NUMBER["Patient"]))
        return sum(map(self._statistics.of_type, targets)) / patients > _MANY


@cache
def _reference(source: int, parameter: int) -> _Reference | None:
    """The parameter of a type that has this hash, if a resource has at most one value of it, which is a reference."""
    kind = TYPE_NAME[source]
    for known in official_parameters(kind).values():
        alone = known.single and known.types == {"Reference"} and known.stored_as == (known.code,)
        if not alone or hashing.parameter_hash(kind, known.code) != parameter:
            continue
        targets = frozenset(TYPE_NUMBER[name] for name in known.targets if _in_charts(name))
        # The bit of one with a filter says nothing of references that do not pass it.
        if not targets or len(targets) > _MOST_TARGETS or any(branch.target for branch in known.branches):
            return None
        return _Reference(known.mask, targets, patient_decides(kind, known.code))
    return None


def _in_charts(name: str) -> bool:
    return name == "Patient" or bool(compartment_parameters("Patient", name))
