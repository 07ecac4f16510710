"""`_filter`: expressions over search parameters (https://hl7.org/fhir/R4/search_filter.html).

`and` binds tighter than `or`. Paths may be chained with dots, with a filter in brackets on what a link refers to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from django.utils.translation import gettext_lazy as _

from accounts.texts import lazy_text
from fhir.exceptions import InvalidRequest

from . import conditions
from .catalogue import parameters
from .clauses import AllOf, AnyOf, Clause, Not
from .conditions import Reader
from .parameters.text import bad_value
from .rows import Ranges

_NAME = re.compile(r"_?[A-Za-z][A-Za-z0-9_\-]*(?::[A-Z][A-Za-z]+)?")
_WORD = re.compile(r"[a-z]+(?=[\s(]|$)")
# Brackets inside a value, as in mm[Hg], come in pairs.
_VALUE = re.compile(r'"(?:[^"\\]|\\.)*"|(?:[^\s()\[\]"]|\[[^\s\[\]]*\])+')
_SPACE = re.compile(r"\s*")
_COMPARISONS = ("gt", "lt", "ge", "le", "ap", "sa", "eb")
_STRINGS = {"co": "contains", "sw": None, "ew": "$ends", "eq": "$equal"}
_CODES = {"ss": "below", "sb": "above", "in": "in"}
OPERATORS = ("eq", "ne", *_COMPARISONS, "co", "sw", "ew", "pr", "po", "ss", "sb", "in", "re")
_ORDERED = ("date", "number", "quantity")
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
        found = self._either()
        self._skip()
        if self.at < len(self.text):
            raise self._refusal()
        return found

    def _either(self) -> Clause:
        found = [self._all()]
        while self._accept_word("or"):
            found.append(self._all())
        return found[0] if len(found) == 1 else AnyOf(tuple(found))

    def _all(self) -> Clause:
        found = [self._one()]
        while self._accept_word("and"):
            found.append(self._one())
        return found[0] if len(found) == 1 else AllOf(tuple(found))

    def _one(self) -> Clause:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self._refusal()
        start = self.at
        negated = self._accept_word("not")
        if not self._accept("("):
            self.at = start
            return self._comparison()
        found = self._either()
        if not self._accept(")"):
            raise self._refusal()
        return Not(found) if negated else found

    def _comparison(self) -> Clause:
        links, operator, value = self._path(), self._take(_VALUE), self._take(_VALUE)
        if operator not in OPERATORS:
            text = _("“%(operator)s” is no operator of “_filter” here. It has: %(known)s.")
            shown = lazy_text(text, operator=operator[:100], known=", ".join(OPERATORS))
            raise InvalidRequest(shown, code="not-supported", expression="_filter")
        if value.startswith('"'):
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        if operator == "ne":
            return Not(self._along(self.type, links, "eq", value, self.reader))
        return self._along(self.type, links, operator, value, self.reader)

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
        known = parameters(resource_type).get(code)
        kind = "" if known is None else known.type
        value = value.replace("\\", "\\\\").replace(",", "\\,")
        modifier = None
        if kind == "string" and operator in _STRINGS:
            modifier = _STRINGS[operator]
        elif operator in _CODES and kind == "token":
            modifier = _CODES[operator]
        elif kind in _ORDERED and operator in _COMPARISONS:
            value = operator + value
        elif kind == "date" and operator == "po":
            found = conditions.clause(resource_type, code, value, reader)
            assert isinstance(found, Ranges)
            return replace(found, tests=tuple(replace(test, prefix="ap") for test in found.tests))
        elif operator != "eq" and not (operator == "re" and kind == "reference"):
            text = _("“%(operator)s” cannot be used with “%(code)s” in “_filter”.")
            shown = lazy_text(text, operator=operator, code=code[:100])
            raise InvalidRequest(shown, code="not-supported", expression="_filter")
        return conditions.clause(resource_type, f"{code}:{modifier}" if modifier else code, value, reader)
