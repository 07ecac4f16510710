"""What a search asks, as a value (https://hl7.org/fhir/R4/search.html)."""

from __future__ import annotations

from dataclasses import dataclass

from .catalogue import Parameter
from .clauses import Clause

# Of _contained (https://hl7.org/fhir/R4/search.html#contained) and _containedType, the defaults first.
CONTAINED = ("false", "true", "both")
CONTAINED_TYPES = ("container", "contained")
TOTALS = ("none", "estimate", "accurate")


@dataclass(frozen=True, slots=True)
class Sort:
    """One key of `_sort`."""

    code: str
    descending: bool


@dataclass(frozen=True, slots=True)
class Include:
    """One `_include` or `_revinclude` (https://hl7.org/fhir/R4/search.html#include).

    `source` is a type or "*", `code` a reference parameter or "*", `target` a type or None.
    """

    source: str
    code: str
    target: str | None
    iterate: bool
    reverse: bool


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """A parsed search. `types` () means a search of nothing that the caller may see.

    `chart` is the id of the Patient who decides the place of every match, where that is known from a parameter;
    `kept` are the parameters that were understood, for the self link; `ignored` those that were not; `custom` are the
    parameters of clients that the search depends on, `incomplete` those that some resources are not indexed for yet.
    """

    types: tuple[str, ...]
    clauses: tuple[Clause, ...]
    chart: str | None
    sort: tuple[Sort, ...]
    count: int
    total: str | None
    summary: str | None
    elements: tuple[str, ...]
    includes: tuple[Include, ...]
    cursor: str | None
    explain: bool
    contained: str
    contained_type: str
    kept: tuple[tuple[str, str], ...]
    ignored: tuple[str, ...]
    custom: tuple[Parameter, ...] = ()
    incomplete: tuple[Parameter, ...] = ()

    @property
    def counts_only(self) -> bool:
        """Whether the number of matches is all that is asked for."""
        return self.count == 0 or self.summary == "count"
