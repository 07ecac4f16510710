"""Demo charts: clinically coherent records of people who do not exist, the same for the same seed.

`facility(seed)` gives what all charts of a seed share, `chart(seed, index)` one patient's resources. A chart depends
on nothing but its seed and index. Ids carry the patient's bucket, references resolve inside the set, and what is
referred to comes before what refers to it wherever FHIR lets it. See docs/charts.md.
"""

from __future__ import annotations

from .chart import Chart
from .elements import Resource
from .facilities import shared
from .life import tell

__all__ = ["Resource", "chart", "facility"]


def facility(seed: int) -> list[Resource]:
    """Organizations, locations, practitioners and their roles."""
    return list(shared(seed).resources)


def chart(seed: int, index: int) -> list[Resource]:
    """All resources of patient number `index` (from 0), the Patient first."""
    written = Chart(seed, index)
    tell(written)
    return written.resources
