"""Starts a private PostgreSQL when no DATABASE_URL is given: real durability, a unix socket only, no root.

A cluster lives in one folder of its own, mode 0700: `data`, `socket`, `log` and, where needed, `programs`. Nothing
outside that folder is changed. PostgreSQL refuses to run as root, so for root the server runs under an account that
exists already (postgres, else nobody), and the folder moves to where that account can reach it. A lock shared by
the users of a cluster says who is the last one out; it dies with its process, so a killed owner leaves no trace.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from clinical_records import postgres_programs as programs
from clinical_records import postgres_server
from clinical_records.postgres_server import SUPERUSER, PostgresError, ServerFolder

ROLE = "clinical_records"
PORT = 5432  # only a part of the socket's name: nothing listens on the network
SOCKET_PATH_LIMIT = 107  # bytes of sockaddr_un.sun_path on Linux, less the closing zero

SETTINGS = {
    **postgres_server.SETTINGS,
    "listen_addresses": "''",
    "unix_socket_permissions": "0700",
    "port": str(PORT),
}


@dataclass(frozen=True, slots=True)
class Place(ServerFolder):
    """Where a cluster lives: `folder` holds all of it, `home` is the folder that was asked for."""

    home: Path
    folder: Path

    @property
    def socket(self) -> Path:
        inside = self.folder / "socket"
        if len(os.fsencode(inside / f".s.PGSQL.{PORT}")) <= SOCKET_PATH_LIMIT:
            return inside
        return Path("/tmp") / _private_name(self.home)  # the path is too long for a socket

    @property
    def lock_files(self) -> tuple[Path, ...]:
        name = self.socket / f".s.PGSQL.{PORT}"
        return (self.data / "postmaster.pid", name, name.with_name(f"{name.name}.lock"))

    def parameters(self, database: str, role: str = ROLE) -> dict[str, Any]:
        """psycopg's connection parameters."""
        return {"host": str(self.socket), "port": PORT, "user": role, "dbname": database}


@dataclass(slots=True)
class Server:
    """A running cluster that this process uses; `stop` ends it when nobody else does."""

    place: Place
    program_folder: Path
    account: programs.Account | None
    lock: int = field(repr=False)

    def dsn(self, database: str = ROLE) -> str:
        """A connection string of libpq."""
        return connection_string(self.place, database)

    def running(self) -> bool:
        """Does the cluster's postmaster live?"""
        return is_running(self.place)

    def stop(self) -> bool:
        """Stop the server unless another process uses it; True if it was stopped."""
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self.lock)
            return False
        try:
            postgres_server.stop(self.place, self.program_folder, self.account)
        finally:
            os.close(self.lock)
        return True


def is_running(where: Place) -> bool:
    """Does the cluster's postmaster live?"""
    return postgres_server.postmaster(where) is not None


def connection_string(where: Place, database: str = ROLE) -> str:
    """A connection string of libpq."""
    return psycopg.conninfo.make_conninfo(**where.parameters(database))


def place(home: Path) -> Place:
    """Where the cluster that belongs in `home` lives; nothing is made.

    A note in `<home>.place`, left by the first start, comes first: a cluster is found again even when the
    permissions of the folders above it have changed since.
    """
    home = home.absolute()
    note = _note(home)
    if note.is_file():
        return Place(home, Path(note.read_text(encoding="utf-8").strip()))
    account = programs.server_account()
    if account is None or account.can_search(home.parent):
        return Place(home, home)
    base = Path("/var/lib") if os.access("/var/lib", os.W_OK) and account.can_search(Path("/var/lib")) else None
    return Place(home, (base or Path("/var/tmp")) / _private_name(home))


def start(home: Path, *, database: str = ROLE, durable: bool = True) -> Server:
    """Start, or join, the cluster of `home`, with `database` in it, owned by ROLE.

    `durable=False` is for tests: commits are not forced to the disk. Raises PostgresError.
    """
    try:
        return _joined(place(home), programs.server_account(), database, durable)
    except PermissionError as error:
        raise PostgresError(
            f"{error.filename} belongs to another account: run this as that account, or choose another folder "
            "with CLINICAL_RECORDS_VAR."
        ) from error


