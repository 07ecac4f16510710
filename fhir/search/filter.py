"""`_filter`: expressions over search parameters (https://hl7.org/fhir/R4/search_filter.html).

`and` and `or` are taken from left to right. Paths may be chained with dots, with a filter in brackets on what a link
refers to. Tokens count with their case, as everywhere here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from django.utils.translation import gettext_lazy as _

from accounts.texts import lazy_text
from fhir import json
from fhir.exceptions import InvalidRequest

from . import conditions, json_values
from .catalogue import Parameter, parameters
from .clauses import AllOf, AnyOf, Clause, Not, Present, Updated
from .comparison import PREFIXES
from .conditions import Reader
from .parameters import string
from .parameters.text import bad_value, escape, split
from .rows import Ranges

_NAME = re.compile(r"_?[A-Za-z][A-Za-z0-9_\-]*(?::[A-Z][A-Za-z]+)?")
_WORD = re.compile(r"[a-z]+(?=[\s(]|$)")
# Brackets inside a value, as in mm[Hg], come in pairs.
_VALUE = re.compile(r'"(?:[^"\\]|\\.)*"|(?:[^\s()\[\]"]|\[[^\s\[\]]*\])+')
_SPACE = re.compile(r"\s*")
_STRINGS = {"co": "contains", "sw": None, "ew": "$ends", "eq": "$equal"}
_CODES = {"ss": "below", "sb": "above", "in": "in", "ni": "not-in"}
# Prefixes with which intervals are compared as these operators say: a common part; all of the one asked for.
_PERIODS = {"po": "ap", "co": "co"}
OPERATORS = (*PREFIXES, "co", "sw", "ew", "pr", "po", *_CODES, "re")
_SYSTEMS = {
    "loinc": "http://loinc.org",
    "snomed": "http://snomed.info/sct",
    "rxnorm": "http://www.nlm.nih.gov/research/umls/rxnorm",
    "ucum": "http://unitsofmeasure.org",
}
_DEEPEST = 200


def clause(resource_type: str, text: str, reader: Reader) -> Clause:
    """The clause of a filter. Raises InvalidRequest where it is not understood."""
    return _Filter(resource_type, text, replace(reader, filtering=True)).parse()


@dataclass(frozen=True, slots=True)
class _Link:
    """One step of a path: a parameter (`subject` or `subject:Patient`), and the filter in brackets behind it."""

    name: str
    filter: str | None


class _Filter:
    def __init__(self, resource_type: str, text: str, reader: Reader) -> None:
        self.type, self.text, self.reader = resource_type, text, reader
        self.at = self.depth = 0

    def _refusal(self) -> InvalidRequest:
        text = _(
            "“%(value)s” in “%(code)s” is not understood: write parameter operator value, joined by and, or, not (…)."
        )
        return bad_value("_filter", self.text, text)

    # --- reading

    def _take(self, pattern: re.Pattern[str]) -> str:
        self._skip()
        found = pattern.match(self.text, self.at)
        if found is None:
            raise self._refusal()
        self.at = found.end()
        return found[0]

    def _skip(self) -> None:
        found = _SPACE.match(self.text, self.at)
        self.at = found.end() if found else self.at

    def _accept(self, sign: str) -> bool:
        self._skip()
        if self.text.startswith(sign, self.at):
            self.at += len(sign)
            return True
        return False

    def _accept_word(self, word: str) -> bool:
        self._skip()
        found = _WORD.match(self.text, self.at)
        if found is None or found[0] != word:
            return False
        self.at = found.end()
        return True

    def _path(self) -> list[_Link]:
        links = []
        while True:
            name = self._take(_NAME)
            links.append(_Link(name, self._bracket()))
            if not self.text.startswith(".", self.at):
                return links
            self.at += 1

    def _bracket(self) -> str | None:
        """The text of a filter in brackets, up to the bracket that closes it."""
        if not self.text.startswith("[", self.at):
            return None
        start, depth, quoted = self.at + 1, 0, False
        while self.at < len(self.text):
            sign = self.text[self.at]
            if quoted and sign == "\\":
                self.at += 1
            elif sign == '"':
                quoted = not quoted
            elif not quoted:
                depth += {"[": 1, "]": -1}.get(sign, 0)
            self.at += 1
            if depth == 0:
                return self.text[start : self.at - 1]
        raise self._refusal()

    # --- grammar

    def parse(self) -> Clause:
        found = self._combined()
        self._skip()
        if self.at < len(self.text):
            raise self._refusal()
        return found

    def _combined(self) -> Clause:
        """From left to right: neither `and` nor `or` binds tighter (search_filter.html, notes on the syntax)."""
        found = self._one()
        while True:
            if self._accept_word("and"):
                found = _and(found, self._one())
            elif self._accept_word("or"):
                found = _or(found, self._one())
            else:
                return found

    def _one(self) -> Clause:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self._refusal()
        start = self.at
        negated = self._accept_word("not")
        if not self._accept("("):
            self.at = start
            return self._comparison()
        known = len(self.reader.custom)
        found = self._combined()
        if not self._accept(")"):
            raise self._refusal()
        if not negated:
            return found
        own = [parameter for parameter in self.reader.custom[known:] if parameter.resource_type == self.type]
        return AllOf((Not(found), *conditions.indexed(own))) if own else Not(found)

    def _comparison(self) -> Clause:
        links, operator, value = self._path(), self._take(_VALUE), self._value()
        if operator not in OPERATORS:
            text = _("“%(operator)s” is no operator of “_filter” here. It has: %(known)s.")
            shown = lazy_text(text, operator=operator[:100], known=", ".join(OPERATORS))
            raise InvalidRequest(shown, code="not-supported", expression="_filter")
        return self._along(self.type, links, operator, value, self.reader)

    def _value(self) -> str:
        """A JSON string, or what stands there up to the next space or bracket."""
        value = self._take(_VALUE)
        if not value.startswith('"'):
            return value
        try:
            return str(json.loads(value))
        except json.DecodeError:
            raise self._refusal() from None

    # --- meaning

    def _along(self, resource_type: str, links: list[_Link], operator: str, value: str, reader: Reader) -> Clause:
        """The comparison at the end of a path."""
        link, *rest = links
        if not rest:
            if link.filter is not None:
                raise self._refusal()
            return self._compared(resource_type, link.name, operator, value, reader)

        def condition(target: str, reader: Reader) -> Clause:
            end = self._along(target, rest, operator, value, reader)
            return end if link.filter is None else AllOf((clause(target, link.filter, reader), end))

        return conditions.chain(resource_type, link.name, rest[0].name, condition, reader)

    def _compared(self, resource_type: str, code: str, operator: str, value: str, reader: Reader) -> Clause:
        if operator == "pr":
            missing = {"true": "false", "false": "true"}.get(value, value)
            return conditions.clause(resource_type, f"{code}:missing", missing, reader)
        parameter = parameters(resource_type).get(code)
        if parameter is None:
            if operator != "eq":
                raise _not_for(operator, code)
            return conditions.clause(resource_type, code, value, reader)
        return _COMPARED.get(parameter.type, _exactly)(parameter, operator, value, reader)


def _and(left: Clause, right: Clause) -> Clause:
    return AllOf((*left.clauses, right)) if isinstance(left, AllOf) else AllOf((left, right))


def _or(left: Clause, right: Clause) -> Clause:
    return AnyOf((*left.clauses, right)) if isinstance(left, AnyOf) else AnyOf((left, right))


# --- operators, by type of parameter


def _not_for(operator: str, code: str) -> InvalidRequest:
    text = _("“%(operator)s” cannot be used with “%(code)s” in “_filter”.")
    shown = lazy_text(text, operator=operator, code=code[:100])
    return InvalidRequest(shown, code="not-supported", expression="_filter")


def _asked(parameter: Parameter, modifier: str | None, value: str, reader: Reader) -> Clause:
    name = f"{parameter.code}:{modifier}" if modifier else parameter.code
    return conditions.clause(parameter.resource_type, name, value, reader)


def _string(parameter: Parameter, operator: str, value: str, reader: Reader) -> Clause:
    if operator in string.COMPARISONS:
        if parameter.custom:
            reader.custom.append(parameter)
        return string.compared(parameter, operator, value)
    if operator not in _STRINGS:
        raise _not_for(operator, parameter.code)
    return _asked(parameter, _STRINGS[operator], escape(value), reader)


def _ordered(parameter: Parameter, operator: str, value: str, reader: Reader) -> Clause:
    written = _alone(_with_system(value, 1) if parameter.type == "quantity" else value)
    if operator in PREFIXES:
        return _asked(parameter, None, operator + written, reader)
    if parameter.type != "date" or operator not in _PERIODS:
        raise _not_for(operator, parameter.code)
    found = _asked(parameter, None, "eq" + written, reader)
    assert isinstance(found, Ranges | Updated)
    return replace(found, tests=tuple(replace(test, prefix=_PERIODS[operator]) for test in found.tests))


def _token(parameter: Parameter, operator: str, value: str, reader: Reader) -> Clause:
    if operator in _CODES:
        return _asked(parameter, _CODES[operator], _alone(_with_system(value, 0)), reader)
    return _exactly(parameter, operator, _with_system(value, 0), reader)


def _exactly(parameter: Parameter, operator: str, value: str, reader: Reader) -> Clause:
    """What is the same or is not: of several values, one that is not."""
    equal = _asked(parameter, None, _alone(value), reader)
    if operator == "eq" or (operator == "re" and parameter.type == "reference"):
        return equal
    if operator != "ne" or parameter.type not in ("token", "uri"):
        raise _not_for(operator, parameter.code)
    if parameter.code == "_id":
        return Not(equal)
    if parameter.single and not parameter.custom:
        return AllOf((Present(parameter.mask, True, parameter.code), Not(equal)))
    unequal = json_values.unequal(parameter, value)
    if unequal is None:
        raise _not_for(operator, parameter.code)
    return unequal


def _alone(value: str) -> str:
    """A value as it stands in a query: escapes are as there, but a comma does not separate."""
    return "\\,".join(split(value, ","))


def _with_system(value: str, place: int) -> str:
    """`loinc|1234-5` with the system in full."""
    parts = split(value, "|")
    if len(parts) > place + 1 and parts[place] in _SYSTEMS:
        parts[place] = _SYSTEMS[parts[place]]
    return "|".join(parts)


_COMPARED: dict[str, Callable[[Parameter, str, str, Reader], Clause]] = {
    "string": _string,
    "date": _ordered,
    "number": _ordered,
    "quantity": _ordered,
    "token": _token,
}
