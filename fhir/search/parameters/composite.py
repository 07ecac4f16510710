"""Composite parameters (https://hl7.org/fhir/R4/search.html#composite): values of one repetition, joined by `$`.

A code with a number, date or quantity is a row of the code_value table; two codes are one term; a code with a text is a
row of the string table whose text begins with the code.
"""

from __future__ import annotations

from dataclasses import replace

from django.utils.translation import gettext_lazy as _

from accounts.texts import lazy_text
from fhir.exceptions import InvalidRequest
from fhir.ids import hash64
from fhir.search import hashing
from fhir.search.catalogue import Parameter
from fhir.search.clauses import Clause, Nothing, Terms
from fhir.search.comparison import Test
from fhir.search.rows import CodeValue, CodeValues, Strings

from . import date, number, quantity, reference, string
from .text import bad_modifier, bad_value, split, unescape

_PART = "\x1f"
_NUMBERS = ("date", "number", "quantity")


def kinds(parameter: Parameter) -> tuple[str, ...]:
    """The types of the parts."""
    return tuple(kind for _code, kind, _expression in parameter.parts)


def pair_hash(first: int, second: int) -> int:
    """Two values of one repetition, as one."""
    return hash64(f"{first}${second}")


def text_forms(system: str | None, code: str) -> tuple[str, ...]:
    """What a code with a text begins with in the string table."""
    return (f"{_PART}{code}{_PART}", f"{system or ''}{_PART}{code}{_PART}")


def parse(parameter: Parameter, modifier: str | None, values: list[str]) -> Clause:
    """The clause of one repetition; values come with their escapes. Raises InvalidRequest."""
    if modifier is not None:
        raise bad_modifier(parameter.code, modifier, ("missing",))
    alternatives = [_parts(parameter, value) for value in values]
    found = kinds(parameter)
    if all(kind in _NUMBERS for kind in found[1:]):
        return _with_numbers(parameter, alternatives)
    if found[1] == "string":
        return _with_texts(parameter, alternatives)
    return _pairs(parameter, alternatives)


def _parts(parameter: Parameter, value: str) -> list[str]:
    parts = split(value, "$")
    if len(parts) != len(parameter.parts) or not all(parts):
        form = "$".join(code for code, _kind, _expression in parameter.parts)
        text = _("“%(value)s” cannot be searched for in “%(code)s”: write %(form)s.")
        shown = lazy_text(text, code=parameter.code, value=value[:100], form=form)
        raise InvalidRequest(shown, code="value", expression=parameter.code)
    return parts


def _code(parameter: Parameter, value: str) -> tuple[str | None, str]:
    """(system or None for any, code) of the first part."""
    parts = [unescape(part) for part in split(value, "|")]
    if len(parts) > 2 or not parts[-1]:
        message = _("“%(value)s” cannot be searched for in “%(code)s”: the first part must be code or system|code.")
        raise bad_value(parameter.code, value, message)
    return (None, parts[0]) if len(parts) == 1 else (parts[0], parts[1])


def _with_numbers(parameter: Parameter, alternatives: list[list[str]]) -> Clause:
    found = []
    for code_text, *others in alternatives:
        system, code = _code(parameter, code_text)
        tests, in_canonical = _tests(parameter, others)
        ends = ("", quantity.CANONICAL)[: 1 + in_canonical]
        for name in (code + end for code in parameter.stored_as for end in ends):
            first, last = hashing.code_range(parameter.resource_type, name, code)
            if system is not None:
                first = last = hashing.code_number(parameter.resource_type, name, system, code)
            found.append(CodeValue(first, last, tests))
    return CodeValues(tuple(found), parameter.code)


def _tests(parameter: Parameter, values: list[str]) -> tuple[tuple[Test, ...], bool]:
    """The tests of the numbers, and whether canonical rows are to be looked at too."""
    found = [_test(parameter.code, kind, value) for kind, value in zip(kinds(parameter)[1:], values, strict=True)]
    if len(found) == 1:
        return (found[0][0],), found[0][1]
    # Two numbers beside one code: the first lies in column lo, the second in column hi.
    return tuple(replace(test, column=column) for (test, _in), column in zip(found, ("lo", "hi"), strict=True)), False


def _test(code: str, kind: str, value: str) -> tuple[Test, bool]:
    if kind == "date":
        return date.test(code, unescape(value)), False
    return quantity.test(code, value) if kind == "quantity" else (number.test(code, unescape(value)), False)


def _with_texts(parameter: Parameter, alternatives: list[list[str]]) -> Clause:
    numbers = tuple(hashing.parameter_number(parameter.resource_type, name) for name in parameter.stored_as)
    values = []
    for code_text, text in alternatives:
        system, code = _code(parameter, code_text)
        begin = text_forms(system, code)[0 if system is None else 1]
        folded = string.fold(unescape(text))
        if folded:
            values.append((begin + folded, begin + unescape(text)))
    return Strings(numbers, "prefix", tuple(values), parameter.code) if values else Nothing()


def _pairs(parameter: Parameter, alternatives: list[list[str]]) -> Clause:
    found: set[int] = set()
    bases = [hashing.parameter_hash(parameter.resource_type, name) for name in parameter.stored_as]
    for values in alternatives:
        first, second = (_hash(parameter, kind, value) for kind, value in zip(kinds(parameter), values, strict=True))
        found |= {base ^ pair_hash(a, b) for base in bases for a in first for b in second}
    return Terms(tuple(sorted(found)), parameter.code)


def _hash(parameter: Parameter, kind: str, value: str) -> list[int]:
    if kind == "reference":
        return [hashing.reference(form) for form in reference.forms(unescape(value), "")[:1]]
    parts = [unescape(part) for part in split(value, "|")]
    if len(parts) > 2 or not any(parts):
        message = _("“%(value)s” cannot be searched for in “%(code)s”: write code, system|code, |code or system|.")
        raise bad_value(parameter.code, value, message)
    if len(parts) == 1:
        return [hashing.any_system(parts[0])]
    return [hashing.in_system(*parts) if parts[1] else hashing.system_only(parts[0])]