def claim(where: Place, account: programs.Account | None) -> None:
    """Make the folder of the cluster, and the note that leads to it. Raises PermissionError if it is another's."""
    postgres_server.make_folder(where.folder, account)
    if where.folder != where.home:
        _note(where.home).write_text(f"{where.folder}\n", encoding="utf-8")


def _joined(where: Place, account: programs.Account | None, database: str, durable: bool) -> Server:
    """The cluster, running, with this process among its users."""
    where.home.parent.mkdir(parents=True, exist_ok=True)
    lock = _users_lock(where.home)
    program_folder: Path | None = None
    try:
        with start_lock(where.home):
            _set_aside_foreign(where)
            _make_folders(where, account)
            program_folder = programs.usable_programs(where.folder, account)
            if not is_running(where):
                postgres_server.initialize(where, program_folder, account, durable=durable)
                postgres_server.configure(where, account, _settings(where, durable))
                postgres_server.start(where, program_folder, account)
            _make_database(where, database)
    except BaseException:
        if program_folder is None:
            os.close(lock)
        else:
            Server(where, program_folder, account, lock).stop()
        raise
    return Server(where, program_folder, account, lock)


def _set_aside_foreign(where: Place) -> None:
    """A folder outside `home` that no note leads to is of an older checkout at this path: it keeps its data, apart."""
    if where.folder == where.home or _note(where.home).exists() or not where.folder.is_dir():
        return
    if is_running(where):
        raise PostgresError(f"A PostgreSQL of an earlier checkout runs in {where.folder}: stop it first.")
    where.folder.rename(where.folder.with_name(f"{where.folder.name}.left-{int(time.time())}"))


def remove(home: Path) -> None:
    """Stop the cluster of `home` and delete it. Raises PostgresError if another process uses it."""
    where = place(home)
    if (where.data / "PG_VERSION").exists():
        account = programs.server_account()
        program_folder = programs.usable_programs(where.folder, account)
        server = Server(where, program_folder, account, _users_lock(home))
        if not server.stop():
            raise PostgresError(f"Another process uses the PostgreSQL in {where.folder}.")
    forget(where)


def forget(where: Place) -> None:
    """Delete a cluster that does not run, and what leads to it."""
    shutil.rmtree(where.folder, ignore_errors=True)
    for suffix in (".place", ".users", ".lock"):
        where.home.with_name(where.home.name + suffix).unlink(missing_ok=True)


def _private_name(home: Path) -> str:
    return f"clinical-records-{hashlib.sha256(os.fsencode(home)).hexdigest()[:12]}"


def _note(home: Path) -> Path:
    return home.with_name(home.name + ".place")


def _users_lock(home: Path) -> int:
    """A shared lock, held while this process uses the cluster."""
    descriptor = os.open(home.with_name(home.name + ".users"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


@contextmanager
def start_lock(home: Path) -> Iterator[None]:
    """One process at a time prepares and starts."""
    with open(home.with_name(home.name + ".lock"), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make_folders(where: Place, account: programs.Account | None) -> None:
    """The folders of the cluster, 0700 and owned by the server's account; refuses what belongs to another."""
    claim(where, account)
    for folder in (where.log, where.socket):
        postgres_server.make_folder(folder, account)


def _settings(where: Place, durable: bool) -> dict[str, str]:
    own = {**SETTINGS, "unix_socket_directories": postgres_server.quoted(where.socket)}
    return own if durable else {**own, **postgres_server.NOT_DURABLE}


def _make_database(where: Place, database: str) -> None:
    """The role and its database, if they are not there."""
    with psycopg.connect(**where.parameters("postgres", SUPERUSER), autocommit=True, connect_timeout=10) as connection:
        if not connection.execute("select 1 from pg_roles where rolname = %s", [ROLE]).fetchone():
            connection.execute(sql.SQL("create role {} login createdb").format(sql.Identifier(ROLE)))
        if not connection.execute("select 1 from pg_database where datname = %s", [database]).fetchone():
            command = sql.SQL("create database {} owner {}")
            connection.execute(command.format(sql.Identifier(database), sql.Identifier(ROLE)))
