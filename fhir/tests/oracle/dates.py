"""Dates: https://hl7.org/fhir/R4/search.html#date and #prefix. Intervals are [lo, hi), in microseconds since 1970."""

from __future__ import annotations

import calendar
import math
import re
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings

from .values import Value, items

Interval = tuple[float, float]
SECOND = 1_000_000


def micro(year: int, month: int, day: int, seconds: int = 0, zone: str | None = None) -> int:
    """Microseconds since 1970 of a local time, `seconds` after midnight; without a zone the facility's counts."""
    if zone is None:
        naive = datetime(year, month, day, seconds // 3600, seconds // 60 % 60, seconds % 60)
        here = naive.replace(tzinfo=ZoneInfo(settings.TIME_ZONE))
        offset = int(here.utcoffset().total_seconds())
    else:
        offset = 0 if zone == "Z" else (-1 if zone[0] == "-" else 1) * (int(zone[1:3]) * 3600 + int(zone[4:6]) * 60)
    return (calendar.timegm((year, month, day, 0, 0, 0)) + seconds - offset) * SECOND


def interval(text: str) -> Interval:
    """What a date, dateTime or instant stands for: all of its last unit (#date, table of data types)."""
    date, _t, clock = text.partition("T")
    parts = [int(part) for part in date.split("-")]
    if not clock:
        return _whole(parts)
    time, zone = re.fullmatch(r"([\d:.]+)(.*)", clock).groups()
    hour, minute, *second = time.split(":")
    seconds = int(hour) * 3600 + int(minute) * 60
    if not second:
        start = micro(*parts, seconds, zone or None)
        return start, start + 60 * SECOND
    whole, _dot, fraction = second[0].partition(".")
    start = micro(*parts, seconds + int(whole), zone or None)
    if not fraction:
        return start, start + SECOND
    start += int(fraction[:6].ljust(6, "0"))
    return start, start + max(1, 10 ** (6 - len(fraction)))


def _whole(parts: list[int]) -> Interval:
    """A year, a month or a day, from its first midnight to the first midnight after it."""
    year, month, day = (*parts, 1, 1)[:3]
    if len(parts) == 3:
        following = (year, month, day + 1) if day < calendar.monthrange(year, month)[1] else (year, month + 1, 1)
    else:
        following = (year, month + 1, 1) if len(parts) == 2 else (year + 1, 1, 1)
    if following[1] == 13:
        following = (following[0] + 1, 1, 1)
    if following[0] == 10000:
        return micro(year, month, day), micro(9999, 12, 31) + 24 * 3600 * SECOND
    return micro(year, month, day), micro(*following)


def target(value: Value) -> Interval | None:
    """The interval of a stored value; of a Period with an open end; of a Timing, whose outer limits alone count."""
    if value.type == "Period":
        return period(value.value)
    if value.type == "Timing":
        limits = [interval(event) for event in items(value.value.get("event"))]
        bounds = value.value.get("repeat", {}).get("boundsPeriod")
        limits += [period(bounds)] if bounds else []
        return (min(lo for lo, _ in limits), max(hi for _, hi in limits)) if limits else None
    return interval(value.value)


def period(value: dict[str, Any]) -> Interval | None:
    """A missing start is before, a missing end after any date (#date)."""
    if "start" not in value and "end" not in value:
        return None
    lo = interval(value["start"])[0] if "start" in value else -math.inf
    hi = interval(value["end"])[1] if "end" in value else math.inf
    return lo, hi


def matches(value: Value, prefix: str, text: str, now: float) -> bool:
    """One stored value against one `[prefix]date`. `now` in microseconds since 1970 is for `ap`.

    R4 lets "the range above the value" begin at its start or at its end; docs/search.md takes the end for `gt`, so
    that gt2024-05-01 is after that day, and the same on the other side for `lt`. `ap` is wider by a tenth of the time
    between now and the date on both sides.
    """
    stored = target(value)
    if stored is None:
        return False
    lo, hi = stored
    a, b = interval(text)
    contained = a <= lo and hi <= b
    return {
        "eq": contained,
        "ne": not contained,
        "gt": hi > b,
        "lt": lo < a,
        "ge": hi > a,
        "le": lo < b,
        "sa": lo >= b,
        "eb": hi <= a,
        "ap": lo < b + abs(now - a) / 10 and hi > a - abs(now - a) / 10,
    }[prefix]
