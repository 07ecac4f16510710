"""Starts a private PostgreSQL when no DATABASE_URL is given: real durability, a unix socket only, no root.

A cluster lives in one folder of its own, mode 0700: `data`, `socket`, `log` and, where needed, `programs`. Nothing
outside that folder is changed. PostgreSQL refuses to run as root, so for root the server runs under an account that
exists already (postgres, else nobody), and the folder moves to where that account can reach it. A lock shared by
the users of a cluster says who is the last one out; it dies with its process, so a killed owner leaves no trace.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
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

logger = logging.getLogger(__name__)

ROLE = "clinical_records"
SUPERUSER = "postgres"
PORT = 5432  # only a part of the socket's name: nothing listens on the network
START_SECONDS = 120
ORPHAN_SECONDS = 60
SOCKET_PATH_LIMIT = 107  # bytes of sockaddr_un.sun_path on Linux, less the closing zero

SETTINGS = {
    "listen_addresses": "''",
    "unix_socket_permissions": "0700",
    "port": str(PORT),
    "shared_buffers": "256MB",
    "max_connections": "100",
    "jit": "off",
    "random_page_cost": "1.1",
    "max_wal_size": "2GB",
    "checkpoint_completion_target": "0.9",
    "logging_collector": "on",
    "log_filename": "'postgresql-%a.log'",
    "log_truncate_on_rotation": "on",
    "log_rotation_age": "1d",
    # Statements and details of errors can hold what patients told their doctor.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_statement": "none",
}
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_wal_size": "4GB"}


class EmbeddedPostgresError(RuntimeError):
    """The private PostgreSQL cannot be started or stopped; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a cluster lives: `folder` holds all of it, `home` is the folder that was asked for."""

    home: Path
    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def socket(self) -> Path:
        inside = self.folder / "socket"
        if len(os.fsencode(inside / f".s.PGSQL.{PORT}")) <= SOCKET_PATH_LIMIT:
            return inside
        return Path("/tmp") / _private_name(self.home)  # the path is too long for a socket

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
            stop(self.place, self.program_folder, self.account)
        finally:
            os.close(self.lock)
        return True


def is_running(where: Place) -> bool:
    """Does the cluster's postmaster live?"""
    return _postmaster(where) is not None


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

    `durable=False` is for tests: commits are not forced to the disk. Raises EmbeddedPostgresError.
    """
    try:
        return _joined(place(home), programs.server_account(), database, durable)
    except PermissionError as error:
        raise EmbeddedPostgresError(
            f"{error.filename} belongs to another account: run this as that account, or choose another folder "
            "with CLINICAL_RECORDS_VAR."
        ) from error


def _joined(where: Place, account: programs.Account | None, database: str, durable: bool) -> Server:
    """The cluster, running, with this process among its users."""
    where.home.parent.mkdir(parents=True, exist_ok=True)
    lock = _users_lock(where.home)
    program_folder: Path | None = None
    try:
        with _start_lock(where.home):
            _set_aside_foreign(where)
            _make_folders(where, account)
            program_folder = programs.usable_programs(where.folder, account)
            if _postmaster(where) is None:
                _initialize(where, program_folder, account, durable)
                _configure(where, account, durable)
                _start(where, program_folder, account)
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
        raise EmbeddedPostgresError(f"A PostgreSQL of an earlier checkout runs in {where.folder}: stop it first.")
    where.folder.rename(where.folder.with_name(f"{where.folder.name}.left-{int(time.time())}"))


def stop(where: Place, program_folder: Path, account: programs.Account | None) -> None:
    """Stop the cluster's server, if it runs. Raises EmbeddedPostgresError."""
    if _postmaster(where) is None:
        return
    command = [program_folder / "pg_ctl", "stop", "-D", where.data, "-m", "fast", "-w", "-t", "60", "-s"]
    result = programs.run(command, account)
    if result.returncode and _postmaster(where) is not None:
        raise EmbeddedPostgresError(f"PostgreSQL does not stop: {result.stdout.strip()}")


