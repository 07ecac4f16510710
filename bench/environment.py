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
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from clinical_records import embedded_postgres

if TYPE_CHECKING:
    from fhir.interactions import Context

DATABASE = "bench"
USERNAME = "bench"
WEB_WORKERS = 2


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


@contextmanager
def postgres() -> Iterator[int]:
    """A durable PostgreSQL with an empty database, and Django set up on it; gives the postmaster's process id."""
    home = Path(tempfile.mkdtemp(prefix="clinical-records-bench-"))
    server = embedded_postgres.start(home / "postgres", database=DATABASE, durable=True)
    try:
        _configure(server.place, home)
        yield int((server.place.data / "postmaster.pid").read_text().split()[0])
    finally:
        server.stop()
        shutil.rmtree(server.place.folder, ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)


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
def gunicorn(postgres_pid: int) -> Iterator[Environment]:
    """gunicorn as deploy/gunicorn.conf.py has it, and a user who has logged in."""
    from django.conf import settings

    from accounts.models import Role, User
    from clinical_records.testing import GunicornServer

    from . import client

    password = secrets.token_urlsafe(24)
    User.objects.create_user(USERNAME, password=password, role=Role.ADMINISTRATOR)
    folder = Path(tempfile.mkdtemp(prefix="clinical-records-bench-log-"))
    try:
        with GunicornServer(folder, settings_module="clinical_records.settings") as server:
            assert server.process is not None
            base_url = f"http://127.0.0.1{settings.FHIR_BASE_PATH}"
            token = client.log_in(server.port, USERNAME, password)
            yield Environment(server.port, token, server.process.pid, postgres_pid, base_url)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
