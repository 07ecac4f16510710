"""Comparisons of a search value with the interval of a stored one.

Dates: https://hl7.org/fhir/R4/search.html#date and #prefix; numbers: https://hl7.org/fhir/R4/search.html#number. Stored
dates are [lo, hi) of their precision. Stored numbers are points (lo = hi), or the ends of a Range.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PREFIXES = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")

# For dates: %(lo)s and %(hi)s are the interval asked for; for `ap` it has been widened. `co` is of `_filter` only.
_DATE = {
    "eq": ("$x.lo >= {} AND $x.hi <= {}", ("lo", "hi")),
    "ne": ("($x.lo < {} OR $x.hi > {})", ("lo", "hi")),
    "gt": ("$x.hi > {}", ("hi",)),
    "lt": ("$x.lo < {}", ("lo",)),
    "ge": ("$x.hi > {}", ("lo",)),
    "le": ("$x.lo < {}", ("hi",)),
    "sa": ("$x.lo >= {}", ("hi",)),
    "eb": ("$x.hi <= {}", ("lo",)),
    "ap": ("$x.lo < {} AND $x.hi > {}", ("hi", "lo")),
    "co": ("$x.lo <= {} AND $x.hi >= {}", ("lo", "hi")),
}
# For numbers: the interval of the precision counts for eq and ne only; the others look at the value itself.
_NUMBER = {
    "eq": ("$x.lo >= {} AND $x.hi < {}", ("lo", "hi")),
    "ne": ("($x.lo < {} OR $x.hi >= {})", ("lo", "hi")),
    "gt": ("$x.hi > {}", ("value",)),
    "lt": ("$x.lo < {}", ("value",)),
    "ge": ("$x.hi >= {}", ("value",)),
    "le": ("$x.lo <= {}", ("value",)),
    "sa": ("$x.lo > {}", ("value",)),
    "eb": ("$x.hi < {}", ("value",)),
    "ap": ("$x.lo <= {} AND $x.hi >= {}", ("hi", "lo")),
}
# For an instant of which only the column `updated` is known.
_INSTANT = {
    "eq": ("({c} >= {} AND {c} < {})", ("lo", "hi")),
    "ne": ("({c} < {} OR {c} >= {})", ("lo", "hi")),
    "gt": ("{c} >= {}", ("hi",)),
    "lt": ("{c} < {}", ("lo",)),
    "ge": ("{c} >= {}", ("lo",)),
    "le": ("{c} < {}", ("hi",)),
    "sa": ("{c} >= {}", ("hi",)),
    "eb": ("{c} < {}", ("lo",)),
    "ap": ("({c} >= {} AND {c} < {})", ("lo", "hi")),
    "co": ("({c} <= {} AND {c} + interval '1 millisecond' >= {})", ("lo", "hi")),
}


@dataclass(frozen=True, slots=True)
class Test:
    """A prefix with the interval asked for; `value` where it is a number. `column` limits it to one end ("lo", "hi").

    A stored unit fits if its bits under one of the masks are those asked for (fhir.search.hashing.unit_number).
    """

    __test__ = False

    prefix: str
    lo: float
    hi: float
    value: float | None = None
    units: tuple[tuple[int, int], ...] = ()
    column: str | None = None

    def sql(self) -> tuple[str, tuple[Any, ...]]:
        """The condition on a row `$x` with columns lo and hi."""
        template, names = (_DATE if self.value is None else _NUMBER)[self.prefix]
        text = "(" + template.replace("{}", "%s::float8") + ")"
        if self.column is not None:
            text = text.replace("$x.lo", f"$x.{self.column}").replace("$x.hi", f"$x.{self.column}")
        parameters: list[Any] = [getattr(self, name) for name in names]
        if self.units:
            units = " OR ".join("$x.unit & %s::bigint = %s::bigint" for _ in self.units)
            text = f"({text} AND ({units}))"
            parameters += [number for unit in self.units for number in unit]
        return text, tuple(parameters)

    def instant_sql(self, column: str) -> tuple[str, tuple[Any, ...]]:
        """The condition on a column that holds an instant."""
        template, names = _INSTANT[self.prefix]
        text = template.replace("{c}", column).replace("{}", "to_timestamp(%s::float8 / 1000000)")
        return text, tuple(getattr(self, name) for name in names)

    def date_bounds(self, single: bool) -> tuple[float | None, float | None]:
        """What follows for the earliest lo of a resource, as (least, below); less where it may have several values."""
        least = {"eq": self.lo, "sa": self.hi}.get(self.prefix) if single else None
        below = {"eq": self.hi, "lt": self.lo, "eb": self.lo, "le": self.hi, "ap": self.hi}.get(self.prefix)
        return least, below
