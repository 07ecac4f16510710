"""Chance that repeats: everything is drawn from `random.Random(key).random()`.

Only `random()` is promised to give the same numbers in every version of Python, so the other draws are made from
it by plain arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from random import Random
from typing import TypeVar

T = TypeVar("T")
_SPREAD = 3**0.5


class Dice:
    """A stream of draws that depends on its key alone."""

    __slots__ = ("_random",)

    def __init__(self, key: str) -> None:
        self._random = Random(key).random

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self._random() < probability

    def between(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        return low + int(self._random() * (high - low + 1))

    def uniform(self, low: float, high: float) -> float:
        """A number from low to high."""
        return low + self._random() * (high - low)

    def normal(self, mean: float, deviation: float) -> float:
        """A bell-shaped draw, never further than 3.5 deviations from the mean."""
        total = self._random() + self._random() + self._random() + self._random()
        return mean + (total - 2) * _SPREAD * deviation

    def pick(self, options: Sequence[T]) -> T:
        """One of the options, all alike."""
        return options[int(self._random() * len(options))]

    def sample(self, options: Iterable[T], count: int) -> list[T]:
        """That many different options, in the order drawn."""
        left = list(options)
        return [left.pop(int(self._random() * len(left))) for _ in range(max(0, min(count, len(left))))]

    def weighted(self, options: Sequence[tuple[T, float]]) -> T:
        """One of the (option, weight) pairs."""
        mark = self._random() * sum(weight for _, weight in options)
        for option, weight in options:
            mark -= weight
            if mark < 0:
                return option
        return options[-1][0]

    def digits(self, count: int) -> str:
        """A number of that many digits that does not begin with zero."""
        return str(self.between(10 ** (count - 1), 10**count - 1))

    def bytes(self, count: int) -> bytes:
        """That many bytes."""
        return bytes(int(self._random() * 256) for _ in range(count))

    def day(self, first: date, last: date) -> date:
        """A day from first to last; first where last is earlier."""
        return first + timedelta(days=self.between(0, max(0, (last - first).days)))

    def moment(self, first: datetime, last: datetime) -> datetime:
        """A whole second from first to last."""
        return first + timedelta(seconds=self.between(0, max(0, int((last - first).total_seconds()))))
