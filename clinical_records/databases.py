"""Django's DATABASES entry for a DATABASE_URL, or for the embedded PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clinical_records import embedded_postgres
from clinical_records.env import database_url

# citus.*: few connections from the coordinator to the workers, and no long wait for one that is frozen; without Citus
# they are unread placeholders.
SESSION_SETTINGS = {
    "timezone": "UTC",
    "jit": "off",
    "citus.max_adaptive_executor_pool_size": "4",
    "citus.max_cached_conns_per_worker": "4",
    "citus.node_connection_timeout": "3s",
}


def connection_settings(url: str, *, home: Path, statement_timeout: int) -> dict[str, Any]:
    """The entry for `url`, or without one for the cluster in `home`; `statement_timeout` in seconds."""
    settings = database_url(url) if url else _embedded(home)
    given = settings["OPTIONS"].pop("options", "")
    session = {**SESSION_SETTINGS, "statement_timeout": f"{statement_timeout}s"}
    ours = " ".join(f"-c {name}={value}" for name, value in session.items())
    settings["OPTIONS"] = {
        "application_name": "clinical_records",
        "connect_timeout": 5,
        "target_session_attrs": "read-write",
        **settings["OPTIONS"],
        "options": f"{ours} {given}".strip(),
        # Parameters travel apart from the statement, which PostgreSQL prepares at its second use.
        "server_side_binding": True,
        "prepare_threshold": 1,
    }
    return {
        "ENGINE": "django.db.backends.postgresql",
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": False,
        "ATOMIC_REQUESTS": False,
        "DISABLE_SERVER_SIDE_CURSORS": True,
        **settings,
    }


def _embedded(home: Path) -> dict[str, Any]:
    place = embedded_postgres.place(home)
    return {
        "NAME": embedded_postgres.ROLE,
        "USER": embedded_postgres.ROLE,
        "PASSWORD": "",
        "HOST": str(place.socket),
        "PORT": str(embedded_postgres.PORT),
        "OPTIONS": {},
    }
