"""Own words for the rules that people meet."""

from __future__ import annotations

from typing import Any

RULES: dict[str, Any] = {}
