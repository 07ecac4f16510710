"""Patients that come with the page of matches: `_include` of the reference that decides the place of a match.

Column `pat` of a match says who that is, so that nobody has to read its content and ask again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from accounts.scopes import Scope
from fhir.definitions.structure import TYPE_NUMBER

from . import hashing
from .catalogue import parameters, patient_decides
from .clauses import TRUE, Alias, Clause, Fragment
from .request import Include, SearchRequest

_PATIENT = "Patient"
Key = tuple[str, str]  # type and id
Found = tuple[str, str, str]  # type, id, content


@dataclass(frozen=True, slots=True)
class Beside:
    """What is looked up for each row of a page: the patient that it refers to by the parameter of hash `base`.

    `includes` are those that this answers; `policy` is what the caller may see.
    """

    base: int
    includes: tuple[Include, ...]
    policy: Clause | None

    def columns(self) -> Fragment:
        """Columns of a row `r` of resource that `rows` and `lookup` need."""
        return Fragment("r.pat, (r.pat # %s::bigint = ANY(r.terms)) IS TRUE AS refers", (self.base,))

    @staticmethod
    def rows(inner: str, order_by: str) -> str:
        """The rows of a page, which know whether they are the first ones that refer to their patient."""
        first = f"i.refers AND row_number() OVER (PARTITION BY i.pat, i.refers ORDER BY {order_by}) = 1"
        return f"SELECT i.*, {first} AS first FROM ({inner}) i"

    def lookup(self, alias: Alias) -> Fragment:
        """What follows the joins of a page `r`, which is the alias: `p`, with id and body of the patient; each patient
        comes once."""
        bucket = alias.bucket
        seen = TRUE if self.policy is None else self.policy.sql(replace(alias, name="x"))
        place, known = ("r.bucket", ()) if bucket is None else ("%s", (bucket,))
        text = (
            " LEFT JOIN LATERAL (SELECT x.id, y.body FROM resource x JOIN content y"
            f" ON y.bucket = {place} AND y.type = x.type AND y.id = x.id"
            f" WHERE x.bucket = {place} AND x.pat = r.pat AND x.type = %s::smallint AND NOT x.deleted AND {seen.text}"
            " LIMIT 1) p ON r.first"
        )
        return Fragment(text, (*known, *known, TYPE_NUMBER[_PATIENT], *seen.parameters))

    def read(self, rows: Sequence[Any], matches: Sequence[Found], at: int) -> Read:
        """What the rows tell, whose columns refers, id and body begin `at`; `matches` are the same rows."""
        patients = [(_PATIENT, row[at + 1], row[at + 2]) for row in rows if row[at + 1] is not None]
        referring = frozenset(match[:2] for row, match in zip(rows, matches, strict=True) if row[at])
        return Read(patients, self.includes, referring, frozenset(match[:2] for match in matches))


@dataclass(frozen=True, slots=True)
class Read:
    """The patients that came with a page, and what is not to be asked again."""

    patients: Sequence[Found] = ()
    includes: tuple[Include, ...] = ()
    referring: frozenset[Key] = frozenset()
    matches: frozenset[Key] = frozenset()

    def answered(self, include: Include) -> frozenset[Key]:
        """The matches whose targets are found: all, where there is no other target than the patient."""
        if include not in self.includes:
            return frozenset()
        if include.target == _PATIENT or parameters(include.source)[include.code].targets == (_PATIENT,):
            return self.matches
        return self.referring


NOTHING = Read()


def wanted(request: SearchRequest, policy: Clause | None, scope: Scope) -> Beside | None:
    """What a page of these matches may bring with it; None for nothing."""
    if len(request.types) != 1 or request.contained != "false" or not scope.allows(_PATIENT, "r"):
        return None
    (kind,) = request.types
    found = tuple(include for include in request.includes if _decides(include, kind))
    if not found:
        return None
    stored = parameters(kind)[found[0].code].stored_as
    return Beside(hashing.parameter_hash(kind, stored[0]), found, policy) if len(stored) == 1 else None


def _decides(include: Include, kind: str) -> bool:
    if include.reverse or include.source != kind or include.code == "*" or include.target not in (None, _PATIENT):
        return False
    return patient_decides(kind, include.code)
