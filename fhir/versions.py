"""A version of a resource, as the store has it (Current) and as it is to be stored (Write)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from .index_rows import IndexRows
from .models import Method

_TICK = timedelta(milliseconds=1)


@dataclass(slots=True)
class Current:
    """The newest version of a resource as the store has it; `body` is None for a deletion, or where not asked for.

    `row` is the transaction that last touched its row, where one statement supersedes it (see `supersede_sql`).
    """

    bucket: int
    version: int
    updated: datetime
    method: int
    deleted: bool
    pat: int | None
    terms: Sequence[int] = ()
    body: str | None = None
    row: str | None = None


@dataclass(slots=True)
class Write:
    """One version to be stored. `type` is the number; `body` the JSON text, None for a deletion.

    `previous` is what it supersedes; `claim` says that the id came from a client, so that its home must know of it.
    """

    bucket: int
    type: int
    id: str
    version: int
    updated: datetime
    method: Method
    pat: int | None
    body: str | None
    rows: IndexRows
    previous: Current | None = None
    claim: bool = False

    @property
    def moves(self) -> bool:
        """Whether the resource leaves the bucket that it lies in."""
        return self.previous is not None and self.previous.bucket != self.bucket


def now(after: datetime | None = None) -> datetime:
    """The time of a new version: milliseconds, and later than the version before it."""
    moment = datetime.now(UTC)
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    return moment if after is None or moment > after else after + _TICK


def array(numbers: Sequence[Any]) -> str:
    """An array literal; cheaper than psycopg's dump of a list. Python's `None`, `inf` and `nan` become PostgreSQL's."""
    text = "{" + ",".join(map(str, numbers)) + "}"
    return text.replace("None", "NULL").replace("inf", "Infinity") if "n" in text else text
