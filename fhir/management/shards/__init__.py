"""`manage.py shards …`: where the records lie, whether that is right, and how the cluster is changed.

One module a subcommand, each with the same four names: HELP, `add_arguments(parser)`, `run(call)`, which gives a
JSON object, and `text(result)`, which gives that object as tables for people. `result["problems"]` are sentences; with
any of them the command ends with status 1 (docs/distribution.md).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from fhir.management.progress import Progress

Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """The options of a subcommand; `quiet` for no progress on stderr."""

    options: dict[str, Any]
    quiet: bool = False

    def progress(self, label: str, total: int | None = None) -> Progress:
        """How far the command is, on stderr."""
        return Progress(sys.stderr, label, total, quiet=self.quiet)
