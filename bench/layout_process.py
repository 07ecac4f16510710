"""One layout of the database, in a process of its own: its settings, its data, its server, and its witness of tasks.

Django knows one database, and what it is like is remembered in many places; hence a process for each layout. The
functions of this module run there, one after the other, and hand back values.
"""

from __future__ import annotations

import os
import secrets
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import client, cpu, environment, shapes

PATIENT = "bench-patient"
DRAWS = 5  # of shapes about some charts, which may lie in one shard by chance
SHOWN = (
    "server_version", "fsync", "synchronous_commit", "shared_buffers", "citus.shard_count",
    "citus.max_adaptive_executor_pool_size", "citus.max_cached_conns_per_worker", "citus.node_conninfo",
    "citus.enable_local_execution", "citus.version",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Facts:
    """What a layout is, and what it took to load it: `shards` is 0 on plain PostgreSQL."""

    shards: int
    workers: int
    resources: int
    seconds: float
    settings: dict[str, str]


@dataclass(frozen=True, slots=True)
class Served:
    """A running server: its port, tokens of an administrator and of a patient, the roots of all process trees."""

    port: int
    token: str
    patient_token: str
    gunicorn_pid: int
    postgres_pids: tuple[int, ...]


@dataclass(slots=True)
class _State:
    """What this process has opened."""

    database: str = ""
    creation: Any = None
    stack: ExitStack = field(default_factory=ExitStack)


_state = _State()


def prepare(url: str, name: str, shard_count: int, patients: int) -> Facts:
    """Makes a database of that name on all nodes of the server of `url`, and loads so many charts."""
    _configure(url, shard_count)
    from django.core.management import call_command
    from django.db import connection

    from clinical_records.testing_database.creation import DatabaseCreation

    _state.creation = DatabaseCreation(connection)
    _state.creation.make(name)
    _state.database = name
    environment.use(name)
    call_command("migrate", verbosity=0)
    started = time.monotonic()
    resources = _load(patients)
    seconds = time.monotonic() - started
    workers = sum(node.group != 0 for node in _state.creation.nodes)
    return Facts(_shards(), workers, resources, seconds, _settings())


def _configure(url: str, shard_count: int) -> None:
    """Production settings, but for the checks of host names."""
    os.environ.update(
        DATABASE_URL=url,
        DJANGO_SETTINGS_MODULE="clinical_records.settings",
        CITUS_SHARD_COUNT=str(shard_count),
        SECRET_KEY=secrets.token_urlsafe(48),
        ACCESS_TOKEN_MINUTES="600",
        DEMO_MODE="1",
        LOG_LEVEL="WARNING",
    )
    for variable in ("DATABASE_URL_FILE", "SECRET_KEY_FILE"):
        os.environ.pop(variable, None)
    import django

    django.setup()


def _load(patients: int) -> int:
    """With all checks and audit rows, as any bulk load."""
    from fhir import charts
    from fhir.interactions import bulk
    from fhir.management import maintenance
    from fhir.management.actor import command_context

    resources = [*charts.facility(shapes.SEED), *(r for index in range(patients) for r in shapes.chart(index))]
    report = bulk.store_resources(iter(resources), command_context("bench"))
    assert not report.refused, report.refused[0]
    maintenance.settle()
    return report.stored


def _shards() -> int:
    from fhir import citus

    from . import tasks

    return tasks.shard_count() if citus.distributed() else 0


def _settings() -> dict[str, str]:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(%s)", [list(SHOWN)])
        return dict(cursor.fetchall())


def serve() -> Served:
    """gunicorn as deploy/gunicorn.conf.py has it, with two users who have logged in."""
    from accounts.models import Role, User

    password = secrets.token_urlsafe(24)
    fhir_user = f"Patient/{shapes.chart(0)[0]['id']}"
    User.objects.create_user(PATIENT, password=password, role=Role.PATIENT, fhir_user=fhir_user)
    postgres_pids = _postmasters()
    at = _state.stack.enter_context(environment.gunicorn(postgres_pids[0]))
    token = client.log_in(at.port, PATIENT, password)
    return Served(at.port, at.token, token, at.gunicorn_pid, postgres_pids)


def _postmasters() -> tuple[int, ...]:
    """The process of each node's server, which must be of this machine: the parent of a session's process."""
    found = []
    for session in _state.creation.sessions():
        (pid,) = session.execute("SELECT pg_backend_pid()").fetchone()
        name = Path(f"/proc/{pid}/comm")
        if not name.exists() or name.read_text().strip() != "postgres":
            raise RuntimeError("The servers must be of this machine: their CPU is measured.")
        found.append(cpu.parent(pid))
    return tuple(found)


def counts() -> dict[str, Any]:
    """The bench.tasks.Count of each shape."""
    from accounts.models import Role
    from clinical_records.testing import ApiClient

    from . import tasks

    hand = shapes.Hand(shapes.COUNTED)
    administrator = ApiClient.logged_in()
    patient = ApiClient.logged_in(role=Role.PATIENT, fhir_user=f"Patient/{hand.patient}")

    def ask(shape: shapes.Shape, question: shapes.Question) -> None:
        headers = {"Content-Type": question.content_type, **question.headers}
        sender = patient if question.as_patient else administrator
        answer = sender.send(question.method, question.url, question.body, headers=headers)
        assert answer.status_code in shape.statuses, (shape.name, answer.status_code, answer.content[:300])

    def counted(shape: shapes.Shape) -> shapes.Count:
        question = shape.ask(hand)
        return tasks.count(lambda: ask(shape, question), repeatable=shape.kind in shapes.REPEATABLE)

    found = {}
    with tasks.undisturbed():
        for shape in shapes.SHAPES:
            for _number in range(2):  # statements are prepared at their second use, connections opened at the first
                ask(shape, shape.ask(hand))
            several = [counted(shape) for _number in range(DRAWS if shape.kind == shapes.FEW else 1)]
            found[shape.name] = max(several, key=lambda count: (count.shards, count.commands))
    return found


def close() -> None:
    """Ends the server and drops the database."""
    _state.stack.close()
    if _state.database:
        _state.creation.drop(_state.database)
