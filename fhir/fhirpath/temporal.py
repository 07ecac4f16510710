"""Dates, dates with times, and times: values are their FHIR texts; precision is what the text states.

Comparison and arithmetic: https://hl7.org/fhirpath/N1/#datetime-equality, #comparison, #datetime-arithmetic
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from functools import lru_cache

_DATE = r"(?P<year>\d{4})(?:-(?P<month>\d{2})(?:-(?P<day>\d{2})"
_TIME = r"(?P<hour>\d{2})(?::(?P<minute>\d{2})(?::(?P<second>\d{2}(?:\.\d+)?))?)?"
_DATETIME = re.compile(rf"{_DATE}(?:T(?:{_TIME})?(?P<zone>Z|[+-]\d{{2}}:\d{{2}})?)?)?)?T?")
_CLOCK = re.compile(_TIME)
_FIELDS = ("year", "month", "day", "hour", "minute", "second")
_LOWEST = (0, 1, 1, 0, 0, 0)
_LIMITS = ((1, 9999), (1, 12), (1, 31), (0, 23), (0, 59), (0, 60))
_MILLISECONDS = {"second": 1000, "minute": 60_000, "hour": 3_600_000, "day": 86_400_000, "week": 604_800_000}
# Zones run from -12:00 to +14:00: two local times further apart than this are ordered whatever their zones are.
_UNKNOWN_ZONE = timedelta(hours=26)


@dataclass(frozen=True, slots=True)
class Moment:
    """`fields` from year (or hour, for a time) down to the stated precision; `zone` in minutes east of UTC."""

    fields: tuple[int | Decimal, ...]
    zone: int | None
    clock: bool

    @property
    def utc(self) -> tuple[int | Decimal, ...]:
        """The fields moved to UTC where there is a zone and an hour, else as they are."""
        if not self.zone or len(self.fields) < 4:
            return self.fields
        seconds = self.fields[5] if len(self.fields) > 5 else Decimal(0)
        moved = _datetime(self.fields[:5]) - timedelta(minutes=self.zone)
        return (moved.year, moved.month, moved.day, moved.hour, moved.minute, seconds)[: max(len(self.fields), 5)]


def _datetime(fields: tuple[int | Decimal, ...]) -> datetime:
    numbers = [int(f) for f in fields] + list(_LOWEST[len(fields) :])
    return datetime(*numbers[:5], min(numbers[5], 59))  # type: ignore[call-arg,arg-type]


@lru_cache(maxsize=8192)
def moment(text: str, clock: bool = False) -> Moment | None:
    """The moment a text states, or None where it is no date, dateTime (`clock` False) or time (`clock` True)."""
    match = (_CLOCK if clock else _DATETIME).fullmatch(text)
    if match is None:
        return None
    groups = match.groupdict()
    fields: list[int | Decimal] = []
    for name, (low, high) in zip(_FIELDS, _LIMITS, strict=True):
        if groups.get(name) is None:
            continue
        number = Decimal(groups[name]) if name == "second" else int(groups[name])
        if not low <= number <= high:
            return None
        fields.append(number)
    if not clock and len(fields) > 2 and fields[2] > monthrange(int(fields[0]), int(fields[1]))[1]:
        return None
    zone = groups.get("zone")
    return Moment(tuple(fields), _minutes(zone) if zone else None, clock)


def _minutes(zone: str) -> int:
    if zone == "Z":
        return 0
    minutes = int(zone[1:3]) * 60 + int(zone[4:6])
    return -minutes if zone[0] == "-" else minutes


def compare(a: Moment, b: Moment) -> int | None:
    """-1, 0 or 1, or None where precision or a missing zone leaves the order open."""
    if a.clock != b.clock:
        return None
    x, y = a.fields, b.fields
    if not a.clock and len(x) > 3 and len(y) > 3:
        if (a.zone is None) != (b.zone is None):
            gap = _datetime(x) - _datetime(y)
            return None if abs(gap) < _UNKNOWN_ZONE else (1 if gap > timedelta(0) else -1)
        x, y = a.utc, b.utc
    for p, q in zip(x, y, strict=False):
        if p != q:
            return 1 if p > q else -1
    return 0 if len(x) == len(y) else None


def add(text: str, kind: str, amount: Decimal, unit: str) -> str | None:
    """`text` (a System.Date, DateTime or Time) moved by an amount of calendar units; None where it leaves the calendar.

    The precision stays: the amount is first converted to the finest unit that the text states.
    """
    value = moment(text, kind == "System.Time")
    if value is None:
        return None
    if value.clock:
        return _add_to_clock(text, value, amount, unit)
    precision = _FIELDS[len(value.fields) - 1]
    amount, unit = _coarsen(amount, unit, precision)
    try:
        if unit in ("year", "month"):
            fields = _add_months(value.fields, int(amount) * (12 if unit == "year" else 1))
        else:
            fields = _add_time(value.fields, _milliseconds(amount, unit))
    except (OverflowError, ValueError):
        return None
    return _format(text, fields)


def _coarsen(amount: Decimal, unit: str, precision: str) -> tuple[Decimal, str]:
    """Months of a year value become whole years, days of a month value whole months, and so on."""
    if unit in ("second", "millisecond"):
        if precision == "second":
            return amount, unit
        amount, unit = amount / (1000 if unit == "millisecond" else 1), "second"
    else:
        amount = amount.to_integral_value(ROUND_DOWN)
    if unit == "week" and precision not in ("year", "month"):
        return amount, unit
    if unit == "week":
        amount, unit = amount * 7, "day"
    sizes = {"second": 60, "minute": 60, "hour": 24, "day": 30, "month": 12}
    if unit == "day" and precision == "year":
        return (amount / 365).to_integral_value(ROUND_DOWN), "year"
    while _FIELDS.index(unit) > _FIELDS.index(precision):
        amount = (amount / sizes[unit]).to_integral_value(ROUND_DOWN)
        unit = _FIELDS[_FIELDS.index(unit) - 1]
    return amount, unit


def _milliseconds(amount: Decimal, unit: str) -> int:
    return int(amount * _MILLISECONDS.get(unit, 1))


def _add_months(fields: tuple[int | Decimal, ...], months: int) -> tuple[int | Decimal, ...]:
    total = int(fields[0]) * 12 + (int(fields[1]) - 1 if len(fields) > 1 else 0) + months
    year, month = divmod(total, 12)
    if not 1 <= year <= 9999:
        raise OverflowError
    moved: tuple[int | Decimal, ...] = (year, month + 1)[: len(fields)]
    if len(fields) < 3:
        return moved
    return (*moved, min(int(fields[2]), monthrange(year, month + 1)[1]), *fields[3:])


def _add_time(fields: tuple[int | Decimal, ...], milliseconds: int) -> tuple[int | Decimal, ...]:
    fraction = fields[5] % 1 if len(fields) > 5 else 0
    start = _datetime(fields) + timedelta(microseconds=int(fraction * 1_000_000))
    moved = start + timedelta(milliseconds=milliseconds)
    second = moved.second + Decimal(moved.microsecond) / 1_000_000
    return (moved.year, moved.month, moved.day, moved.hour, moved.minute, second)[: len(fields)]


def _add_to_clock(text: str, value: Moment, amount: Decimal, unit: str) -> str | None:
    if unit in ("year", "month", "week", "day"):
        return None
    amount, unit = _coarsen(amount, unit, _FIELDS[len(value.fields) + 2])
    fields = _add_time((2000, 1, 1, *value.fields), _milliseconds(amount, unit))
    return _format(text, fields)[11:]


def _format(text: str, fields: tuple[int | Decimal, ...]) -> str:
    """The fields written like `text`: as many digits of a second (three at least where it has a part), same zone."""
    fraction = re.search(r"\.(\d+)", text)
    zone = re.search(r"T.*?(Z|[+-]\d{2}:\d{2})$", text)
    result = f"{int(fields[0]):04}"
    for separator, number in zip("--T:", fields[1:5], strict=False):
        result += f"{separator}{int(number):02}"
    if len(fields) > 5:
        second = Decimal(fields[5])
        digits = max(len(fraction.group(1)) if fraction else 0, 3 if second % 1 else 0)
        result += f":{second:0{digits + 3 if digits else 2}.{digits}f}"
    return result + (zone.group(1) if zone else "")


def today(now: datetime) -> str:
    """System.Date of a moment."""
    return now.date().isoformat()
