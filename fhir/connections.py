"""Is the connection that a thread has kept still one?"""

from __future__ import annotations

import select
from typing import Any

import psycopg
from django.db import connection
from psycopg.pq import ConnStatus, TransactionStatus


def drop_if_hung_up() -> None:
    """Lets go of this thread's connection if the server has ended it: the next statement gets a new one."""
    if connection.connection is not None and _hung_up(connection.connection):
        connection.close()


def _hung_up(kept: psycopg.Connection[Any]) -> bool:
    """An idle connection has nothing to say: what can be read from its socket is most often the server's farewell."""
    if kept.closed:
        return True
    if kept.pgconn.transaction_status != TransactionStatus.IDLE:
        return False
    poll = select.poll()
    poll.register(kept.pgconn.socket, select.POLLIN)
    try:
        # A parameter that was changed is told too, so only the end of what there is to read says that it is the end.
        while poll.poll(0) and kept.pgconn.status == ConnStatus.OK:
            kept.pgconn.consume_input()
    except psycopg.Error:
        return True
    return kept.pgconn.status != ConnStatus.OK
