"""Code systems and value sets: which codes are in a set, and which stand above and below each other.

https://hl7.org/fhir/R4/terminology-module.html. Stored ValueSets and CodeSystems come first, then those of the
official package. What cannot be known completely is refused, never answered short (docs/terminology.md).
"""

from __future__ import annotations

from .members import Members
from .resolver import Terminology

__all__ = ["Members", "Terminology"]
