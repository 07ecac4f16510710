"""The bench's own PostgreSQL and gunicorn, in a folder that goes away with them."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import psycopg
from psycopg import sql

from clinical_records import embedded_postgres

if TYPE_CHECKING:
    from fhir.interactions import Context

DATABASE = "bench"
USERNAME = "bench"
OWNER = embedded_postgres.ROLE
WEB_WORKERS = 2
KEPT = Path(__file__).parent.parent / "var" / "bench"


@dataclass(frozen=True, slots=True)
class Environment:
    """A running server: its port, a token of an administrator, and the roots of the two process trees."""

    port: int
    token: str
    gunicorn_pid: int
    postgres_pid: int
    base_url: str

    def context(self) -> Context:
        """The Context of that administrator, for calls in this process."""
        from accounts.models import User
        from accounts.scopes import scope_for
        from fhir.interactions import Context

        user = User.objects.get(username=USERNAME)
        scope = scope_for(user_id=str(user.pk), username=user.username, role=user.role)
        return Context(scope, self.base_url, "00000000-0000-7000-8000-000000000000", client="127.0.0.1", language="en")


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running PostgreSQL: the postmaster's process id, and where it lives."""

    pid: int
    place: embedded_postgres.Place

    def command(self, text: str, *names: str, **values: str) -> list[Any]:
        """One statement of the superuser outside of all databases; `names` fill {} and `values` fill {name}."""
        filled = sql.SQL(text).format(*map(sql.Identifier, names), **{k: sql.Literal(v) for k, v in values.items()})
        with psycopg.connect(**self.place.parameters("postgres", embedded_postgres.SUPERUSER), autocommit=True) as at:
            cursor = at.execute(filled)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def postgres(*, kept: bool = False) -> Iterator[Cluster]:
    """A durable PostgreSQL with an empty database, and Django set up on it.

    It goes away at the end; a `kept` one stays, and the next run that keeps it finds its databases again.
    """
    home = KEPT if kept else Path(tempfile.mkdtemp(prefix="clinical-records-bench-"))
    server = embedded_postgres.start(home / "postgres", database=DATABASE, durable=True)
    try:
        _configure(server.place, home)
        yield Cluster(int((server.place.data / "postmaster.pid").read_text().split()[0]), server.place)
    finally:
        server.stop()
        if not kept:
            shutil.rmtree(server.place.folder, ignore_errors=True)
            shutil.rmtree(home, ignore_errors=True)


def forget() -> None:
    """Removes what `--keep` has kept."""
    embedded_postgres.remove(KEPT / "postgres")
    shutil.rmtree(KEPT, ignore_errors=True)


def use(database: str) -> None:
    """From now on this process, and the servers that it starts, work on another database of the same PostgreSQL."""
    from django.db import connection, connections

    from fhir.search import statistics

    connections.close_all()
    connection.settings_dict["NAME"] = database
    statistics._known.read_at = float("-inf")


def _configure(place: embedded_postgres.Place, home: Path) -> None:
    """Production settings, but for the checks of host names; Django is set up here, and nowhere before."""
    at = place.parameters(DATABASE)
    query = urlencode({name: at[name] for name in ("host", "port", "user")})
    os.environ.update(
        DATABASE_URL=f"postgres:///{DATABASE}?{query}",
        CLINICAL_RECORDS_VAR=str(home),
        DJANGO_SETTINGS_MODULE="clinical_records.settings",
        SECRET_KEY=secrets.token_urlsafe(48),
        ACCESS_TOKEN_MINUTES="600",
        DEMO_MODE="1",
        WEB_WORKERS=str(WEB_WORKERS),
        LOG_LEVEL="WARNING",
    )
    os.environ.pop("DATABASE_URL_FILE", None)
    os.environ.pop("SECRET_KEY_FILE", None)
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


@contextmanager
def gunicorn(postgres_pid: int, **variables: str) -> Iterator[Environment]:
    """gunicorn as deploy/gunicorn.conf.py has it, and a user who has logged in; `variables` are of its environment."""
    from django.conf import settings

    from accounts.models import Role, User
    from clinical_records.testing import GunicornServer

    from . import client

    password = secrets.token_urlsafe(24)
    User.objects.filter(username=USERNAME).delete()
    User.objects.create_user(USERNAME, password=password, role=Role.ADMINISTRATOR)
    folder = Path(tempfile.mkdtemp(prefix="clinical-records-bench-log-"))
    try:
        with GunicornServer(folder, settings_module="clinical_records.settings", **variables) as server:
            assert server.process is not None
            base_url = f"http://127.0.0.1{settings.FHIR_BASE_PATH}"
            token = client.log_in(server.port, USERNAME, password)
            yield Environment(server.port, token, server.process.pid, postgres_pid, base_url)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
