"""Dates and times: precision, zones, arithmetic (https://hl7.org/fhirpath/N1/#datetime-arithmetic)."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir.fhirpath import evaluate, temporal


def value(expression):
    return evaluate(expression, {"resourceType": "Patient", "birthDate": "1974-12-25"})


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("@2018-03 = @2018-03-01", []),
        ("@2018-03 = @2018-04-01", [False]),
        ("@2018-03 ~ @2018-03-01", [False]),
        ("@2018 < @2019-01", [True]),
        ("@2018-03-01T10:30 < @2018-03-01T10:30:00", []),
        ("@2018-03-01T10:30:00 = @2018-03-01T10:30:00.0", [True]),
        ("@2018-03-01T10:00:00Z = @2018-03-01T12:00:00+02:00", [True]),
        ("@2018-03-01T00:30:00+02:00 < @2018-02-28T23:00:00Z", [True]),
        ("@2018-03-01T10:00:00Z = @2018-03-01T10:00:00", []),
        ("@2018-03-03T10:00:00Z > @2018-03-01T10:00:00", [True]),
        ("@T10:30 < @T10:31", [True]),
        ("@T10:30 = @2018", [False]),
        ("birthDate = @1974-12-25", [True]),
        ("birthDate < @1974", []),
        ("birthDate + 1 day", ["1974-12-26"]),
        ("@2016-01-31 + 1 month", ["2016-02-29"]),
        ("@2016-02-29 + 1 year", ["2017-02-28"]),
        ("@2016 + 24 months", ["2018"]),
        ("@2016 + 11 months", ["2016"]),
        ("@2016-02 + 31 days", ["2016-03"]),
        ("@2016-02-01 + 1 week", ["2016-02-08"]),
        ("@2016-02-01 - 1 'd'", ["2016-01-31"]),
        ("@2016-02-01 + 25 hours", ["2016-02-02"]),
        ("@2016-02-01T23:59:59Z + 1 second", ["2016-02-02T00:00:00Z"]),
        ("@2016-02-01T23:59:59.5+01:00 + 500 'ms'", ["2016-02-02T00:00:00.0+01:00"]),
        ("@2016-02-01T10 + 30 minutes", ["2016-02-01T10"]),
        ("@T23:30 + 45 minutes", ["00:15"]),
        ("@T10:30:00 + 0.25 seconds", ["10:30:00.250"]),
        ("@9999-12-31 + 1 day", []),
        ("@0001-01-01 - 1 year", []),
        ("@2014.lowBoundary()", ["2014-01-01"]),
        ("@2016-02.highBoundary()", ["2016-02-29"]),
        ("@2014-01-01T08:05+08:00.lowBoundary()", ["2014-01-01T08:05:00.000+08:00"]),
        ("@T10:30.highBoundary()", ["10:30:59.999"]),
        ("@2014-01-05T10:30:00.000Z.precision()", [17]),
    ],
)
def test_examples(expression, expected):
    assert value(expression) == expected


@pytest.mark.parametrize("text", ["2021-02-29", "2021-13", "21", "2021-1-1", "2021-01-01T24:00", "", "x"])
def test_what_is_no_date(text):
    assert temporal.moment(text) is None


days = st.dates(date(1000, 1, 1), date(3000, 1, 1))


@given(days, st.integers(-100_000, 100_000))
def test_days_agree_with_the_calendar(day, amount):
    expected = (day + timedelta(days=amount)).isoformat()
    assert temporal.add(day.isoformat(), "System.Date", Decimal(amount), "day") == expected


@given(days, st.integers(0, 1200))
def test_months_keep_the_day_or_end_the_month(day, amount):
    moved = date.fromisoformat(temporal.add(day.isoformat(), "System.Date", Decimal(amount), "month"))
    assert (moved.year * 12 + moved.month) - (day.year * 12 + day.month) == amount
    assert moved.day == day.day or (moved.day < day.day and (moved + timedelta(days=1)).day == 1)


moments = st.builds(
    lambda day, length, hour, zone: (day.isoformat() + f"T{hour:02}:30:15")[:length] + (zone if length > 10 else ""),
    st.dates(date(2000, 1, 1), date(2000, 3, 1)),
    st.sampled_from([4, 7, 10, 16, 19]),
    st.integers(0, 23),
    st.sampled_from(["", "Z", "+05:30", "-11:00"]),
)


@given(moments, moments)
def test_order_is_antisymmetric(a, b):
    x, y = temporal.moment(a), temporal.moment(b)
    there, back = temporal.compare(x, y), temporal.compare(y, x)
    assert (there is None) == (back is None)
    assert there is None or there == -back


@given(moments, moments, moments)
def test_order_is_transitive(a, b, c):
    x, y, z = map(temporal.moment, (a, b, c))
    if temporal.compare(x, y) == -1 and temporal.compare(y, z) == -1:
        assert temporal.compare(x, z) in (-1, None)
