"""Reindexing beside the requests of a server: one thread in one of its processes.

docs/decisions/0030-reindex-in-the-server.md says why a thread. Every process that takes notice of work begins one; the
lock that it needs is one for all processes and ends with its connection, so that the next takes over from a killed one.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from uuid import uuid4

from django.db import connection

from audit import recorder

from . import database, ids, nodes, reindex
from .exceptions import Unavailable
from .search import custom
from .versions import now

logger = logging.getLogger(__name__)

NAME = "server"
# After each batch the thread rests as long as the batch took: requests come first.
_REST = 1.0
# How long the thread waits for what its process expects, such as a SearchParameter about to be stored.
_LINGER_SECONDS = 5.0
# A process that found nothing to do, or another one at work, does not look again for so long.
_PAUSE_SECONDS = 5.0
_LOCK = "SELECT pg_try_advisory_lock(%s::bigint)"

_guard = threading.Lock()
_worker: tuple[int, threading.Thread] | None = None
_not_before = 0.0
_linger_until = 0.0


def serve() -> None:
    """From now on the processes of this server, and those forked from it, do the work of reindexing."""
    custom.on_work = wake


def wake(expected: bool) -> None:
    """There is work, or it is `expected` within seconds: a thread does it, unless this process has one.

    A process that found nothing to do, or another one at work, has rest for a while.
    """
    global _worker, _linger_until
    with _guard:
        if expected:
            _linger_until = time.monotonic() + _LINGER_SECONDS
        running = _worker is not None and _worker[0] == os.getpid() and _worker[1].is_alive()
        if running or (time.monotonic() < _not_before and not expected):
            return
        thread = threading.Thread(target=_run, name="reindex", daemon=True)
        _worker = (os.getpid(), thread)
        thread.start()


def _run() -> None:
    global _not_before
    try:
        while not database.fetch(_LOCK, (ids.hash64("reindex/server"),))[0][0]:
            if time.monotonic() > _linger_until:
                return
            time.sleep(0.25)  # whoever has the lock may be about to leave
        # Counting and looking through whole types takes longer than a request may.
        database.fetch("SET statement_timeout = 0")
        with nodes.unhurried():
            _work()
    except Unavailable:
        logger.warning("Reindexing stopped; the next request begins it again")
    except Exception:
        logger.exception("Reindexing failed")
    finally:
        _not_before = time.monotonic() + _PAUSE_SECONDS
        connection.close()


def _work() -> None:
    """Until there is nothing to do, and nothing expected."""
    while work_once() or time.monotonic() < _linger_until:
        time.sleep(0.25)


def work_once() -> bool:
    """Begins a job for custom parameters that need one, and does what there is to do; whether there was anything."""
    reindex.begin_for_new(NAME, _audit_row())
    jobs = reindex.open_jobs()
    for job in jobs:
        try:
            reindex.work(job.id, rest=_REST)
        except Unavailable:
            raise
        except Exception:
            reindex.fail(job.id)
            logger.exception("Reindexing %s failed", job.id)
    return bool(jobs)


def _audit_row() -> recorder.Row:
    return recorder.record(
        None,
        interaction="operation",
        bucket=None,
        status=202,
        request_id=uuid4(),
        client="",
        at=now(),
        query="$reindex",
    )
