"""What goes in and out over HTTP: formats, bodies, headers (https://hl7.org/fhir/R4/http.html#mime-type)."""

from __future__ import annotations

import json as standard_json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import format_datetime, parsedate_to_datetime
from functools import lru_cache
from typing import Any

import msgspec
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from .exceptions import InvalidRequest, NotAcceptable, TooLarge, UnsupportedMediaType

FHIR_JSON = "application/fhir+json"
JSON_PATCH = "application/json-patch+json"
FORM = "application/x-www-form-urlencoded"
_JSON_TYPES = frozenset({FHIR_JSON, "application/json", "text/json", "json", "application/json+fhir"})
_ANY = frozenset({"*/*", "application/*"})
_VERSION = re.compile(r"4\.0(\.\d+)?")
_BROWSER = "text/html"


# --- what the caller accepts


@lru_cache(maxsize=512)
def is_acceptable(accept: str, format_parameter: str | None) -> bool:
    """Whether JSON of R4 is among what is asked for; `_format` overrides Accept."""
    if format_parameter is not None:
        # In a URL the + of application/fhir+json is read as a space.
        return _is_json(format_parameter.replace(" ", "+")) is not None
    if not accept.strip():
        return True
    ranges = [_is_json(item) for item in accept.split(",")]
    # A page in a browser that asks for HTML gets JSON: there is nothing else.
    return any(ranges) or _BROWSER in accept


def _is_json(media_range: str) -> bool | None:
    kind, *parameters = (part.strip().lower() for part in media_range.split(";"))
    values = dict(p.split("=", 1) for p in parameters if "=" in p)
    version = values.get("fhirversion")
    if version is not None and not _VERSION.fullmatch(version.strip('"')):
        return None
    try:
        wanted = float(values.get("q", "1")) > 0
    except ValueError:
        wanted = False
    return True if wanted and (kind in _JSON_TYPES or kind in _ANY) else None


def require_acceptable(accept: str, format_parameter: str | None) -> None:
    """Raises NotAcceptable unless JSON will do."""
    if not is_acceptable(accept, format_parameter):
        raise NotAcceptable(_("This server answers in application/fhir+json, FHIR version 4.0."))


# --- what the caller sends


@lru_cache(maxsize=128)
def media_type(content_type: str) -> str:
    """`application/fhir+json; charset=utf-8` → `application/fhir+json`. Raises UnsupportedMediaType."""
    kind, *parameters = (part.strip().lower() for part in content_type.split(";"))
    values = dict(p.split("=", 1) for p in parameters if "=" in p)
    version = values.get("fhirversion")
    if version is not None and not _VERSION.fullmatch(version.strip('"')):
        raise UnsupportedMediaType(_("This server reads FHIR version 4.0."))
    if values.get("charset", "utf-8").strip('"') not in ("utf-8", "utf8", "us-ascii"):
        raise UnsupportedMediaType(_("Bodies must be in UTF-8."))
    return kind


def require_json(content_type: str) -> None:
    """Raises UnsupportedMediaType unless the body is FHIR JSON."""
    if media_type(content_type) not in _JSON_TYPES:
        raise UnsupportedMediaType(_("The body must be application/fhir+json."))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        name = next(key for key, _value in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise InvalidRequest(_("The property “%(name)s” is given twice.") % {"name": name}, code="structure")
    return members


def _no_constant(name: str) -> Any:
    raise InvalidRequest(_("“%(name)s” is not a number in JSON.") % {"name": name}, code="structure")


_decoder = standard_json.JSONDecoder(object_pairs_hook=_object, parse_float=Decimal, parse_constant=_no_constant)


def parse(body: bytes) -> Any:
    """The value of a JSON body, decimals with every digit (https://hl7.org/fhir/R4/json.html).

    Raises InvalidRequest for what is not JSON, names a property twice or holds characters that no text may have, and
    TooLarge over the limits of size and depth.
    """
    if len(body) > settings.FHIR_MAX_BODY_BYTES:
        raise TooLarge(_("The body is larger than %(limit)d bytes.") % {"limit": settings.FHIR_MAX_BODY_BYTES})
    if not body.strip():
        raise InvalidRequest(_("The body is empty."), code="structure")
    try:
        text = body.decode()
        value = _decoder.decode(text.removeprefix("\ufeff").strip())
    except UnicodeDecodeError:
        raise InvalidRequest(_("The body is not UTF-8."), code="structure") from None
    except standard_json.JSONDecodeError as error:
        message = _("The body is not JSON: see line %(line)d, column %(column)d.")
        raise InvalidRequest(message % {"line": error.lineno, "column": error.colno}, code="structure") from None
    except RecursionError:
        raise _too_deep() from None
    except (ValueError, ArithmeticError):
        raise InvalidRequest(_("The body holds a number that cannot be read."), code="structure") from None
    _check_depth(value, body)
    _check_characters(value, text)
    return value


def _too_deep() -> TooLarge:
    limit = settings.FHIR_MAX_JSON_DEPTH
    return TooLarge(_("The body is nested deeper than %(limit)d levels.") % {"limit": limit})


def _check_depth(value: Any, body: bytes) -> None:
    limit = settings.FHIR_MAX_JSON_DEPTH
    if body.count(b"{") + body.count(b"[") <= limit:
        return
    level: list[Any] = [value]
    for _depth in range(limit + 1):
        level = [
            child
            for node in level
            for child in (node.values() if type(node) is dict else node)
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return
    raise _too_deep()


def _check_characters(value: Any, text: str) -> None:
    """PostgreSQL's text cannot hold NUL, and UTF-8 cannot hold half of a surrogate pair."""
    if "\\u0000" not in text and "\\ud" not in text and "\\uD" not in text:
        return
    for string in _strings(value):
        if "\x00" in string:
            raise InvalidRequest(_("The character U+0000 is not allowed in strings."), code="value")
        try:
            string.encode()
        except UnicodeEncodeError:
            raise InvalidRequest(_("A string holds half of a surrogate pair."), code="value") from None


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, member in value.items():
            yield key
            yield from _strings(member)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def parse_resource(body: bytes, content_type: str) -> dict[str, Any]:
    """The resource of a request's body. Raises as `parse` does."""
    if body.strip():
        require_json(content_type)
    value = parse(body)
    if type(value) is not dict or not isinstance(value.get("resourceType"), str):
        raise InvalidRequest(
            _("The body must be a FHIR resource: a JSON object with a resourceType."), code="structure"
        )
    return value


# --- headers


def etag(version: int | str) -> str:
    """https://hl7.org/fhir/R4/http.html#versioning"""
    return f'W/"{version}"'


def versions_of(header: str) -> list[str]:
    """Version ids of If-Match or If-None-Match: `W/"3"`, `"3"`, and `*` as it is."""
    return [item.strip().removeprefix("W/").strip('"') for item in header.split(",") if item.strip()]


def http_date(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def parse_http_date(value: str) -> datetime | None:
    """A date of RFC 9110; None where it is none, as that paragraph asks."""
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def instant(moment: datetime) -> str:
    """A FHIR instant in UTC with milliseconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def preferences(header: str) -> dict[str, str]:
    """`return=minimal; handling=lenient` as a mapping (https://hl7.org/fhir/R4/http.html#ops)."""
    items = (item.strip() for item in header.replace(";", ",").split(","))
    return {k.strip().lower(): v.strip().strip('"') for k, _eq, v in (i.partition("=") for i in items) if k}


def pretty(body: bytes) -> bytes:
    """The same JSON with line breaks, every digit as it was."""
    return msgspec.json.format(body, indent=2)
