"""Questions to single nodes, each with a limit: a node that is dead or frozen takes its own answer away, no other's.

They go through the coordinator, as everything does, with a connection of their own each: Citus waits for a new
connection to a node no longer than citus.node_connection_timeout, but for an answer on an old one as long as it takes.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from django.db import connection as django_connection
from django.utils.translation import gettext as _

CONNECT_SECONDS = 3
ANSWER_SECONDS = 10.0
_AT_ONCE = 16
_ASK = "SELECT success, result FROM master_run_on_worker(ARRAY[%s::text], ARRAY[%s::int], ARRAY[%s::text], false)"


@dataclass(frozen=True, slots=True)
class Question:
    """SQL with one column and one row, a JSON text, for the node at an address."""

    host: str
    port: int
    sql: str


@dataclass(slots=True)
class Reply:
    """`value` is None where `error` says why there is none."""

    value: Any = None
    error: str = ""


def ask(questions: Sequence[Question]) -> list[Reply]:
    """The replies, in the order of the questions, within about ANSWER_SECONDS for each 16 of them."""
    replies: list[Reply] = []
    for start in range(0, len(questions), _AT_ONCE):
        asked = [_Asked(question) for question in questions[start : start + _AT_ONCE]]
        replies += [each.wait() for each in asked]
    return replies


class _Asked(threading.Thread):
    """A question under way, in a thread that nobody waits for longer than ANSWER_SECONDS."""

    def __init__(self, question: Question) -> None:
        super().__init__(daemon=True)
        self.question = question
        self.reply = Reply(error=_("no answer within %(seconds)d s") % {"seconds": ANSWER_SECONDS})
        self.parameters = _own_connection()
        self.start()

    def run(self) -> None:
        try:
            with psycopg.connect(**self.parameters, autocommit=True) as connection:
                asked = (self.question.host, self.question.port, self.question.sql)
                row = connection.execute(_ASK, asked).fetchone()
            assert row is not None
            succeeded, text = row
            self.reply = Reply(json.loads(text)) if succeeded else Reply(error=text)
        except psycopg.Error as error:
            self.reply = Reply(error=str(error).strip())

    def wait(self) -> Reply:
        self.join(ANSWER_SECONDS)
        return self.reply


def _own_connection() -> dict[str, Any]:
    given = django_connection.get_connection_params()
    for name in ("cursor_factory", "context", "prepare_threshold", "server_side_binding", "pool"):
        given.pop(name, None)
    given["options"] = f"{given.get('options', '')} -c citus.node_connection_timeout={CONNECT_SECONDS}s".strip()
    return given


def literal(text: str) -> str:
    """A string constant of SQL, for a command that is sent as text."""
    return "'" + text.replace("'", "''") + "'"


def rows(values: Iterable[Sequence[str | int]]) -> str:
    """`(…), (…)`: rows of VALUES."""
    return ", ".join(
        f"({', '.join(str(value) if isinstance(value, int) else literal(value) for value in row)})" for row in values
    )
