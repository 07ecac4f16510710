"""`_filter`: expressions over search parameters (https://hl7.org/fhir/R4/search_filter.html).

`and` binds tighter than `or`. Paths may be chained with dots. Filters in brackets and the operators that need a
terminology (ss, sb, in) are refused.
"""

from __future__ import annotations

import re
from dataclasses import replace

from django.utils.translation import gettext_lazy as _

from accounts.texts import lazy_text
from fhir.exceptions import InvalidRequest

from . import conditions
from .catalogue import parameters
from .clauses import AllOf, AnyOf, Clause, Not
from .conditions import Reader
from .parameters.text import bad_value
from .rows import Ranges

_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[()]|[^\s()"]+)')
_COMPARISONS = ("gt", "lt", "ge", "le", "ap", "sa", "eb")
_STRINGS = {"co": "contains", "sw": None, "ew": "$ends", "eq": "$equal"}
OPERATORS = ("eq", "ne", *_COMPARISONS, "co", "sw", "ew", "pr", "po", "re")
_ORDERED = ("date", "number", "quantity")


def clause(resource_type: str, text: str, reader: Reader) -> Clause:
    """The clause of a filter. Raises InvalidRequest where it is not understood."""
    return _Filter(resource_type, text, replace(reader, filtering=True)).parse()


class _Filter:
    def __init__(self, resource_type: str, text: str, reader: Reader) -> None:
        self.type, self.text, self.reader = resource_type, text, reader
        self.tokens = self._tokens(text)
        self.depth = 0

    def _tokens(self, text: str) -> list[str]:
        found, position = [], 0
        text = text.rstrip()
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                raise self._refusal()
            found.append(match[1])
            position = match.end()
        found.reverse()
        return found

    def _refusal(self) -> InvalidRequest:
        text = _(
            "“%(value)s” in “%(code)s” is not understood: write parameter operator value, joined by and, or, not (…)."
        )
        return bad_value("_filter", self.text, text)

    def _next(self) -> str:
        if not self.tokens:
            raise self._refusal()
        return self.tokens.pop()

    def _accept(self, token: str) -> bool:
        if self.tokens and self.tokens[-1] == token:
            self.tokens.pop()
            return True
        return False

    def parse(self) -> Clause:
        found = self._either()
        if self.tokens:
            raise self._refusal()
        return found

    def _either(self) -> Clause:
        found = [self._all()]
        while self._accept("or"):
            found.append(self._all())
        return found[0] if len(found) == 1 else AnyOf(tuple(found))

    def _all(self) -> Clause:
        found = [self._one()]
        while self._accept("and"):
            found.append(self._one())
        return found[0] if len(found) == 1 else AllOf(tuple(found))

    def _one(self) -> Clause:
        self.depth += 1
        if self.depth > 200:
            raise self._refusal()
        negated = len(self.tokens) > 1 and self.tokens[-2] == "(" and self._accept("not")
        if not self._accept("("):
            return self._comparison()
        found = self._either()
        if not self._accept(")"):
            raise self._refusal()
        return Not(found) if negated else found

    def _comparison(self) -> Clause:
        path, operator, value = self._next(), self._next(), self._next()
        if operator not in OPERATORS:
            text = _("“%(operator)s” is no operator of “_filter” here. It has: %(known)s.")
            shown = lazy_text(text, operator=operator[:100], known=", ".join(OPERATORS))
            raise InvalidRequest(shown, code="not-supported", expression="_filter")
        if value.startswith('"'):
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        if operator == "ne":
            return Not(self._compared(path, "eq", value))
        return self._compared(path, operator, value)

    def _compared(self, path: str, operator: str, value: str) -> Clause:
        if operator == "pr":
            missing = {"true": "false", "false": "true"}.get(value, value)
            return conditions.clause(self.type, f"{path}:missing", missing, self.reader)
        kind = self._kind(path)
        value = value.replace("\\", "\\\\").replace(",", "\\,")
        if kind == "string" and operator in _STRINGS:
            modifier = _STRINGS[operator]
            return conditions.clause(self.type, f"{path}:{modifier}" if modifier else path, value, self.reader)
        if kind in _ORDERED and operator in _COMPARISONS:
            return conditions.clause(self.type, path, operator + value, self.reader)
        if kind == "date" and operator == "po":
            found = conditions.clause(self.type, path, value, self.reader)
            if isinstance(found, Ranges):
                return replace(found, tests=tuple(replace(test, prefix="ap") for test in found.tests))
        if operator == "eq" or (operator == "re" and kind == "reference"):
            return conditions.clause(self.type, path, value, self.reader)
        text = _("“%(operator)s” cannot be used with “%(code)s” in “_filter”.")
        shown = lazy_text(text, operator=operator, code=path[:100])
        raise InvalidRequest(shown, code="not-supported", expression="_filter")

    def _kind(self, path: str) -> str:
        """The type of the parameter at the end of a path; of a chain that may go several ways, the first."""
        types: tuple[str, ...] = (self.type,)
        *links, last = path.split(".")
        for link in links:
            code, _colon, target = link.partition(":")
            known = [parameters(name)[code] for name in types if code in parameters(name)]
            types = (target,) if target else tuple(t for p in known for t in p.targets)
        code = last.partition(":")[0]
        return next((parameters(name)[code].type for name in types if code in parameters(name)), "")
