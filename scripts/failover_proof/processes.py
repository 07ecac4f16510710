"""Processes that the proof starts, and the signals that they get. Linux: the relatives of a process are in /proc."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from clinical_records.postgres_programs import Account

END_SECONDS = 20


class NotStarted(RuntimeError):
    """A part of a cluster does not come up; the text says which, and what it wrote."""


def launch(
    command: Sequence[str | Path], log: Path, account: Account | None, *, cwd: Path, **environment: str
) -> subprocess.Popen[bytes]:
    """Start one program in its own session, as `account`; what it says is added to `log`."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [str(word) for word in command],
            cwd=cwd,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )


def kill(pids: Sequence[int]) -> None:
    """kill -9; returns when they are gone. Raises TimeoutError."""
    send(pids, signal.SIGKILL)
    deadline = time.monotonic() + END_SECONDS
    while any(_stat(pid)[:1] not in ([], ["Z"], ["X"]) for pid in pids):
        if time.monotonic() > deadline:
            raise TimeoutError(f"Some of the processes {pids} do not end.")
        time.sleep(0.01)


def send(pids: Sequence[int], number: signal.Signals) -> None:
    """A signal to those that are still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def postmaster(data: Path) -> int | None:
    """The process id in the data folder's postmaster.pid; None where there is none."""
    try:
        return int((data / "postmaster.pid").read_text().split()[0])
    except (FileNotFoundError, IndexError, ValueError):
        return None


def family(parent: int) -> list[int]:
    """The process and its children, as they are at this moment."""
    return [parent, *(pid for pid in _all() if _stat(pid)[1:2] == [str(parent)])]


def _all() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _stat(pid: int) -> list[str]:
    """State, parent … of https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html; [] where there is no process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def free_ports(number: int, first: int) -> list[int]:
    """So many ports of 127.0.0.1 from `first` on that nobody uses. They lie below those of outgoing connections."""
    found: list[int] = []
    for port in range(first, first + 2000):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                found.append(port)
        if len(found) == number:
            return found
    raise NotStarted(f"There are no {number} free ports from {first} on.")
