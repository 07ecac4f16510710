"""Text to tokens (https://hl7.org/fhirpath/N1/#lexical-elements)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from fhir.fhirpath.exceptions import FhirPathSyntaxError

_TIME = r"\d{2}(?::\d{2}(?::\d{2}(?:\.\d+)?)?)?"
_ZONE = r"(?:Z|[+-]\d{2}:\d{2})"
_TOKEN = re.compile(
    rf"""
    (?P<space>\s+|//[^\n\r]*|/\*.*?\*/)
  | (?P<time>@T{_TIME})
  | (?P<datetime>@\d{{4}}(?:-\d{{2}}(?:-\d{{2}})?)?T(?:{_TIME}{_ZONE}?)?)
  | (?P<date>@\d{{4}}(?:-\d{{2}}(?:-\d{{2}})?)?)
  | (?P<number>\d+(?:\.\d+)?)
  | (?P<string>'(?:[^'\\]|\\.)*')
  | (?P<delimited>`(?:[^`\\]|\\.)*`)
  | (?P<identifier>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<special>\$(?:this|index|total)\b)
  | (?P<symbol><=|>=|!=|!~|[-+*/&|<>=~.,()\[\]{{}}%])
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_ESCAPED = {"f": "\f", "n": "\n", "r": "\r", "t": "\t", "'": "'", '"': '"', "`": "`", "\\": "\\", "/": "/"}


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is a group name of the pattern above or "end"; `text` is unquoted and unescaped."""

    kind: str
    text: str
    position: int


def tokens(expression: str) -> Iterator[Token]:
    """The tokens of an expression, "end" last. Raises FhirPathSyntaxError."""
    position = 0
    while position < len(expression):
        match = _TOKEN.match(expression, position)
        if match is None:
            raise FhirPathSyntaxError("Unexpected character", expression, position)
        kind = match.lastgroup or ""
        if kind != "space":
            yield Token(kind, _text(kind, match.group(), expression, position), position)
        position = match.end()
    yield Token("end", "", position)


def _text(kind: str, text: str, expression: str, position: int) -> str:
    if kind not in ("string", "delimited"):
        return text

    def unescape(match: re.Match[str]) -> str:
        code = match.group(1)
        if len(code) == 5:
            return chr(int(code[1:], 16))
        if code not in _ESCAPED:
            raise FhirPathSyntaxError("Unknown escape sequence", expression, position + match.start() + 1)
        return _ESCAPED[code]

    return _ESCAPE.sub(unescape, text[1:-1])
