"""Dates as intervals of microseconds (https://hl7.org/fhir/R4/search.html#date).

A date stands for all of its precision: 1980-05 is [1980-05-01T00:00, 1980-06-01T00:00) in the facility's zone, unless
the value names a zone itself.
"""

from __future__ import annotations

import math
import re
import time
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from fhir.search.catalogue import Parameter
from fhir.search.clauses import Clause, Updated
from fhir.search.comparison import PREFIXES, Test
from fhir.search.hashing import parameter_number
from fhir.search.rows import Ranges

from .text import bad_modifier, bad_value, first_in

MODIFIERS: tuple[str, ...] = ()
Interval = tuple[float, float]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FORM = re.compile(
    r"(\d{4})(?:-(\d{2})(?:-(\d{2})"
    r"(?:T(\d{2}):(\d{2})(?::(\d{2})(?:\.(\d+))?)?(Z|[+-]\d{2}:\d{2})?)?)?)?"
)
_APPROXIMATELY = 0.1
# Stands in column sdate for a start that is open, which sorts before every date; -infinity stands for no date.
EARLIEST = -63_000_000_000_000_000.0


@cache
def zone() -> ZoneInfo:
    """The facility's time zone."""
    return ZoneInfo(settings.TIME_ZONE)


@lru_cache(maxsize=1 << 14)
def interval(text: str) -> Interval:
    """[lo, hi) in microseconds since 1970 UTC of a date, dateTime or instant. Raises ValueError."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError(text)
    year, month, day, hour, minute, second, fraction, offset = found.groups()
    if hour is None:
        return _days(int(year), month, day)
    lo = _moment(int(year), int(month), int(day), (int(hour), int(minute), second), offset)
    if second is None:
        return float(lo), float(lo + 60_000_000)
    if not fraction:
        return float(lo), float(lo + 1_000_000)
    lo += int(fraction[:6].ljust(6, "0"))
    return float(lo), float(lo + 10 ** max(0, 6 - len(fraction)))


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _moment(year: int, month: int, day: int, clock: tuple[int, int, str | None], offset: str | None) -> int:
    hour, minute, second = clock
    seconds = int(second or 0)
    if seconds > 60:
        raise ValueError(second)
    moment = datetime(year, month, day, hour, minute, min(seconds, 59), tzinfo=zone() if offset is None else UTC)
    shift = 0
    if offset is not None and offset != "Z":
        hours, minutes = int(offset[1:3]), int(offset[4:6])
        if hours > 14 or minutes > 59:
            raise ValueError(offset)
        shift = (-1 if offset[0] == "-" else 1) * (hours * 60 + minutes) * 60_000_000
    # A leap second is the start of the next minute: clocks in between do not exist here.
    return _microseconds(moment) - shift + (1_000_000 if seconds == 60 else 0)


def _days(year: int, month: str | None, day: str | None) -> Interval:
    first = date(year, int(month or 1), int(day or 1))
    try:
        if day is not None:
            after = first + timedelta(days=1)
        elif month is not None:
            after = date(year + 1, 1, 1) if first.month == 12 else date(year, first.month + 1, 1)
        else:
            after = date(year + 1, 1, 1)
    except (OverflowError, ValueError):
        # The end of the year 9999, which Python does not reach; an open end lies after it.
        return float(_midnight(first)), float(_midnight(date.max) + 86_400_000_000)
    return float(_midnight(first)), float(_midnight(after))


def _midnight(day: date) -> int:
    return _microseconds(datetime(day.year, day.month, day.day, tzinfo=zone()))


def of_value(fhir_type: str, value: Any) -> Interval | None:
    """The interval of a value of a resource: date, dateTime, instant, Period, Timing. None where it says nothing."""
    if type(value) is str:
        try:
            return interval(value)
        except (ValueError, OverflowError):
            return None
    if type(value) is not dict:
        return None
    if fhir_type == "Timing":
        return _timing(value)
    return _period(value)


def _period(value: dict[str, Any]) -> Interval | None:
    start, end = of_value("dateTime", value.get("start")), of_value("dateTime", value.get("end"))
    if start is None and end is None:
        return None
    lo = -math.inf if start is None else start[0]
    hi = math.inf if end is None else end[1]
    return (lo, hi) if lo < hi else None


def _timing(value: dict[str, Any]) -> Interval | None:
    """The outer limits of its events and of the bounds of its repetition."""
    found = [i for event in value.get("event", ()) if (i := of_value("dateTime", event)) is not None]
    bounds = value.get("repeat", {}).get("boundsPeriod")
    if bounds is not None and (limits := _period(bounds)) is not None:
        found.append(limits)
    return (min(i[0] for i in found), max(i[1] for i in found)) if found else None


def parse(parameter: Parameter, modifier: str | None, values: list[str]) -> Clause:
    """The clause of one repetition: any of the values, each with its prefix. Raises InvalidRequest."""
    if modifier is not None:
        raise bad_modifier(parameter.code, modifier, ("missing",))
    tests = tuple(test(parameter.code, value) for value in values)
    if parameter.code == "_lastUpdated":
        return Updated(tests)
    numbers = tuple(parameter_number(parameter.resource_type, code) for code in parameter.stored_as)
    return Ranges(numbers, tests, parameter.code)


def bounds(text: str, code: str) -> Interval:
    """[lo, hi) in microseconds of a date in the parameter `code`. Raises InvalidRequest."""
    asked = test(code, "eq" + text)
    return asked.lo, asked.hi


def test(code: str, value: str) -> Test:
    """The comparison that a value with its prefix asks for. Raises InvalidRequest."""
    prefix, text = first_in(value, PREFIXES)
    try:
        # A plus in a query string is read as a space.
        lo, hi = interval(text.replace(" ", "+"))
    except (ValueError, OverflowError):
        message = _(
            "“%(value)s” is not a date that can be searched for in “%(code)s”: write YYYY, YYYY-MM, YYYY-MM-DD or a "
            "time such as 2024-05-31T10:30:00Z, after one of eq ne gt lt ge le sa eb ap, or none."
        )
        raise bad_value(code, value, message) from None
    if prefix == "ap":
        width = _APPROXIMATELY * abs(time.time() * 1e6 - lo)
        lo, hi = lo - width, hi + width
    return Test(prefix, lo, hi)
