"""`manage.py shards …` in process, for its tests."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

from django.core.management import call_command


def shards(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit status and what --json says."""
    status, said = said_by(*arguments, "--json")
    return status, json.loads(said)


def said_by(*arguments: str) -> tuple[int, str]:
    """Exit status and text. Raises CommandError as the command does."""
    out = StringIO()
    try:
        call_command("shards", *arguments, stdout=out, verbosity=0)
    except SystemExit as left:
        return int(left.code or 0), out.getvalue()
    return 0, out.getvalue()
