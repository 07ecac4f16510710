"""The id of the request being answered, for audit rows and logs."""

from __future__ import annotations

import uuid
from contextvars import ContextVar

current_request_id: ContextVar[str] = ContextVar("current_request_id", default="")


def new_request_id() -> str:
    """A fresh id."""
    return str(uuid.uuid4())
