"""How far a long command is, on stderr: a bar where the terminal can redraw a line, else a line now and then."""

from __future__ import annotations

import os
import time
from types import TracebackType
from typing import TextIO

WIDTH = 30
_REDRAW_SECONDS = 0.1
_LINE_SECONDS = 5.0


class Progress:
    """Counts `done` of `total` (None: unknown). Use as a context manager, so that the line is ended."""

    def __init__(self, stream: TextIO, label: str, total: int | None = None, *, quiet: bool = False) -> None:
        self.stream, self.label, self.total, self.quiet = stream, label, total, quiet
        self.live = stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb")
        self.done = 0
        self.note = ""
        self.begun = self.shown = time.monotonic()

    def __enter__(self) -> Progress:
        if self.live:
            self._show()
        return self

    def advance(self, count: int = 1, note: str = "") -> None:
        """So many more are done; `note` is shown beside the count."""
        self.at(self.done + count, note)

    def at(self, done: int, note: str = "") -> None:
        """So many are done."""
        self.done, self.note = done, note
        if time.monotonic() - self.shown >= (_REDRAW_SECONDS if self.live else _LINE_SECONDS):
            self._show()

    def line(self) -> str:
        """What is shown now."""
        seconds = time.monotonic() - self.begun
        note = f"  {self.note}" if self.note else ""
        if not self.total:
            return f"{self.label} {self.done}{note}  {seconds:.0f} s"
        share = min(1.0, self.done / self.total)
        filled = round(share * WIDTH)
        left = f"  -{seconds * (1 - share) / share:.0f} s" if 0 < share < 1 else f"  {seconds:.0f} s"
        return (
            f"{self.label} [{'#' * filled}{'.' * (WIDTH - filled)}] {share:4.0%} {self.done}/{self.total}{note}{left}"
        )

    def _show(self) -> None:
        self.shown = time.monotonic()
        if self.quiet:
            return
        self.stream.write(f"\r\x1b[K{self.line()}" if self.live else f"{self.line()}\n")
        self.stream.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._show()
        if self.live and not self.quiet:
            self.stream.write("\n")
            self.stream.flush()
