"""One interaction, one file. Each takes a Context and gives an Answer, or raises FhirError."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from accounts.scopes import Scope
from audit import recorder


@dataclass(frozen=True, slots=True)
class Context:
    """Who asks, from where, and how the answer is to be worded.

    `base_url` is the FHIR base without a final slash, `prefer_return` minimal | representation | OperationOutcome,
    `lenient` comes from Prefer: handling=lenient, `request_id` ties the audit rows of one request.
    """

    scope: Scope
    base_url: str
    request_id: UUID | str
    client: str = ""
    language: str = "es"
    prefer_return: str = "representation"
    lenient: bool = False

    def audit(self, interaction: str, *, bucket: int | None, status: int, at: datetime, **about: Any) -> recorder.Row:
        """The audit row of an access by this caller; see audit.recorder.record."""
        return recorder.record(
            self.scope,
            interaction=interaction,
            bucket=bucket,
            status=status,
            request_id=self.request_id,
            client=self.client,
            at=at,
            **about,
        )


@dataclass(slots=True)
class Answer:
    """What goes back: `body` is JSON text ready to be sent (b"" for none), `version` makes the ETag."""

    status: int
    body: bytes = b""
    version: int | None = None
    updated: datetime | None = None
    location: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
