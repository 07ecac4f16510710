"""CPU time of process trees from Linux's /proc: the scheduler's nanoseconds, not the 10 ms ticks of utime and stime."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_PROC = Path("/proc")
_NANOSECONDS = 1_000_000_000


def _children() -> dict[int, list[int]]:
    """The process ids that live now, by their parents'."""
    found: dict[int, list[int]] = {}
    for entry in os.listdir(_PROC):
        if entry.isdigit():
            above = parent(int(entry))
            if above is not None:
                found.setdefault(above, []).append(int(entry))
    return found


def parent(pid: int) -> int | None:
    """The process id of its parent; None for a process that has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:  # read for every process of the machine
            return int(file.read().rpartition(b")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None


def seconds(*roots: int) -> list[dict[tuple[int, int], float]]:
    """CPU seconds so far of each (process, thread) of the trees of `roots`, a dict for each root."""
    children = _children()
    return [_of_tree(root, children) for root in roots]


def _of_tree(root: int, children: Mapping[int, list[int]]) -> dict[tuple[int, int], float]:
    tree = [root]
    for pid in tree:
        tree.extend(children.get(pid, ()))
    used: dict[tuple[int, int], float] = {}
    for pid in tree:
        try:
            threads = os.listdir(_PROC / str(pid) / "task")
        except (FileNotFoundError, ProcessLookupError):
            continue
        for thread in threads:
            time = _thread_seconds(pid, int(thread))
            if time is not None:
                used[(pid, int(thread))] = time
    return used


def _thread_seconds(pid: int, thread: int) -> float | None:
    folder = _PROC / str(pid) / "task" / str(thread)
    try:
        return int((folder / "schedstat").read_text().split()[0]) / _NANOSECONDS
    except (FileNotFoundError, ProcessLookupError, IndexError):
        pass
    try:  # a kernel without CONFIG_SCHED_INFO has ticks only
        fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def reaped(root: int) -> float:
    """CPU seconds so far of the children of `root` that have ended, in ticks of the kernel (10 ms)."""
    fields = (_PROC / str(root) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def between(before: dict[tuple[int, int], float], after: dict[tuple[int, int], float]) -> float:
    """CPU seconds used between two calls of `seconds`; threads born in between count from their birth.

    What a thread used that ended in between is lost: the processes that are measured here keep theirs.
    """
    return sum(time - before.get(key, 0.0) for key, time in after.items())
