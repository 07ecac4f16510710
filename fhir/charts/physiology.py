"""What would be measured: body size, pressure, pulse and breathing, by age, sex, problems and treatment.

Growth follows the medians of the WHO and CDC charts, rounded. Lengths in cm, masses in kg, pressures in mmHg,
rates a minute, temperatures in °C.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import date

from .chart import Chart
from .elements import UNTIL, months

# age in months: (height of girls, of boys, weight of girls, of boys)
_GROWTH = {
    0: (49.1, 49.9, 3.2, 3.3), 1: (53.7, 54.7, 4.2, 4.5), 2: (57.1, 58.4, 5.1, 5.6), 4: (62.1, 63.9, 6.4, 7.0),
    6: (65.7, 67.6, 7.3, 7.9), 9: (70.1, 72.0, 8.2, 8.9), 12: (74.0, 75.7, 8.9, 9.6), 18: (80.7, 82.3, 10.2, 10.9),
    24: (86.4, 87.8, 11.5, 12.2), 36: (95.1, 96.1, 13.9, 14.3), 48: (102.7, 103.3, 16.1, 16.3),
    60: (109.4, 110.0, 18.2, 18.3), 72: (115.1, 116.0, 20.2, 20.5), 84: (120.8, 121.7, 22.4, 22.9),
    96: (126.6, 127.3, 25.0, 25.4), 120: (138.6, 137.8, 31.9, 31.2), 144: (151.2, 149.1, 41.0, 39.8),
    168: (159.8, 163.2, 49.0, 50.5), 192: (162.5, 172.9, 53.9, 60.5), 216: (163.1, 176.1, 56.0, 66.5),
}  # fmt: skip
_AGES = tuple(_GROWTH)
_PULSE = ((12, 128), (36, 112), (72, 100), (144, 88))
_BREATHS = ((12, 36), (36, 28), (72, 24), (144, 20))
FEVERISH = {"pharyngitis", "otitis", "pneumonia", "dengue", "covid", "gastroenteritis", "bronchitis", "varicella"}


def _median(column: int, age: int) -> float:
    at = min(bisect_right(_AGES, age), len(_AGES) - 1)
    low, high = _AGES[at - 1], _AGES[at]
    share = min(1.0, (age - low) / (high - low))
    return _GROWTH[low][column] * (1 - share) + _GROWTH[high][column] * share


def height(chart: Chart, at: date) -> float:
    """Height or length; the old lose a little."""
    person = chart.person
    age = months(person.born, at)
    shrinking = max(0, age // 12 - 60) * 0.07
    return _median(person.sex == "male", age) * person.height_factor - shrinking


def weight(chart: Chart, at: date) -> float:
    """Weight; adults drift slowly around their build, and the obese are obese."""
    person = chart.person
    age = months(person.born, at)
    spread: float = (person.build / 26.2) ** (0.5 if age < 24 else 0.8)
    if age < 216:
        return _median(2 + (person.sex == "male"), age) * spread * person.height_factor**2 * chart.dice.normal(1, 0.012)
    index = max(17.8, person.build) + 0.09 * (at.year - person.first_day.year)
    if "obesity" in chart.chronic:
        index = max(31.0, index + 5.5)
    elif index > 29.4:
        index = 29.4
    metres = height(chart, min(at, UNTIL)) / 100
    return index * metres * metres * chart.dice.normal(1, 0.012)


def pressure(chart: Chart, at: date) -> tuple[int, int]:
    """Systolic and diastolic pressure."""
    person, dice = chart.person, chart.dice
    age = person.age(at)
    systolic = 82 + age * 2.1 if age < 16 else 110 + (age - 16) * 0.24 + 4 * (person.sex == "male")
    diastolic = 48 + age * 1.5 if age < 16 else 70 + min(age - 16, 40) * 0.14
    if chart.has("hypertension", at):
        calm = chart.treated("hypertension", at)
        systolic, diastolic = systolic + (10 if calm else 31), diastolic + (6 if calm else 19)
    systolic += person.systolic + dice.normal(0, 6)
    diastolic += person.diastolic + dice.normal(0, 4)
    return round(systolic), round(min(diastolic, systolic - 22))


def pulse(chart: Chart, at: date, fever: bool) -> int:
    """Heart rate."""
    age = months(chart.person.born, at)
    rest: float = next((rate for limit, rate in _PULSE if age < limit), 74)
    if chart.treated("atrial-fibrillation", at) or chart.treated("heart-failure", at):
        rest += 6
    return round(chart.dice.normal(rest, 6) + 14 * fever)


def breaths(chart: Chart, at: date, reason: str) -> int:
    """Respiratory rate."""
    age = months(chart.person.born, at)
    rest: float = next((rate for limit, rate in _BREATHS if age < limit), 16)
    rest += 8 if reason in ("pneumonia", "asthma-crisis") else 3 if chart.has("copd", at) else 0
    return round(chart.dice.normal(rest, 1.2))


def temperature(chart: Chart, reason: str) -> float:
    """Body temperature, high in infections."""
    if reason in FEVERISH:
        return min(40.2, max(37.6, chart.dice.normal(38.4, 0.5)))
    return chart.dice.normal(36.6, 0.25)


def saturation(chart: Chart, at: date, reason: str) -> int:
    """Oxygen saturation in percent, which is lower in the high cities."""
    best = 94 if chart.clinic.city.metres > 2000 else 97
    best -= 5 if reason == "pneumonia" else 4 if reason == "asthma-crisis" else 3 if chart.has("copd", at) else 0
    return min(100, round(chart.dice.normal(best, 0.9)))


def head(chart: Chart, at: date) -> float:
    """Head circumference of a small child."""
    age = months(chart.person.born, at)
    grown: float = 1 - 0.86 ** (age / 1.35)
    return 34.3 + 13.6 * grown + 0.6 * (chart.person.sex == "male") + chart.dice.normal(0, 0.3)
