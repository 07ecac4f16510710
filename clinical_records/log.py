"""Log lines without what patients told their doctor: no statements, no parameters, no query strings, no bodies."""

from __future__ import annotations

import json
import logging
import traceback
from datetime import UTC, datetime
from typing import Any

import psycopg
from django.db import Error as DjangoDatabaseError

from clinical_records.request_id import current_request_id


def describe_exception(error: BaseException) -> str:
    """The traceback's places and the error's type; the text of a database error, which may quote data, is left out."""
    places = "".join(traceback.format_tb(error.__traceback__))
    name = f"{type(error).__module__}.{type(error).__qualname__}"
    if isinstance(error, psycopg.Error | DjangoDatabaseError):
        cause = error if isinstance(error, psycopg.Error) else error.__cause__
        return f"{places}{name}: SQLSTATE {getattr(cause, 'sqlstate', None) or 'none'}"
    return f"{places}{name}: {str(error).partition(chr(10))[0]}"


class NoRefusals(logging.Filter):
    """Leaves out Django's lines on refused requests: they are answered, and audited, as they should be."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.name == "django.request" and record.levelno < logging.ERROR)


class _Formatter(logging.Formatter):
    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """The line as names and values."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"at": at, "level": record.levelname, "logger": record.name, "text": record.getMessage()}
        request_id = current_request_id.get() or getattr(getattr(record, "request", None), "request_id", "")
        if request_id:
            line["request"] = request_id
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = describe_exception(record.exc_info[1])
        return line


class JsonFormatter(_Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(self.fields(record), ensure_ascii=False)


class PlainFormatter(_Formatter):
    """One line for a person."""

    def format(self, record: logging.LogRecord) -> str:
        line = self.fields(record)
        extra = f" [{line['request']}]" if "request" in line else ""
        error = f"\n{line['error']}" if "error" in line else ""
        return f"{line['at']} {line['level']} {line['logger']}: {line['text']}{extra}{error}"
