"""Tables and sizes for people, in plain text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_NUMBER = re.compile(r"-|-?[\d.]+( [kMGTP]?B)?")


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Columns side by side, those of numbers and sizes to the right; None is a dash."""
    cells = [["-" if value is None else str(value) for value in row] for row in rows]
    columns = list(zip(*cells, strict=True)) or [()] * len(head)
    widths = [max(map(len, (name, *column))) for name, column in zip(head, columns, strict=True)]
    right = [all(map(_NUMBER.fullmatch, column)) for column in columns]
    ruler = ["-" * width for width in widths]
    return "\n".join(_line(row, widths, right) for row in [list(head), ruler, *cells])


def fields(rows: Iterable[tuple[str, str]]) -> str:
    """Names with their values, one a line."""
    listed = list(rows)
    width = max(len(name) for name, _value in listed)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in listed)


def _line(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = (
        text.rjust(width) if number else text.ljust(width)
        for text, width, number in zip(row, widths, right, strict=True)
    )
    return "  ".join(padded).rstrip()


def size(count: int | None) -> str:
    """A number of bytes in the unit that leaves one to four digits; 1 kB is 1024 B, as in PostgreSQL."""
    if count is None:
        return "-"
    number, unit = float(count), 0
    while number >= 10_000 and unit < len(_UNITS) - 1:
        number, unit = number / 1024, unit + 1
    return f"{number:.0f} {_UNITS[unit]}"


def problems(found: Sequence[str]) -> str:
    """Each problem on a line of its own, with a mark that can be searched for."""
    return "\n".join(f"!! {problem}" for problem in found)


def joined(*parts: str) -> str:
    """The parts that are not empty, an empty line between them."""
    return "\n\n".join(part for part in parts if part)