def remove(home: Path) -> None:
    """Stop the cluster of `home` and delete it. Raises EmbeddedPostgresError if another process uses it."""
    where = place(home)
    if (where.data / "PG_VERSION").exists():
        account = programs.server_account()
        program_folder = programs.usable_programs(where.folder, account)
        server = Server(where, program_folder, account, _users_lock(home))
        if not server.stop():
            raise EmbeddedPostgresError(f"Another process uses the PostgreSQL in {where.folder}.")
    shutil.rmtree(where.folder, ignore_errors=True)
    for suffix in (".place", ".users", ".lock"):
        home.with_name(home.name + suffix).unlink(missing_ok=True)


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
def _start_lock(home: Path) -> Iterator[None]:
    """One process at a time prepares and starts."""
    with open(home.with_name(home.name + ".lock"), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make_folders(where: Place, account: programs.Account | None) -> None:
    """The folders of the cluster, 0700 and owned by the server's account; refuses what belongs to another."""
    owner = account.uid if account else os.geteuid()
    for folder in (where.folder, where.log, where.socket):
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            status = folder.lstat()
            if not folder.is_dir() or folder.is_symlink() or status.st_uid not in {owner, os.geteuid()}:
                raise PermissionError(errno.EPERM, "of another account", str(folder)) from None
        if account:
            os.chown(folder, account.uid, account.gid)
        folder.chmod(0o700)
    if where.folder != where.home:
        _note(where.home).write_text(f"{where.folder}\n", encoding="utf-8")


def _initialize(where: Place, program_folder: Path, account: programs.Account | None, durable: bool) -> None:
    """initdb, once. A half-made cluster of an interrupted run is thrown away: it never was `data`."""
    if (where.data / "PG_VERSION").exists():
        return
    half_made = where.folder / "data.initializing"
    shutil.rmtree(half_made, ignore_errors=True)
    command = [
        *(program_folder / "initdb", "-D", half_made, "-U", SUPERUSER, "--auth=trust"),
        *("--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums"),
        *([] if durable else ["--no-sync"]),
    ]
    result = programs.run(command, account)
    if result.returncode:
        raise EmbeddedPostgresError(f"initdb failed: {result.stdout.strip()}")
    half_made.rename(where.data)


def _configure(where: Place, account: programs.Account | None, durable: bool) -> None:
    """Our settings in their own file, written anew at each start so that a newer release can change them."""
    settings = {
        **SETTINGS,
        "unix_socket_directories": _quoted(where.socket),
        "log_directory": _quoted(where.log),
        **({} if durable else NOT_DURABLE),
    }
    own = where.data / "clinical_records.conf"
    own.write_text("".join(f"{name} = {value}\n" for name, value in settings.items()), encoding="utf-8")
    if account:
        os.chown(own, account.uid, account.gid)
    main = where.data / "postgresql.conf"
    include = f"include_if_exists = '{own.name}'\n"
    if include not in main.read_text(encoding="utf-8"):
        with main.open("a", encoding="utf-8") as file:
            file.write(include)


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _start(where: Place, program_folder: Path, account: programs.Account | None) -> None:
    """pg_ctl start; waits for the processes that a killed server left behind."""
    deadline = time.monotonic() + ORPHAN_SECONDS
    command = [
        *(program_folder / "pg_ctl", "start", "-D", where.data, "-l", where.log / "start.log"),
        *("-w", "-t", str(START_SECONDS), "-s"),
    ]
    while True:
        _remove_stale_locks(where)
        sizes = {path: path.stat().st_size for path in where.log.iterdir()}
        result = programs.run(command, account)
        if not result.returncode:
            return
        said = _new_lines(where, sizes) or result.stdout
        if "is still in use" not in said or time.monotonic() > deadline:
            raise EmbeddedPostgresError(f"PostgreSQL does not start: {said.strip()}\nIts log is in {where.log}.")
        logger.warning("Waiting for the processes of a killed PostgreSQL to end.")
        time.sleep(0.5)


def _new_lines(where: Place, sizes: dict[Path, int]) -> str:
    """What was logged since the files had these sizes; only the reasons, if any is given."""
    lines: list[str] = []
    for path in sorted(where.log.iterdir()):
        content = path.read_bytes()
        before = sizes.get(path, 0)
        lines += content[before if before <= len(content) else 0 :].decode(errors="replace").splitlines()
    return "\n".join([line for line in lines if "FATAL:" in line or "PANIC:" in line] or lines)


def _postmaster(where: Place) -> int | None:
    """The process id of the cluster's living postmaster, or None."""
    pid = _written_pid(where)
    return pid if pid is not None and _is_postgres(pid, where) else None


def _written_pid(where: Place) -> int | None:
    try:
        first = (where.data / "postmaster.pid").read_text(encoding="utf-8", errors="replace").partition("\n")[0]
    except FileNotFoundError:
        return None
    return int(first) if first.strip().isdigit() else None


def _is_postgres(pid: int, where: Place) -> bool:
    """Is this process, and not a zombie or a newcomer with the same number, the postmaster of this cluster?"""
    if not Path("/proc/self/stat").exists():
        return _answers_signal(pid)
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX" and os.fsencode(where.data) in arguments


def _answers_signal(pid: int) -> bool:
    """Where there is no /proc: does the process exist at all?"""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _remove_stale_locks(where: Place) -> None:
    """PostgreSQL takes a zombie, or a newcomer with the old number, for a living server of the same folders.

    The memory block, which it checks next, is the interlock that counts: it knows of orphaned processes.
    """
    if _postmaster(where) is not None:
        return
    name = where.socket / f".s.PGSQL.{PORT}"
    for path in (where.data / "postmaster.pid", name, name.with_name(f"{name.name}.lock")):
        path.unlink(missing_ok=True)


def _make_database(where: Place, database: str) -> None:
    """The role and its database, if they are not there."""
    with psycopg.connect(**where.parameters("postgres", SUPERUSER), autocommit=True, connect_timeout=10) as connection:
        if not connection.execute("select 1 from pg_roles where rolname = %s", [ROLE]).fetchone():
            connection.execute(sql.SQL("create role {} login createdb").format(sql.Identifier(ROLE)))
        if not connection.execute("select 1 from pg_database where datname = %s", [database]).fetchone():
            command = sql.SQL("create database {} owner {}")
            connection.execute(command.format(sql.Identifier(database), sql.Identifier(ROLE)))
