"""Translated sentences with values in them, put into words only when they are shown."""

from __future__ import annotations

from typing import Any

from django.utils.functional import lazy


def _worded(template: Any, values: dict[str, Any]) -> str:
    return str(template) % values


_lazy_worded = lazy(_worded, str)


def lazy_text(template: Any, **values: Any) -> Any:
    """`template % values` in the language of the moment it is read; `template` has named %-placeholders."""
    return _lazy_worded(template, values)
