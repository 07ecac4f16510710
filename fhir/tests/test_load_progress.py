"""The progress of long commands: a bar where the terminal can redraw, lines where it cannot, nothing when asked."""

from __future__ import annotations

import io

import pytest

from fhir.management import progress as module
from fhir.management.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(module, "_REDRAW_SECONDS", 0)
    monkeypatch.setattr(module, "_LINE_SECONDS", 0)
    monkeypatch.setenv("TERM", "xterm")


def test_a_terminal_gets_one_line_that_is_redrawn():
    out = Terminal()
    with Progress(out, "Patients", 4) as progress:
        progress.advance(2, "9 resources")
        progress.advance(2)
    text = out.getvalue()
    assert text.count("\n") == 1
    assert text.count("\r") >= 3
    assert "50% 2/4  9 resources" in text
    assert "100% 4/4" in text


def test_a_dumb_terminal_gets_whole_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    out = Terminal()
    with Progress(out, "Patients", 4) as progress:
        progress.advance(4)
    assert "\r" not in out.getvalue()
    assert "\x1b" not in out.getvalue()
    assert out.getvalue().splitlines()[-1].startswith("Patients [##############################] 100% 4/4")


def test_a_file_gets_whole_lines_and_no_total_is_no_bar():
    out = io.StringIO()
    with Progress(out, "lines") as progress:
        progress.at(12)
    assert out.getvalue().splitlines()[-1].startswith("lines 12")
    assert "[" not in out.getvalue()


def test_quiet_says_nothing():
    out = Terminal()
    with Progress(out, "Patients", 4, quiet=True) as progress:
        progress.advance(4)
    assert out.getvalue() == ""
