"""Rules of the definitions (https://hl7.org/fhir/R4/conformance-rules.html#constraints), compiled from FHIRPath."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fhir.definitions.structure import Element

from . import texts
from .problems import Context


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that a sound node must keep."""

    key: str
    severity: str
    text: Any
    holds: Callable[[Any, Context], bool]


def _one_content(node: Any, context: Context) -> bool:
    return ("extension" in node) != any(key.lstrip("_").startswith("value") for key in node)


# ext-1 is asked of every extension: written by hand, because the compiled expression looks for 50 forms of value[x].
BY_HAND = {"Extension": (Rule("ext-1", "error", texts.EXTENSION_BOTH, _one_content),)}


def type_rules(name: str) -> tuple[Rule, ...]:
    """The rules stated at the root of a type."""
    return BY_HAND.get(name, ())


def element_rules(owner: str, element: Element, kind: str) -> tuple[Rule, ...]:
    """The rules stated at an element of a type, for values of type `kind`."""
    return ()
