"""A SearchRequest and a Scope → a Plan: what is asked, of whom, in which order, and which index leads.

A Plan is a value. Its rules, each measured, are those of docs/search.md: a chart is walked along (pat, type, sdate)
with terms as filters; rare terms lead through their own index, the set of matches made before it is ordered;
frequent ones are filters on a walk along (type, sdate). What the caller may see is a clause of the plan, on every
alias.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import inf

from accounts.scopes import Scope
from fhir import ids
from fhir.definitions.compartments import COMPARTMENTS, compartment_parameters
from fhir.definitions.search_parameters import clinical_date
from fhir.definitions.structure import TYPE_NUMBER
from fhir.exceptions import InvalidRequest
from fhir.local_shards import Shard

from . import beside, costs, hashing, order
from .catalogue import parameters
from .clauses import (
    AllOf,
    AnyOf,
    Chart,
    Clause,
    ClinicalDate,
    Compartment,
    Filter,
    Ids,
    Not,
    Nothing,
    Terms,
    Types,
    Updated,
)
from .conditions import common
from .links import Chain, Elsewhere, Has, names_type
from .request import SearchRequest
from .rows import CodeValues, Near, Ranges, Strings
from .statistics import Statistics

# Up to about so many matches it is cheaper to gather all and sort them than to walk by date and filter.
RARE = 3000.0
# Up to about so many targets of a chain lead through the index on terms.
FEW = 500.0
CHART, SET, WALK = "chart", "set", "walk"


@dataclass(frozen=True, slots=True)
class Plan:
    """`leads` is chart, set or walk. `bucket` and `patient` are set where one patient decides the place of all matches.

    `policy` is what the caller may see; it is among `clauses` too, unless another clause implies it. `leading` are the
    clauses whose indexes may lead; the others are asked of each row. `generic` says that one plan of PostgreSQL serves
    all values, so that it is made once. `batched` is the clause that a walk asks of many patients at once
    (fhir.search.batches); `counted` are the clauses as a total asks them; `beside` are patients that come with a page.
    `buckets`, on Citus, are those that can hold the matches of a search without a patient (fhir.search.places); one of
    them is `bucket` too. `together` says that all rows that it looks at lie in `bucket`, and `shard` has them where the
    search goes past Citus. If one of `elsewhere` holds, the plan is not the whole answer (fhir.search.local_chain).
    """

    types: tuple[str, ...]
    clauses: tuple[Clause, ...]
    policy: Clause | None
    keys: tuple[order.Key, ...]
    count: int
    leads: str
    bucket: int | None
    patient: str | None
    leading: tuple[Clause, ...] = ()
    buckets: tuple[int, ...] = ()
    generic: bool = False
    batched: Has | None = None
    counted: tuple[Clause, ...] = ()
    beside: beside.Beside | None = None
    together: bool = field(default=False, compare=False)
    shard: Shard | None = field(default=None, compare=False)
    elsewhere: tuple[Elsewhere, ...] = ()

    @property
    def condition(self) -> Clause:
        """All clauses as one."""
        return AllOf(self.clauses)


def make(
    request: SearchRequest, scope: Scope, statistics: Statistics, compartment: tuple[str, str] | None = None
) -> Plan:
    """The plan of a search; `compartment` is that of a compartment search: ("Patient", id). Raises InvalidRequest."""
    keys = order.keys(request.types, request.sort)
    clauses = _merged(request, [_sized(clause, statistics) for clause in request.clauses])
    walks = all(key.column is not None for key in keys)
    clauses = [_asked(clause, clauses, statistics, request.count + 1 if walks else inf) for clause in clauses]
    if compartment is not None:
        clauses.append(member(*compartment, request.types))
    policy = policy_of(scope)
    chart = request.chart
    if chart is not None:
        clauses.insert(0, Chart(ids.patient_hash(chart), ids.bucket_of(chart)))
    if policy is not None and (chart is None or scope.compartment != f"Patient/{chart}"):
        clauses.insert(0, policy)
    if not request.types:
        clauses = [Nothing()]
    leads = _leads(clauses, chart, keys, statistics, request)
    leading = tuple(_leading(clauses, leads, statistics))
    if leads in (CHART, WALK) or not any(names_type(clause) for clause in clauses):
        clauses.insert(0, Types(tuple(TYPE_NUMBER[name] for name in request.types)))
    clauses += _clinical_bounds(request)
    if leads == SET:
        clauses = _one_leads(clauses, statistics)
    return Plan(
        types=request.types,
        clauses=tuple(clauses),
        policy=policy,
        keys=keys,
        count=request.count,
        leads=leads,
        bucket=None if chart is None else ids.bucket_of(chart),
        patient=chart,
        leading=leading,
        generic=all(one_plan(clause, clause in leading) for clause in clauses),
        batched=_batched(clauses, keys, request) if leads == WALK else None,
        counted=tuple(costs.counted(clause, statistics) for clause in clauses),
        beside=beside.wanted(request, policy, scope),
    )


def policy_of(scope: Scope) -> Clause | None:
    """What the caller may see of each type; None for everything."""
    if scope.compartment is None:
        return None
    patient = scope.compartment.removeprefix("Patient/")
    return compartment_of(patient)


def compartment_of(patient: str) -> Compartment:
    """Membership of the compartment of a patient."""
    return Compartment(ids.patient_hash(patient), ids.compartment_term(patient), ids.bucket_of(patient))


def member(name: str, resource_id: str, types: tuple[str, ...]) -> Clause:
    """Membership of a compartment (https://hl7.org/fhir/R4/compartmentdefinition.html). Raises InvalidRequest."""
    from django.utils.translation import gettext_lazy as _

    if name not in COMPARTMENTS:
        raise InvalidRequest(_("There are compartments of Patient, Encounter, RelatedPerson, Practitioner and Device."))
    if name == "Patient":
        within = tuple(TYPE_NUMBER[t] for t in types if t == "Patient" or compartment_parameters(name, t))
        inside = compartment_of(resource_id)
        return AllOf((Types(within), inside)) if within else Nothing()
    target = hashing.own_term(name, resource_id)
    found: list[tuple[int, Clause]] = []
    for resource_type in types:
        known = parameters(resource_type)
        codes = [c for c in compartment_parameters(name, resource_type) if c in known]
        hashes = {hashing.parameter_hash(resource_type, s) ^ target for c in codes for s in known[c].stored_as}
        if resource_type == name:
            found.append((TYPE_NUMBER[name], Ids((resource_id,), (target,))))
        elif hashes:
            found.append((TYPE_NUMBER[resource_type], Terms(tuple(sorted(hashes)))))
    return (
        AnyOf(tuple(clause for _number, clause in found)) if len(found) > 1 else (common(found) if found else Nothing())
    )


def _leads(
    clauses: list[Clause],
    chart: str | None,
    keys: tuple[order.Key, ...],
    statistics: Statistics,
    request: SearchRequest,
) -> str:
    if chart is not None:
        return CHART
    if not all(key.column is not None for key in keys):
        return SET
    if clauses and all(isinstance(clause, Terms) or costs.asked(clause) for clause in clauses):
        terms = any(isinstance(clause, Terms) for clause in clauses)
        wanted = request.count + 1
        return SET if terms and costs.gathering_is_cheaper(clauses, statistics, request.types, wanted=wanted) else WALK
    return SET if any(_selects(clause, statistics) for clause in clauses) else WALK


def _leading(clauses: list[Clause], leads: str, statistics: Statistics) -> Iterator[Clause]:
    """The clauses that an index may serve first; PostgreSQL chooses among them."""
    for clause in clauses:
        if leads == SET:
            if _selects(clause, statistics) or not any(_selects(c, statistics) for c in clauses):
                yield clause
        elif leads == WALK and (isinstance(clause, Chain | Has | Updated) or _narrow(clause)):
            yield clause


def _narrow(clause: Clause) -> bool:
    """Ranges with two ends: an index on one end finds few rows, perhaps."""
    if not isinstance(clause, Ranges):
        return False
    groups = (clause.tests, *clause.further)
    ends = [{_ENDS.get(test.prefix, "") for test in group} for group in groups]
    return {"both"} in ends or ({"least"} in ends and {"most"} in ends)


_ENDS = {
    "eq": "both",
    "ap": "both",
    "gt": "least",
    "ge": "least",
    "sa": "least",
    "lt": "most",
    "le": "most",
    "eb": "most",
}
# Kinds of clauses whose best plan depends on their values where they lead.
_WHERE_THEY_LEAD = (Ranges, Updated, Near)


def one_plan(clause: Clause, leads: bool) -> bool:
    """Whether the best plan does not depend on the values of a clause."""
    if isinstance(clause, AllOf | AnyOf):
        return all(one_plan(c, leads) for c in clause.clauses)
    if isinstance(clause, Not):
        return one_plan(clause.clause, leads)
    if isinstance(clause, Chain | Has):
        # Of one row's patient, and in a chart, it is asked in one way only; what is gathered depends on the values.
        if isinstance(clause, Chain) and clause.chart is not None:
            return one_plan(clause.clause, False)
        return clause.through_pat and clause.large and one_plan(clause.clause, False)
    return not (leads and isinstance(clause, _WHERE_THEY_LEAD))


def _sized(clause: Clause, statistics: Statistics) -> Clause:
    """The same clause; chains in it know whether many targets may meet their condition."""
    if isinstance(clause, AllOf | AnyOf):
        return replace(clause, clauses=tuple(_sized(c, statistics) for c in clause.clauses))
    if isinstance(clause, Not):
        return Not(_sized(clause.clause, statistics))
    if isinstance(clause, Chain | Has):
        inner = _sized(clause.clause, statistics)
        sized = replace(clause, clause=inner, large=not _selects(inner, statistics, FEW))
        return replace(sized, crowded=costs.crowded(sized, statistics)) if isinstance(sized, Has) else sized
    return clause


def _asked(clause: Clause, all_clauses: Sequence[Clause], statistics: Statistics, wanted: float) -> Clause:
    """A condition on other resources of patients: whether they are gathered, or patients asked for them."""
    if not costs.asked(clause):
        return clause
    others = [other for other in all_clauses if other is not clause]
    few = any(not isinstance(other, Terms) and _selects(other, statistics) for other in others)
    most = FEW if few else inf
    return replace(clause, large=costs.asking_is_cheaper(clause, others, statistics, wanted=wanted, most=most))


def _batched(clauses: Sequence[Clause], keys: Sequence[order.Key], request: SearchRequest) -> Has | None:
    """What a walk asks of many patients at once: where keys are columns in one direction, and charts are long."""
    if request.types != ("Patient",) or any(key.column is None for key in keys):
        return None
    if len({key.descending for key in keys}) > 1:
        return None
    return next((c for c in clauses if costs.asked(c) and c.crowded), None)


def _merged(request: SearchRequest, clauses: list[Clause]) -> list[Clause]:
    """Several conditions on a parameter that has one value at most are conditions on one row."""
    found: dict[tuple[int, ...], Ranges] = {}
    kept: list[Clause] = []
    for clause in clauses:
        known = parameters(request.types[0]).get(getattr(clause, "code", "")) if len(request.types) == 1 else None
        if not isinstance(clause, Ranges) or known is None or not known.single:
            kept.append(clause)
        elif clause.params in found:
            # The same rows: amounts in canonical units are other rows than those as they are written.
            found[clause.params] = replace(found[clause.params], further=(*found[clause.params].further, clause.tests))
        else:
            found[clause.params] = clause
    return [*kept, *found.values()]


def _selects(clause: Clause, statistics: Statistics, most: float = RARE) -> bool:
    """Whether a clause leaves few enough rows to gather them all."""
    if isinstance(clause, Terms):
        return statistics.expected(clause.hashes) <= most
    if isinstance(clause, AllOf):
        return any(_selects(c, statistics, most) for c in clause.clauses)
    if isinstance(clause, AnyOf):
        return all(_selects(c, statistics, most) for c in clause.clauses)
    if isinstance(clause, Chain | Has):
        return not clause.large
    return isinstance(clause, Strings | Ids | CodeValues | Compartment | Near | Nothing)


def _one_leads(clauses: list[Clause], statistics: Statistics) -> list[Clause]:
    """Where something else finds the rows, or another one of them, many terms are a filter."""
    many = [c for c in clauses if isinstance(c, Terms) and c.many]
    others = any(_selects(c, statistics) for c in clauses if c not in many)
    leader = None if others else min(many, key=lambda c: len(c.hashes), default=None)
    return [Filter(c) if c in many and c is not leader else c for c in clauses]


def _clinical_bounds(request: SearchRequest) -> list[Clause]:
    """Bounds of column `sdate` that follow from conditions on the clinical date."""
    code = clinical_date(request.types[0]) if len(request.types) == 1 else None
    if code is None:
        return []
    parameter = parameters(request.types[0])[code]
    found: list[Clause] = []
    for clause in request.clauses:
        if isinstance(clause, Ranges) and clause.code == code and len(clause.tests) == 1:
            least, below = clause.tests[0].date_bounds(parameter.single)
            if least is not None or below is not None:
                found.append(ClinicalDate(least, below))
    return found
