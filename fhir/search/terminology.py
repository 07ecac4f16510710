"""`:in`, `:not-in`, `:above` and `:below` of codes (https://hl7.org/fhir/R4/search.html#token).

The codes come from whoever has a terminology (fhir.terminology); here they become terms: one probe of the index,
however many codes there are.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Protocol

from django.utils.translation import gettext_lazy as _

from fhir.definitions.terminology import official
from fhir.definitions.value_sets import concepts
from fhir.exceptions import InvalidRequest

from . import hashing
from .catalogue import Parameter
from .clauses import AnyOf, Clause, Not, Nothing, Present, Terms
from .parameters import token
from .parameters.text import bad_modifier, bad_value, split, unescape

MODIFIERS = ("in", "not-in", "above", "below")
_SETS = ("in", "not-in")
_CODED = frozenset(("CodeableConcept", "Coding", "code"))


class Codes(Protocol):
    """A set of codes: those listed for each system, and systems of which every code belongs to it. It never changes."""

    def __hash__(self) -> int: ...

    @property
    def codes(self) -> Mapping[str, frozenset[str]]: ...

    @property
    def whole(self) -> frozenset[str]: ...


class Terminology(Protocol):
    """Who knows value sets and hierarchies. Answers are complete, or refused (InvalidRequest)."""

    def expect(self, value_sets: Iterable[str]) -> None:
        """These value sets will be asked for: a chance to look them up together."""

    def members(self, value_set: str) -> Codes:
        """The codes of a value set, by `ValueSet/[id]` or canonical url."""

    def above(self, system: str, code: str) -> Codes:
        """A code and all that subsume it."""

    def below(self, system: str, code: str) -> Codes:
        """A code and all that it subsumes."""


def announce(pairs: Iterable[tuple[str, str]], terminology: Terminology) -> None:
    """Tells of the value sets that a query names, before any of them is needed."""
    asked = [value for name, value in pairs if name.rpartition(":")[2] in _SETS]
    terminology.expect(unescape(item) for value in asked for item in split(value, ",") if item)


def clause(parameter: Parameter, modifier: str, values: list[str], terminology: Terminology) -> Clause:
    """The clause of one repetition; values come with their escapes. Raises InvalidRequest."""
    if parameter.types and not parameter.types & _CODED:
        known = tuple(name for name in token.MODIFIERS if name not in MODIFIERS)
        raise bad_modifier(parameter.code, modifier, known)
    implied = _implied(parameter) if parameter.types == {"code"} else None
    found = [_codes(parameter, modifier, value, implied, terminology) for value in values]
    made = _terms(parameter, found) if implied is None else _plain_terms(parameter, found, implied)
    return Not(made) if modifier == "not-in" else made


def _codes(
    parameter: Parameter, modifier: str, value: str, implied: Mapping[str, object] | None, terminology: Terminology
) -> Codes:
    if modifier in _SETS:
        return _asked(parameter, lambda: terminology.members(unescape(value)))
    parts = [unescape(part) for part in split(value, "|")]
    if len(parts) == 1 and implied is not None and len(implied) == 1:
        parts = [*implied, *parts]
    if len(parts) != 2 or not all(parts):
        message = _("“%(value)s” cannot be searched for above or below in “%(code)s”: write system|code.")
        raise bad_value(parameter.code, value, message)
    system, code = parts
    related = terminology.above if modifier == "above" else terminology.below
    return _asked(parameter, lambda: related(system, code))


def _asked(parameter: Parameter, question: Callable[[], Codes]) -> Codes:
    """The answer; a refusal says which parameter it is about."""
    try:
        return question()
    except InvalidRequest as refusal:
        issues = [replace(issue, expression=(parameter.code,)) for issue in refusal.issues]
        raise InvalidRequest(issues=issues) from refusal


@lru_cache(maxsize=8)
def _hashes(found: Codes) -> array[int]:
    listed = (hashing.in_system(system, code) for system, codes in found.codes.items() for code in codes)
    return array("q", [*listed, *map(hashing.system_only, found.whole)])


def _terms(parameter: Parameter, found: list[Codes]) -> Clause:
    hashes = [h for codes in found for h in _hashes(codes)]
    return token.terms(parameter, hashes) if hashes else Nothing()


# --- elements of type code, whose system is implied


def _implied(parameter: Parameter) -> dict[str, frozenset[str] | None]:
    """The systems behind the codes of a parameter, each with those of its codes that are meant (None: all).

    Raises InvalidRequest where no binding says what they are.
    """
    found: dict[str, frozenset[str] | None] = {} if parameter.system is None else {parameter.system: None}
    if not found:
        for branch in parameter.branches:
            found |= (concepts(branch.binding) or _bound_system(branch.binding)) if branch.binding else {}
    if not found:
        text = _("“%(code)s” holds codes without a system, so that “%(value)s” cannot be asked of it.")
        raise bad_value(parameter.code, ", ".join(f":{name}" for name in MODIFIERS), text)
    return found


def _bound_system(value_set: str) -> dict[str, None]:
    """The one system of a value set that is a whole system or a part of it by rules, such as MIME types."""
    resource = official("ValueSet", value_set) or {}
    systems = {row.get("system") for row in resource.get("compose", {}).get("include", ())}
    return {system: None for system in systems if system is not None} if len(systems) == 1 else {}


def _plain_terms(parameter: Parameter, found: list[Codes], implied: Mapping[str, frozenset[str] | None]) -> Clause:
    asked: set[str] = set()
    everything = False
    for codes in found:
        for system, meant in implied.items():
            if system in codes.whole:
                everything |= meant is None
                asked |= meant or frozenset()
            else:
                listed = codes.codes.get(system, frozenset())
                asked |= listed if meant is None else listed & meant
    made: list[Clause] = [_any_value(parameter)] if everything else []
    if asked:
        made.append(token.terms(parameter, [hashing.any_system(code) for code in sorted(asked)]))
    return made[0] if len(made) == 1 else AnyOf(tuple(made)) if made else Nothing()


def _any_value(parameter: Parameter) -> Clause:
    if not parameter.custom:
        return Present(parameter.mask, True, parameter.code)
    return Terms((hashing.presence(parameter.resource_type, parameter.stored_as[0])[0],), parameter.code)
