"""String functions (https://hl7.org/fhirpath/N1/#string-manipulation, and those of the 2.1 build in use with FHIR)."""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
from functools import lru_cache

from fhir.fhirpath.environment import Environment
from fhir.fhirpath.exceptions import FhirPathEvaluationError
from fhir.fhirpath.registry import bounded, collection, integer_argument, scalar, string_argument, wrap
from fhir.fhirpath.values import Items, family

STRING, BOOLEAN, INTEGER = "System.String", "System.Boolean", "System.Integer"


@lru_cache(maxsize=512)
def pattern(expression: str) -> re.Pattern[str]:
    """A regular expression: PCRE as the specification asks, `.` matches line ends."""
    try:
        return re.compile(expression, re.DOTALL)
    except re.error as error:
        raise FhirPathEvaluationError(f"Not a regular expression: {error}") from error


@scalar("indexOf", "string", (1, 1), INTEGER)
def index_of(text: str, part: str) -> int:
    return text.find(part)


@scalar("lastIndexOf", "string", (1, 1), INTEGER)
def last_index_of(text: str, part: str) -> int:
    return text.rfind(part)


@collection("substring", (1, 2), STRING)
def substring(environment: Environment, items: Items, start: Items, length: Items | None = None) -> Items:
    text, begin = string_argument(items), integer_argument(start)
    count = integer_argument(length) if length is not None else None
    if text is None or begin is None or not 0 <= begin < len(text):
        return []
    return wrap(STRING, text[begin:] if count is None else text[begin : begin + max(count, 0)])


@scalar("startsWith", "string", (1, 1), BOOLEAN)
def starts_with(text: str, prefix: str) -> bool:
    return text.startswith(prefix)


@scalar("endsWith", "string", (1, 1), BOOLEAN)
def ends_with(text: str, suffix: str) -> bool:
    return text.endswith(suffix)


@scalar("contains", "string", (1, 1), BOOLEAN)
def contains(text: str, part: str) -> bool:
    return part in text


@scalar("upper", "string")
def upper(text: str) -> str:
    return text.upper()


@scalar("lower", "string")
def lower(text: str) -> str:
    return text.lower()


@scalar("replace", "string", (2, 2))
def replace(text: str, old: str, new: str) -> str:
    return bounded(text.replace(old, new))


@scalar("matches", "string", (1, 1), BOOLEAN)
def matches(text: str, expression: str) -> bool:
    return pattern(expression).search(text) is not None


@scalar("matchesFull", "string", (1, 1), BOOLEAN)
def matches_full(text: str, expression: str) -> bool:
    return pattern(expression).fullmatch(text) is not None


@scalar("replaceMatches", "string", (2, 2))
def replace_matches(text: str, expression: str, substitution: str) -> str:
    if not expression:
        return text
    try:
        template = re.sub(r"\$(?:(\d+)|\{(\w+)\})", r"\\g<\1\2>", substitution)
        return bounded(pattern(expression).sub(template, text))
    except (re.error, IndexError) as error:
        raise FhirPathEvaluationError(f"Not a substitution: {error}") from error


@scalar("length", "string", result=INTEGER)
def length(text: str) -> int:
    return len(text)


@scalar("toChars", "string")
def to_chars(text: str) -> list[str]:
    return list(text)


@scalar("trim", "string")
def trim(text: str) -> str:
    return text.strip()


@scalar("split", "string", (1, 1))
def split(text: str, separator: str) -> list[str]:
    return text.split(separator) if separator else list(text)


@collection("join", (0, 1), STRING)
def join(environment: Environment, items: Items, separator: Items | None = None) -> Items:
    if any(family(item[0]) != "string" for item in items):
        raise FhirPathEvaluationError("join() works on strings")
    texts = [item[1] for item in items if item[1] is not None]
    return wrap(STRING, bounded((string_argument(separator or []) or "").join(texts))) if texts else []


@scalar("encode", "string", (1, 1))
def encode(text: str, form: str) -> str | None:
    data = text.encode()
    match form:
        case "base64":
            return base64.b64encode(data).decode()
        case "urlbase64":
            return base64.urlsafe_b64encode(data).decode()
        case "hex":
            return data.hex()
    return None


@scalar("decode", "string", (1, 1))
def decode(text: str, form: str) -> str | None:
    try:
        match form:
            case "base64":
                return base64.b64decode(text, validate=True).decode()
            case "urlbase64":
                return base64.b64decode(text, altchars=b"-_", validate=True).decode()
            case "hex":
                return bytes.fromhex(text).decode()
    except (binascii.Error, ValueError) as error:
        raise FhirPathEvaluationError(f"Not {form}") from error
    return None


@scalar("escape", "string", (1, 1))
def escape(text: str, target: str) -> str | None:
    match target:
        case "html":
            return html.escape(text)
        case "json":
            return json.dumps(text, ensure_ascii=False)[1:-1]
    return None


@scalar("unescape", "string", (1, 1))
def unescape(text: str, target: str) -> str | None:
    match target:
        case "html":
            return html.unescape(text)
        case "json":
            escaped = re.sub(r'(?<!\\)"', r"\"", text)
            try:
                return str(json.loads(f'"{escaped}"'))
            except ValueError as error:
                raise FhirPathEvaluationError("Not JSON text") from error
    return None
