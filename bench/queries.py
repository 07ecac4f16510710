"""The searches that are measured, as templates: the public workload, and what our own budgets are about.

PUBLIC asks what the 30 timed queries of github.com/mock-health/fhir-server-compare (config/queries.yaml) ask. Those
look for English words and for surnames of another generator; `here` says what stands in for them on our charts, where
they would find nothing. `fhir/tests/test_public_queries.py` judges the answers to both forms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

Pairs = tuple[tuple[str, str], ...]

LOINC = "http://loinc.org"
SYSTOLIC, HEIGHT, WEIGHT, PAIN = (f"{LOINC}|{code}" for code in ("8480-6", "8302-2", "29463-7", "72514-3"))
HBA1C = f"{LOINC}|4548-4"
HYPERTENSION = "http://snomed.info/sct|59621000"


@dataclass(frozen=True, slots=True)
class Query:
    """`path` under the base and `pairs` of the query string, with {placeholders} of sampled values.

    `chart`: it is about one patient, so its time must not grow with the number of patients. `plain` names the query
    that its p50 may be `bound` times of. `budget` is in milliseconds of CPU a request, server and PostgreSQL. `empty`:
    an answer without entries is right. `counts_all`: it counts all there is, which may take its time.
    """

    name: str
    path: str
    pairs: Pairs = ()
    here: Mapping[str, str] = field(default_factory=dict)
    chart: bool = False
    plain: str = ""
    bound: float = 0.0
    budget: float = 0.0
    empty: bool = False
    counts_all: bool = False

    def local(self) -> Query:
        """The same question with the values that our charts have."""
        pairs = tuple((name, self.here.get(name, value)) for name, value in self.pairs)
        return Query(
            self.name, self.path, pairs, {}, self.chart, self.plain, self.bound, self.budget, self.empty,
            self.counts_all,
        )  # fmt: skip

    def url(self, values: Mapping[str, str]) -> str:
        """Path and query string; `values` fill the placeholders."""
        path = self.path.format_map({name: quote(value, safe="") for name, value in values.items()})
        filled = [(name, value.format_map(values)) for name, value in self.pairs]
        return f"{path}?{urlencode(filled)}" if filled else path


def _of_patient(name: str, resource_type: str, count: str = "") -> Query:
    pairs: Pairs = (("patient", "Patient/{patient}"),) + ((("_count", count),) if count else ())
    return Query(name, resource_type, pairs, chart=True)


def _observations(name: str, parameter: str, code: str, count: str, *, empty: bool = False) -> Query:
    pairs = ((parameter, code), ("_count", count), ("_total", "accurate"))
    return Query(name, "Observation", pairs, empty=empty)


def _five(name: str, resource_type: str, parameter: str, value: str, here: str, *, empty: bool = False) -> Query:
    return Query(name, resource_type, ((parameter, value), ("_count", "5")), {parameter: here}, empty=empty)


PUBLIC = (
    Query("capabilities", "metadata"),
    Query("any observations", "Observation", (("_count", "10"),)),
    Query("observations, counted", "Observation", (("_count", "1"), ("_total", "accurate")), counts_all=True),
    _observations("systolic by code", "code", SYSTOLIC, "1", empty=True),  # panels have it in a component
    _observations("systolic by combo-code", "combo-code", SYSTOLIC, "1"),
    Query("men, counted", "Patient", (("gender", "male"), ("_count", "5"), ("_total", "accurate"))),
    _five("family begins", "Patient", "family", "S", "S"),
    _five("given begins", "Patient", "given", "A", "A"),
    Query("women whose family begins", "Patient", (("gender", "female"), ("family", "B"), ("_count", "5"))),
    _observations("heights, counted", "code", HEIGHT, "5"),
    _observations("weights, counted", "code", WEIGHT, "5"),
    _observations("pain, counted", "code", PAIN, "5", empty=True),  # our charts have none
    Query("observations since 2020", "Observation", (("date", "ge2020-01-01"), ("_count", "5"))),
    Query("one patient", "Patient/{patient}", chart=True),
    _five("a family", "Patient", "family", "{family}", "{family}"),
    _of_patient("a patient's observations", "Observation", "20"),
    _of_patient("a patient's conditions", "Condition"),
    _five("conditions of a code", "Condition", "code", "{condition_code}", "{condition_code}"),
    _five("procedures of a code", "Procedure", "code", "{procedure_code}", "{procedure_code}"),
    _of_patient("a patient's encounters", "Encounter", "10"),
    _of_patient("a patient's prescriptions", "MedicationRequest", "10"),
    Query("a practitioner's encounters", "Encounter",
          (("participant", "Practitioner/{practitioner}"), ("_count", "10"))),
    Query("a location's encounters", "Encounter", (("location", "Location/{location}"), ("_count", "10"))),
    _five("a word in patients", "Patient", "_content", "Smith", "Restrepo"),
    _five("a word in observations", "Observation", "_content", "blood", "blood"),
    _five("a word in conditions", "Condition", "_content", "hypertension", "hypertension"),
    _five("within names", "Patient", "name:text", "ohn", "uan"),
    _five("within addresses", "Patient", "address:text", "Boston", "Medellín"),
    _five("a word in narratives", "Patient", "_text", "Smith", "Restrepo", empty=True),  # our charts have none
    _five("names of codes", "Condition", "code:text", "hypertensive", "essential hyper"),
)  # fmt: skip

_CHART: Pairs = (("patient", "{patient}"), ("code", HEIGHT), ("_sort", "-date"), ("_count", "50"))
_IN_CHART: Pairs = (("patient", "{patient}"), ("_count", "20"))
_HEIGHTS: Pairs = (("code", HEIGHT), ("_count", "20"))
_WITH_CONDITION: Pairs = (("_has:Condition:patient:code", "{condition_code}"), ("_count", "20"))

OWN = (
    Query("chart search", "Observation", _CHART, chart=True, budget=2, empty=True),
    Query("identifier", "Patient", (("identifier", "{identifier}"),), budget=2),
    Query("name", "Patient", (("name", "{family}"), ("_count", "10")), budget=2),
    Query("population, 50 rows", "Observation", (("code", HEIGHT), ("_sort", "-date"), ("_count", "50")), budget=4),
    Query("$everything, 50 entries", "Patient/{patient}/$everything", (("_count", "50"),), chart=True, budget=6),
    Query("vital signs by day", "Observation",
          (("patient", "{patient}"), ("category", "vital-signs"), ("date", "ge2024"), ("_count", "20")),
          chart=True, empty=True),
    Query("compartment", "Patient/{patient}/Observation", (("_count", "20"),), chart=True),
    Query("$lastn", "Observation/$lastn", (("patient", "{patient}"), ("category", "vital-signs")), chart=True),
    Query("chart, plain", "Encounter", _IN_CHART, chart=True),
    Query("chart, _include", "Encounter", (*_IN_CHART, ("_include", "Encounter:participant")), chart=True,
          plain="chart, plain", bound=1.5),
    Query("chart, _revinclude", "Patient", (("_id", "{patient}"), ("_revinclude", "Condition:patient")), chart=True),
    Query("heights, plain", "Observation", _HEIGHTS),
    Query("heights, _include", "Observation", (*_HEIGHTS, ("_include", "Observation:patient")),
          plain="heights, plain", bound=1.5),
    Query("condition, plain", "Condition", (("code", "{condition_code}"), ("_count", "20"))),
    Query("_has, condition", "Patient", _WITH_CONDITION, plain="condition, plain", bound=3),
    Query("HbA1c, plain", "Observation", (("code", HBA1C), ("_count", "20"))),
    Query("_has, HbA1c", "Patient", (("_has:Observation:patient:code", HBA1C), ("_count", "20")),
          plain="HbA1c, plain", bound=3, empty=True),
    Query("women, plain", "Patient", (("gender", "female"), ("_count", "20"))),
    Query("women with a condition", "Patient", (("gender", "female"), *_WITH_CONDITION),
          plain="women, plain", bound=3, empty=True),
    Query("chain by identifier", "Observation", (("patient.identifier", "{identifier}"), ("_count", "20"))),
    Query("chain by name", "Condition", (("patient.name", "{family}"), ("_count", "20"))),
    Query("code and value", "Observation", (("code-value-quantity", f"{HBA1C}$gt8||%"), ("_count", "20")), empty=True),
    Query("encounters of a week", "Encounter",
          (("date", "ge2026-03-01"), ("date", "lt2026-03-08"), ("_count", "20")), empty=True),
    Query("patients by name", "Patient", (("_sort", "family"), ("_count", "20"))),
)  # fmt: skip

BY_NAME = {query.name: query for query in (*PUBLIC, *OWN)}
