"""Where else a resource has to be known: the rows of compartment_link and identifier_locator that a write adds.

They lie in other buckets than the resource, are stored in its transaction, and never lead to too little: see the
models. What the version before had in its terms has its rows already, unless the resource moves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import citus, ids
from .database import Statement
from .index_rows import IndexRows
from .versions import Write, array

# Up to so many rows are VALUES on Citus, which sends them to their shards as they are; more are copied.
_FEW = 12
_NOTHING: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class _Table:
    """`name` is that of the CTE, `own` the columns between the bucket and the resource's type, all of them bigint."""

    name: str
    table: str
    own: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        return ("bucket", *self.own, "type", "id", "target")

    @property
    def casts(self) -> tuple[str, ...]:
        return ("int", *("bigint" for _name in self.own), "smallint", "text", "int")

    def conflict(self, *, keep: bool) -> str:
        if keep:
            return "ON CONFLICT DO NOTHING"
        return f"ON CONFLICT ({', '.join(self.columns[:-1])}) DO UPDATE SET target = excluded.target"

    def names(self) -> list[str]:
        """The parameters that hold a column each."""
        return [f"{self.name}_{column}" for column in self.columns]

    def insert(self, where: str = "", *, keep: bool = False) -> str:
        """The INSERT of arrays. `keep`: rows that are there stay as they are."""
        arrays = (f"%({n})s::{cast}[]" for n, cast in zip(self.names(), self.casts, strict=True))
        return (
            f"INSERT INTO {self.table} ({', '.join(self.columns)}) SELECT * FROM unnest({', '.join(arrays)}) x"
            f" {where} {self.conflict(keep=keep)}"
        )

    def insert_values(self, rows: Sequence[tuple[Any, ...]], *, keep: bool) -> Statement:
        """The INSERT of a few rows as VALUES."""
        row = f"({', '.join(f'%s::{cast}' for cast in self.casts)})"
        text = f"INSERT INTO {self.table} ({', '.join(self.columns)}) VALUES {', '.join(row for _ in rows)}"
        return f"{text} {self.conflict(keep=keep)}", [value for each in rows for value in each]


_LINKS = _Table("links", "compartment_link", ("pat",))
_IDENTIFIERS = _Table("identifiers", "identifier_locator", ("value", "term"))


@dataclass(slots=True)
class PlaceRows:
    """Rows of the two tables, their columns in the order of `_Table.columns`."""

    links: list[tuple[int, int, int, str, int]] = field(default_factory=list)
    identifiers: list[tuple[int, int, int, int, str, int]] = field(default_factory=list)

    def add(self, bucket: int, number: int, name: str, rows: IndexRows, known: frozenset[int] = _NOTHING) -> None:
        """The rows of a resource of type `number` that lies in `bucket`; terms that are `known` have theirs."""
        for patient in rows.patients[1:]:
            home = ids.bucket_of(patient)
            if home != bucket and ids.compartment_term(patient) not in known:
                self.links.append((home, ids.patient_hash(patient), number, name, bucket))
        for value, term in rows.identifiers:
            if term not in known:
                self.identifiers.append((ids.bucket_of_term(value), value, term, number, name, bucket))

    def _filled(self) -> list[tuple[_Table, Sequence[tuple[Any, ...]]]]:
        both = ((_LINKS, self.links), (_IDENTIFIERS, self.identifiers))
        return [(table, rows) for table, rows in both if rows]

    @property
    def names(self) -> tuple[str, ...]:
        """The tables that have rows, as `cte` wants them."""
        return tuple(table.name for table, _rows in self._filled())

    @property
    def parameters(self) -> dict[str, str]:
        """What `cte` names."""
        return {k: v for table, rows in self._filled() for k, v in _arrays(table, rows).items()}

    def statements(self, *, keep: bool = False) -> list[Statement]:
        """The statements that store the rows; `keep`: only those that are not there."""
        found: list[Statement] = []
        for table, rows in self._filled():
            if citus.distributed() and len(rows) <= _FEW:
                found.append(table.insert_values(rows, keep=keep))
            else:
                found.append((table.insert(keep=keep), _arrays(table, rows)))
        return found


def _arrays(table: _Table, rows: Sequence[tuple[Any, ...]]) -> dict[str, str]:
    # Ids need no escaping in an array literal (fhir.ids.is_legal).
    return {name: array(column) for name, column in zip(table.names(), zip(*rows, strict=True), strict=True)}


def cte(name: str, where: str = "") -> str:
    """The part of a writable CTE that stores the rows of one table, by its name in PlaceRows.names."""
    table = _LINKS if name == _LINKS.name else _IDENTIFIERS
    return f"place_{name} AS ({table.insert(where)})"


def of(writes: Iterable[Write]) -> PlaceRows:
    """What these versions add."""
    found = PlaceRows()
    for write in writes:
        rows, before = write.rows, write.previous
        if len(rows.patients) > 1 or rows.identifiers:
            known = _NOTHING if before is None or write.moves else frozenset(before.terms)
            found.add(write.bucket, write.type, write.id, rows, known)
    return found
