"""One PostgreSQL server in one folder: made, configured, started, stopped, and told from what a kill left behind.

The embedded PostgreSQL is one of these, and a local cluster is several.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from clinical_records import postgres_programs as programs

logger = logging.getLogger(__name__)

SUPERUSER = "postgres"
START_SECONDS = 120
ORPHAN_SECONDS = 60

SETTINGS = {
    "max_connections": "100",
    "shared_buffers": "256MB",
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


class PostgresError(RuntimeError):
    """The server cannot be started or stopped; the text says what to do."""


class ServerFolder:
    """The folder of one server, with its `data` and `log` inside."""

    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def lock_files(self) -> tuple[Path, ...]:
        """What a server that was killed leaves, and the next one would take for a living server."""
        return (self.data / "postmaster.pid",)


def make_folder(folder: Path, account: programs.Account | None) -> None:
    """A folder of mode 0700, owned by the server's account. Raises PermissionError if it belongs to another."""
    owner = account.uid if account else os.geteuid()
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        status = folder.lstat()
        if not folder.is_dir() or folder.is_symlink() or status.st_uid not in {owner, os.geteuid()}:
            raise PermissionError(errno.EPERM, "of another account", str(folder)) from None
    if account:
        os.chown(folder, account.uid, account.gid)
    folder.chmod(0o700)


def initialize(
    where: ServerFolder,
    program_folder: Path,
    account: programs.Account | None,
    *,
    durable: bool,
    password_file: Path | None = None,
) -> None:
    """initdb, once; every login is trusted, or with `password_file` the superuser's takes the password in it.

    A half-made server of an interrupted run is thrown away: it never was `data`. Raises PostgresError.
    """
    if (where.data / "PG_VERSION").exists():
        return
    half_made = where.folder / "data.initializing"
    shutil.rmtree(half_made, ignore_errors=True)
    command = [
        *(program_folder / "initdb", "-D", half_made, "-U", SUPERUSER),
        *(["--auth=scram-sha-256", f"--pwfile={password_file}"] if password_file else ["--auth=trust"]),
        *("--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums"),
        *([] if durable else ["--no-sync"]),
    ]
    result = programs.run(command, account)
    if result.returncode:
        raise PostgresError(f"initdb failed: {result.stdout.strip()}")
    half_made.rename(where.data)


def configure(where: ServerFolder, account: programs.Account | None, settings: Mapping[str, str]) -> None:
    """Our settings in their own file, written anew at each start so that a newer release can change them."""
    own = where.data / "clinical_records.conf"
    written = {**settings, "log_directory": quoted(where.log)}
    own.write_text("".join(f"{name} = {value}\n" for name, value in written.items()), encoding="utf-8")
    if account:
        os.chown(own, account.uid, account.gid)
    main = where.data / "postgresql.conf"
    include = f"include_if_exists = '{own.name}'\n"
    if include not in main.read_text(encoding="utf-8"):
        with main.open("a", encoding="utf-8") as file:
            file.write(include)


def quoted(value: Path | str) -> str:
    """A text of postgresql.conf."""
    return "'" + str(value).replace("'", "''") + "'"


def start(
    where: ServerFolder,
    program_folder: Path,
    account: programs.Account | None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """pg_ctl start, with `environment` besides the usual one; waits for the processes that a killed server left.

    Raises PostgresError.
    """
    deadline = time.monotonic() + ORPHAN_SECONDS
    command = [
        *(program_folder / "pg_ctl", "start", "-D", where.data, "-l", where.log / "start.log"),
        *("-w", "-t", str(START_SECONDS), "-s"),
    ]
    while True:
        _remove_stale_locks(where)
        sizes = {path: path.stat().st_size for path in where.log.iterdir()}
        result = programs.run(command, account, environment)
        if not result.returncode:
            return
        said = _new_lines(where, sizes) or result.stdout
        if "is still in use" not in said or time.monotonic() > deadline:
            raise PostgresError(f"PostgreSQL does not start: {said.strip()}\nIts log is in {where.log}.")
        logger.warning("Waiting for the processes of a killed PostgreSQL to end.")
        time.sleep(0.5)


def stop(where: ServerFolder, program_folder: Path, account: programs.Account | None, *, mode: str = "fast") -> None:
    """pg_ctl stop, if the server runs. Raises PostgresError."""
    if postmaster(where) is None:
        return
    command = [program_folder / "pg_ctl", "stop", "-D", where.data, "-m", mode, "-w", "-t", "60", "-s"]
    result = programs.run(command, account)
    if result.returncode and postmaster(where) is not None:
        raise PostgresError(f"PostgreSQL does not stop: {result.stdout.strip()}")


def postmaster(where: ServerFolder) -> int | None:
    """The process id of the living server, or None."""
    pid = _written_pid(where)
    return pid if pid is not None and _is_postgres(pid, where) else None


def _new_lines(where: ServerFolder, sizes: dict[Path, int]) -> str:
    """What was logged since the files had these sizes; only the reasons, if any is given."""
    lines: list[str] = []
    for path in sorted(where.log.iterdir()):
        content = path.read_bytes()
        before = sizes.get(path, 0)
        lines += content[before if before <= len(content) else 0 :].decode(errors="replace").splitlines()
    return "\n".join([line for line in lines if "FATAL:" in line or "PANIC:" in line] or lines)


def _written_pid(where: ServerFolder) -> int | None:
    try:
        first = (where.data / "postmaster.pid").read_text(encoding="utf-8", errors="replace").partition("\n")[0]
    except FileNotFoundError:
        return None
    return int(first) if first.strip().isdigit() else None


def _is_postgres(pid: int, where: ServerFolder) -> bool:
    """Is this process, and not a zombie or a newcomer with the same number, the postmaster of this folder?"""
    if not Path("/proc/self/stat").exists():
        return exists(pid)
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX" and os.fsencode(where.data) in arguments


def exists(pid: int) -> bool:
    """Is there a process of this number at all?"""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _remove_stale_locks(where: ServerFolder) -> None:
    """PostgreSQL takes a zombie, or a newcomer with the old number, for a living server of the same folders.

    The memory block, which it checks next, is the interlock that counts: it knows of orphaned processes.
    """
    if postmaster(where) is None:
        for path in where.lock_files:
            path.unlink(missing_ok=True)
