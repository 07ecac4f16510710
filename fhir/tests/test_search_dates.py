"""Intervals of dates and how prefixes compare them (https://hl7.org/fhir/R4/search.html#date, #prefix)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir.exceptions import InvalidRequest
from fhir.search.parameters import date, number

BOGOTA = ZoneInfo("America/Bogota")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(moment: datetime) -> float:
    return float((moment - EPOCH) // timedelta(microseconds=1))


def test_a_day_is_a_day_of_the_facility() -> None:
    lo, hi = date.interval("1980-05-11")
    assert (lo, hi) == (
        micros(datetime(1980, 5, 11, tzinfo=BOGOTA)),
        micros(datetime(1980, 5, 12, tzinfo=BOGOTA)),
    )


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("1980-05-11T10:00:00Z", 1_000_000),
        ("1980-05-11T10:00Z", 60_000_000),
        ("1980-05-11T10:00:00.5Z", 100_000),
        ("1980-05-11T10:00:00.123Z", 1_000),
        ("1980-05-11T10:00:00.123456Z", 1),
        ("1980-05-11T10:00:00.123456789Z", 1),
        ("1981-02", 28 * 86_400_000_000),
        ("1980", 366 * 86_400_000_000),
    ],
)
def test_the_precision_is_the_width(text: str, width: int) -> None:
    lo, hi = date.interval(text)
    assert hi - lo == width


def test_zones_are_compared_as_instants() -> None:
    assert date.interval("1985-06-07T12:09:10.123+02:00") == date.interval("1985-06-07T15:39:10.123+05:30")
    assert date.interval("1985-06-07T05:09:10") == date.interval("1985-06-07T10:09:10Z")


@given(st.datetimes(datetime(1700, 1, 1), datetime(2250, 1, 1)), st.integers(-14 * 60, 14 * 60))
def test_an_instant_is_where_python_puts_it(moment: datetime, offset: int) -> None:
    # Column values are doubles: exact to the microsecond until the year 2255.
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    zone = f"{'-' if offset < 0 else '+'}{abs(offset) // 60:02d}:{abs(offset) % 60:02d}"
    text = f"{moment.isoformat(timespec='milliseconds')}{zone}"
    lo, hi = date.interval(text)
    assert lo == micros(moment.replace(tzinfo=UTC)) - offset * 60_000_000
    assert hi == lo + 1000


@given(st.dates(datetime(1000, 1, 1).date(), datetime(9990, 1, 1).date()))
def test_longer_dates_lie_within_shorter_ones(day: object) -> None:
    text = str(day)
    (year_lo, year_hi), (month_lo, month_hi), (lo, hi) = (date.interval(text[:n]) for n in (4, 7, 10))
    assert year_lo <= month_lo <= lo < hi <= month_hi <= year_hi


@pytest.mark.parametrize(
    "text", ["", "notadate", "1980-13", "2019-02-30", "1980-01-01T10", "1980-1-1", "0000", "1980-01-01T25:00:00Z"]
)
def test_what_is_no_date_is_refused_naming_the_parameter(text: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        date.test("birthdate", text)
    assert refusal.value.issues[0].expression == ("birthdate",)


def test_the_last_year_ends_before_what_is_open() -> None:
    assert date.interval("9999-12-31")[1] - date.interval("9999-12-31")[0] == 86_400e6
    assert date.interval("9999")[1] == date.interval("9999-12-31")[1] < float("inf")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            {"start": "1980-05-05", "end": "1980-05-20"},
            (date.interval("1980-05-05")[0], date.interval("1980-05-20")[1]),
        ),
        ({"start": "1980"}, (date.interval("1980")[0], float("inf"))),
        ({"end": "1980"}, (float("-inf"), date.interval("1980")[1])),
        ({}, None),
    ],
)
def test_open_ends_of_a_period_are_infinite(value: dict[str, str], expected: object) -> None:
    assert date.of_value("Period", value) == expected


def test_of_a_timing_the_outer_limits_count() -> None:
    timing = {"event": ["1990-03-01", "1990-01-01"]}
    assert date.of_value("Timing", timing) == (date.interval("1990-01-01")[0], date.interval("1990-03-01")[1])


@pytest.mark.parametrize(
    ("text", "lo", "hi"),
    [("100", 99.5, 100.5), ("5.4", 5.35, 5.45), ("5.40", 5.395, 5.405), ("1.00e2", 99.5, 100.5), ("1e2", 95, 105),
     ("-3.5", -3.55, -3.45), ("0", -0.5, 0.5)],
)  # fmt: skip
def test_a_number_stands_for_its_precision(text: str, lo: float, hi: float) -> None:
    asked = number.test("probability", text)
    assert (asked.lo, asked.hi) == (lo, hi)


@pytest.mark.parametrize("text", ["", "abc", "1,2", "0x10", "1e9999", "NaN", "inf", "--1"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        number.test("probability", text)
