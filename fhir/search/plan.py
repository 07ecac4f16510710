"""A SearchRequest and a Scope → a Plan: what is asked, of whom, in which order, and which index leads.

A Plan is a value. Its rules, each measured, are those of docs/search.md: a chart is walked along (pat, type, sdate)
with terms as filters; rare terms lead through their own index, the set of matches made before it is ordered;
frequent ones are filters on a walk along (type, sdate). What the caller may see is a clause of the plan, on every
alias.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from accounts.scopes import Scope
from fhir import ids
from fhir.definitions.compartments import COMPARTMENTS, compartment_parameters
from fhir.definitions.search_parameters import clinical_date
from fhir.definitions.structure import TYPE_NUMBER
from fhir.exceptions import InvalidRequest

from . import hashing, order
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
from .links import Chain, Has, names_type
from .request import SearchRequest
from .rows import CodeValues, Near, Ranges, Strings
from .statistics import Statistics

# Up to about so many matches it is cheaper to gather all and sort them than to walk by date and filter.
RARE = 3000.0
# Up to about so many targets of a chain lead through the index on terms.
FEW = 500.0
# Costs of gathering a row, beside walking over one; how much longer than expected a walk may be; what is cheap anyway.
_GATHERED, _LUCK, _FEW_ROWS = 2.0, 4.0, 400.0
CHART, SET, WALK = "chart", "set", "walk"


@dataclass(frozen=True, slots=True)
class Plan:
    """`leads` is chart, set or walk. `bucket` and `patient` are set where one patient decides the place of all matches.

    `policy` is what the caller may see; it is among `clauses` too, unless another clause implies it. `leading` are the
    clauses whose indexes may lead; the others are asked of each row. `generic` says that one plan of PostgreSQL serves
    all values, so that it is made once.
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
    generic: bool = False

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
    bucket = None if chart is None else ids.bucket_of(chart)
    generic = all(_one_plan(clause, clause in leading) for clause in clauses)
    return Plan(request.types, tuple(clauses), policy, keys, request.count, leads, bucket, chart, leading, generic)


def policy_of(scope: Scope) -> Clause | None:
    """What the caller may see of each type; None for everything."""
    if scope.compartment is None:
        return None
    patient = scope.compartment.removeprefix("Patient/")
    return Compartment(ids.patient_hash(patient), ids.compartment_term(patient))


def member(name: str, resource_id: str, types: tuple[str, ...]) -> Clause:
    """Membership of a compartment (https://hl7.org/fhir/R4/compartmentdefinition.html). Raises InvalidRequest."""
    from django.utils.translation import gettext_lazy as _

    if name not in COMPARTMENTS:
        raise InvalidRequest(_("There are compartments of Patient, Encounter, RelatedPerson, Practitioner and Device."))
    if name == "Patient":
        within = tuple(TYPE_NUMBER[t] for t in types if t == "Patient" or compartment_parameters(name, t))
        inside = Compartment(ids.patient_hash(resource_id), ids.compartment_term(resource_id))
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
    if clauses and all(isinstance(clause, Terms) for clause in clauses):
        return SET if _gathering_is_cheaper(clauses, statistics, request) else WALK
    return SET if any(_selects(clause, statistics) for clause in clauses) else WALK


def _gathering_is_cheaper(clauses: list[Clause], statistics: Statistics, request: SearchRequest) -> bool:
    """Rows to gather by the rarest term, against rows to walk until a page is full.

    Terms lie in time as chance has it, so that a walk may be several times as long as it should be.
    """
    found = [statistics.expected(clause.hashes) for clause in clauses if isinstance(clause, Terms)]
    rows = sum(statistics.of_type(TYPE_NUMBER[name]) for name in request.types)
    matches = rows
    for number in found:
        matches *= min(1.0, number / max(1.0, rows))
    walked = min(rows, _LUCK * (request.count + 1) * rows / max(matches, 1.0))
    return _GATHERED * min(found) <= max(walked, _FEW_ROWS)


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
# Kinds of clauses whose best plan depends on their values, wherever they stand, or where they lead.
_ALWAYS = (Chain, Has)
_WHERE_THEY_LEAD = (Ranges, Updated, Near)


def _one_plan(clause: Clause, leads: bool) -> bool:
    """Whether the best plan does not depend on the values of a clause."""
    if isinstance(clause, AllOf | AnyOf):
        return all(_one_plan(c, leads) for c in clause.clauses)
    if isinstance(clause, Not):
        return _one_plan(clause.clause, leads)
    return not isinstance(clause, _ALWAYS) and not (leads and isinstance(clause, _WHERE_THEY_LEAD))


def _sized(clause: Clause, statistics: Statistics) -> Clause:
    """The same clause; chains in it know whether many targets may meet their condition."""
    if isinstance(clause, AllOf | AnyOf):
        return replace(clause, clauses=tuple(_sized(c, statistics) for c in clause.clauses))
    if isinstance(clause, Not):
        return Not(_sized(clause.clause, statistics))
    if isinstance(clause, Chain | Has):
        inner = _sized(clause.clause, statistics)
        return replace(clause, clause=inner, large=not _selects(inner, statistics, FEW))
    return clause


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
