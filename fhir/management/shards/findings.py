"""What a verification finds and mends: counted all, kept up to a limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from audit import recorder
from fhir import database, store
from fhir.database import Statement
from fhir.definitions.structure import TYPE_NAME
from fhir.interactions import Context

LIMIT = 20
Key = tuple[int, int, str]  # bucket, type number, id


@dataclass(frozen=True, slots=True)
class Finding:
    """A row that is not right: where it lies, whose it is, and what about it; `other` is a bucket that disagrees."""

    check: str
    key: Key
    other: int | None = None
    detail: str = ""

    def shown(self) -> dict[str, Any]:
        """For people and JSON."""
        bucket, type_number, resource_id = self.key
        name = TYPE_NAME.get(type_number, f"?{type_number}")
        about = {"check": self.check, "record": f"{name}/{resource_id}" if resource_id else name}
        return {**about, "bucket": bucket, "other": self.other, "detail": self.detail}


@dataclass
class Findings:
    """Of one run: `limit` of each check are kept, what is harmless is mended if `repair`, in the name of `context`."""

    context: Context
    limit: int = LIMIT
    repair: bool = False
    counts: dict[str, int] = field(default_factory=dict)
    repaired: dict[str, int] = field(default_factory=dict)
    examples: list[Finding] = field(default_factory=list)

    def wanted(self, check: str) -> int:
        """How many more examples of a check are kept."""
        return self.limit - sum(finding.check == check for finding in self.examples)

    def count(self, check: str, number: int) -> None:
        """So many more of a check."""
        if number:
            self.counts[check] = self.counts.get(check, 0) + number

    def add(self, found: Sequence[Finding]) -> None:
        """Counts them, and keeps some."""
        for finding in found:
            self.count(finding.check, 1)
            self.keep(finding)

    def keep(self, finding: Finding) -> None:
        """As an example, if there is room; its check has been counted."""
        if self.wanted(finding.check) > 0:
            self.examples.append(finding)

    def mend(self, check: str, statements: Sequence[Statement], about: Sequence[Key], number: int) -> None:
        """The statements and an audit row for each record (one for all, if none is named), in one transaction."""
        if not self.repair or not number:
            return
        rows = [self._audit_row(check, key) for key in about] or [self._audit_row(check, None, f"{number}")]

        def attempt() -> None:
            with database.Transaction() as transaction:
                transaction.send(statements)
                transaction.commit([(recorder.INSERT_MANY_SQL, recorder.many_parameters(rows))])

        database.retry(attempt)
        self.repaired[check] = self.repaired.get(check, 0) + number

    def _audit_row(self, check: str, key: Key | None, detail: str | None = None) -> recorder.Row:
        bucket, type_number, resource_id = (None, None, None) if key is None else key
        return self.context.audit(
            "operation",
            bucket=bucket,
            status=200,
            at=store.now(),
            type_number=type_number,
            resource_id=resource_id,
            query=f"shards verify --repair {check}",
            detail=detail,
        )

    def begin(self) -> None:
        """The run's own audit row: it looks at every record."""
        row = self.context.audit("operation", bucket=None, status=200, at=store.now(), query="shards verify")
        database.fetch(recorder.INSERT_SQL, row)
