"""The fields of a request to /auth/: a form or a JSON object, small, of strings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest
from django.utils.translation import gettext as _

MAX_BODY_BYTES = 16 * 1024
MAX_FIELD_LENGTH = 4096

# PostgreSQL has no NUL, and UTF-8 no lone surrogates.
NOT_STORABLE = re.compile("[\0\ud800-\udfff]")
FORM_TYPES = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})


class BadForm(Exception):
    """The body cannot be read. `status` is that of HTTP, `text` is for people."""

    def __init__(self, status: int, text: str) -> None:
        self.status, self.text = status, text
        super().__init__(text)


def read_fields(request: HttpRequest) -> dict[str, str]:
    """The strings of the body. Raises BadForm: 400, 413 or 415."""
    if int(request.META.get("CONTENT_LENGTH") or 0) > MAX_BODY_BYTES:
        raise BadForm(413, _("The body is too large."))
    content_type = (request.content_type or "").lower()
    if content_type in FORM_TYPES:
        return _strings(_form(request))
    if content_type == "application/json" or (not content_type and not request.body):
        return _strings(_json(request.body))
    raise BadForm(415, _("Send a form (application/x-www-form-urlencoded) or JSON (application/json)."))


def _form(request: HttpRequest) -> Mapping[str, Any]:
    try:
        return request.POST.dict()
    except (RequestDataTooBig, UnicodeDecodeError) as error:
        raise BadForm(400, _("The form cannot be read.")) from error


def _json(body: bytes) -> Mapping[str, Any]:
    try:
        value = msgspec.json.decode(body or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadForm(400, _("The body is not JSON.")) from error
    if not isinstance(value, dict):
        raise BadForm(400, _("The body must be a JSON object."))
    return value


def _strings(fields: Mapping[str, Any]) -> dict[str, str]:
    strings = {name: value for name, value in fields.items() if isinstance(value, str)}
    for name, value in strings.items():
        if len(value) > MAX_FIELD_LENGTH or NOT_STORABLE.search(value):
            text = _("The field “%(name)s” is too long or has characters that are not allowed.")
            raise BadForm(400, text % {"name": name})
    return strings
