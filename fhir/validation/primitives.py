"""Formats of the primitive types (https://hl7.org/fhir/R4/datatypes.html#primitive).

As strict as the regular expressions of R4, plus the calendar. White space means that of ASCII, as in the schemas of
the specification: a no-break space is a character like any other.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from fhir.definitions.structure import PRIMITIVE_TYPES, type_definition

from . import texts
from .problems import Check, Context, Node, Problem, Problems, kind_of, say, shown

MAX_CHARACTERS = 1024 * 1024
RANGES = {"integer": (-(2**31), 2**31 - 1), "unsignedInt": (0, 2**31 - 1), "positiveInt": (1, 2**31 - 1)}
DATES = ("date", "dateTime", "instant")

_allowed_text = re.compile(r"[ \r\n\t\S]+", re.ASCII).fullmatch
_unfit = re.compile("[\0\ud800-\udfff]").search
_space = re.compile(r"\s+", re.ASCII)
_base64 = re.compile(r"[0-9a-zA-Z+/=]+").fullmatch


def _not_text(kind: str, value: Any) -> list[Problem]:
    if value is None:
        return [Problem("structure", texts.NULL_VALUE, shape=True)]
    if isinstance(value, list):
        return [Problem("structure", texts.NOT_SINGLE, shape=True)]
    return [Problem("value", say(texts.NOT_TEXT, type=kind, found=kind_of(value)), shape=True)]


def text_fault(value: str) -> Problem | None:
    """What is wrong with a string, if anything (https://hl7.org/fhir/R4/datatypes.html#string)."""
    if not value or value.isspace():
        return Problem("value", texts.EMPTY_TEXT)
    if len(value) > MAX_CHARACTERS:
        return Problem("value", texts.TOO_LONG)
    if _unfit(value) or not _allowed_text(value):
        return Problem("value", say(texts.CONTROL_CHARACTER, value=shown(value)), shape=True)
    return None


def check_string(value: Any, parent: Node, context: Context) -> Problems:
    # isprintable settles nearly every string in one pass in C; the rest is looked at closely.
    if type(value) is str:
        if value.isprintable() and 0 < len(value) <= MAX_CHARACTERS and not value.isspace():
            return None
        fault = text_fault(value)
        return None if fault is None else [fault]
    return _not_text("string", value)


def check_boolean(value: Any, parent: Node, context: Context) -> Problems:
    if value is True or value is False:
        return None
    if isinstance(value, (list, type(None))):
        return _not_text("boolean", value)
    return [Problem("value", say(texts.NOT_BOOLEAN, found=kind_of(value)), shape=True)]


def check_decimal(value: Any, parent: Node, context: Context) -> Problems:
    if type(value) in (int, Decimal, float):
        return None
    if isinstance(value, (list, type(None))):
        return _not_text("decimal", value)
    return [Problem("value", say(texts.NOT_DECIMAL, found=kind_of(value)), shape=True)]


def _whole(kind: str) -> Check:
    low, high = RANGES[kind]

    def check(value: Any, parent: Node, context: Context) -> Problems:
        if type(value) is int:
            if low <= value <= high:
                return None
            return [Problem("value", say(texts.OUT_OF_RANGE, value=shown(value), type=kind, low=low, high=high))]
        if isinstance(value, (list, type(None))):
            return _not_text(kind, value)
        return [Problem("value", say(texts.NOT_INTEGER, found=kind_of(value)), shape=True)]

    return check


def _bad_format(kind: str, value: Any) -> list[Problem]:
    if type(value) is not str:
        return _not_text(kind, value)
    if not value or value.isspace():
        return [Problem("value", texts.EMPTY_TEXT)]
    return [Problem("value", say(texts.BAD_FORMAT[kind], value=shown(value)))]


def _pattern(kind: str) -> Callable[[str], Any]:
    regex = type_definition(kind).regex
    if regex is None:
        raise LookupError(kind)
    # `\S*` allows "", which JSON does not (https://hl7.org/fhir/R4/json.html#primitive).
    return re.compile(r"\S+" if regex == r"\S*" else regex, re.ASCII).fullmatch


def _formatted(kind: str) -> Check:
    matches = _pattern(kind)

    def check(value: Any, parent: Node, context: Context) -> Problems:
        if type(value) is str and matches(value) and (value.isprintable() or not _unfit(value)):
            return None
        return _bad_format(kind, value)

    return check


def is_day(text: str) -> bool:
    """Whether the day of YYYY-MM-DD… exists; shorter texts name no day."""
    day = text[8:10]
    return day <= "28" or int(day) <= monthrange(int(text[:4]), int(text[5:7]))[1]


def _dated(kind: str) -> Check:
    matches = _pattern(kind)

    def check(value: Any, parent: Node, context: Context) -> Problems:
        if type(value) is str and matches(value):
            if value[8:10] <= "28" or is_day(value):
                return None
            return [Problem("value", say(texts.NO_SUCH_DAY, value=shown(value)))]
        return _bad_format(kind, value)

    return check


def check_base64(value: Any, parent: Node, context: Context) -> Problems:
    # The regular expression of R4 backtracks; this says the same in linear time for megabytes of data.
    if type(value) is str:
        packed = _space.sub("", value)
        if packed and len(packed) % 4 == 0 and _base64(packed):
            return None
    return _bad_format("base64Binary", value)


def _checks() -> dict[str, Check]:
    checks: dict[str, Check] = {kind: _formatted(kind) for kind in PRIMITIVE_TYPES if kind in texts.BAD_FORMAT}
    checks |= {kind: _dated(kind) for kind in DATES}
    checks |= {kind: _whole(kind) for kind in RANGES}
    checks |= dict.fromkeys(("string", "markdown", "xhtml"), check_string)
    checks |= {"boolean": check_boolean, "decimal": check_decimal, "base64Binary": check_base64}
    return checks


PRIMITIVE_CHECKS = _checks()
