"""Making a server ready to be a worker, and knowing it again; the only place that connects to a worker directly."""

from __future__ import annotations

import time
from typing import Any

import psycopg
from django.core.management.base import CommandError
from django.db import connection as django_connection
from django.utils.translation import gettext as _
from psycopg import sql

from fhir import citus, database

from . import cluster
from .probe import CONNECT_SECONDS, Question, ask

_ADDRESS = frozenset({"user", "password", "passfile", "dbname"})
_READY = """SELECT json_build_object('group', (SELECT groupid FROM pg_dist_local_group),
 'citus', split_part(citus_version(), ' ', 2), 'wal_level', current_setting('wal_level'),
 'prepared', current_setting('max_prepared_transactions')::int, 'recovery', pg_is_in_recovery(),
 'coordinator', (SELECT nodename || ':' || nodeport FROM pg_dist_node WHERE groupid = 0 LIMIT 1),
 'used', to_regclass('public.resource') IS NOT NULL,
 'shards', (SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname ~ '^resource_[0-9]+$'))::text"""


class Silent(CommandError):
    """The server does not answer."""


def prepare_coordinator() -> None:
    """The extension in this database. Raises CommandError where the server has none."""
    if citus.has_citus(django_connection):
        return
    if not database.fetch("SELECT 1 FROM pg_available_extensions WHERE name = 'citus'"):
        raise CommandError(_("This PostgreSQL has no Citus."))
    database.fetch("CREATE EXTENSION IF NOT EXISTS citus")


def prepare(host: str, port: int, *, wait: float = 0.0) -> None:
    """The database of the coordinator's name on that server, and the extension in it, within `wait` seconds.

    Raises CommandError.
    """
    until = time.monotonic() + wait
    while True:
        try:
            _make(host, port, django_connection.settings_dict["NAME"])
            return
        except psycopg.Error as error:
            if time.monotonic() >= until:
                about = {"node": f"{host}:{port}", "error": str(error).strip()}
                raise CommandError(_("%(node)s cannot become a worker: %(error)s") % about) from error
        time.sleep(1)


def _make(host: str, port: int, name: str) -> None:
    with _connect(host, port, "postgres") as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    with _connect(host, port, name) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS citus")


def _connect(host: str, port: int, name: str) -> psycopg.Connection[Any]:
    """With the user, password and certificates of the coordinator."""
    given = django_connection.get_connection_params()
    kept = {key: value for key, value in given.items() if key in _ADDRESS or key.startswith("ssl")}
    at = {"host": host, "port": port, "dbname": name, "connect_timeout": CONNECT_SECONDS}
    return psycopg.connect(**{**kept, **at}, autocommit=True)


def state(host: str, port: int, *, wait: float = 0.0) -> dict[str, Any]:
    """What the server there says, as the coordinator reaches it, within `wait` seconds. Raises Silent."""
    until = time.monotonic() + wait
    while True:
        (reply,) = ask([Question(host, port, _READY)])
        if not reply.error:
            return dict(reply.value)
        if time.monotonic() >= until:
            about = {"node": f"{host}:{port}", "error": reply.error}
            raise Silent(_("%(node)s does not answer: %(error)s") % about)
        time.sleep(1)


def require_fit(host: str, port: int, found: dict[str, Any]) -> None:
    """Raises CommandError where the server cannot be a new worker, or is somebody's node already."""
    about = {"node": f"{host}:{port}"}
    # One that was removed from this cluster, empty, still knows it; Citus clears that away.
    returns = found["group"] != 0 and found["coordinator"] == cluster.coordinator()
    if found["shards"] or not returns and (found["group"] != 0 or found["used"]):
        raise CommandError(_("%(node)s belongs to a cluster already, or has records in it.") % about)
    if found["recovery"]:
        raise CommandError(_("%(node)s is a standby.") % about)
    ((version,),) = database.fetch("SELECT split_part(citus_version(), ' ', 2)")
    if found["citus"] != version:
        raise CommandError(_("%(node)s has Citus %(other)s, the coordinator %(version)s.") % {
            **about, "other": found["citus"], "version": version})  # fmt: skip
    if found["wal_level"] != "logical" or not found["prepared"]:
        raise CommandError(_("%(node)s needs wal_level = logical and max_prepared_transactions above 0.") % about)
