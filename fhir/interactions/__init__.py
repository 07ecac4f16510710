"""One interaction, one file. Each takes a Context and gives an Answer, or raises FhirError."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from accounts.scopes import Scope


@dataclass(frozen=True, slots=True)
class Context:
    """Who asks, from where, and how the answer is to be worded.

    `base_url` is the FHIR base without a final slash, `prefer_return` minimal | representation | OperationOutcome,
    `lenient` comes from Prefer: handling=lenient, `request_id` ties the audit rows of one request.
    """

    scope: Scope
    base_url: str
    request_id: UUID
    client: str = ""
    language: str = "es"
    prefer_return: str = "representation"
    lenient: bool = False


@dataclass(slots=True)
class Answer:
    """What goes back: `body` is JSON text ready to be sent (b"" for none)."""

    status: int
    body: bytes = b""
    etag: str | None = None
    last_modified: datetime | None = None
    location: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
