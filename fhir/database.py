"""Round trips to PostgreSQL: every statement of the FHIR store goes through here.

One call of `fetch`, `batch` or of a Transaction's methods is one round trip: the client sends, waits once, and reads
all answers. `trips()` counts them, so that tests can pin what each interaction costs. A pipeline without BEGIN is not
atomic on Citus, so several statements that write go into one `batch(…, atomic=True)` or a Transaction.
"""

from __future__ import annotations

import itertools
import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any, TypeVar

import psycopg
from django.db import connection as django_connection
from django.utils.translation import gettext_lazy as _
from psycopg import errors
from psycopg.pq import TransactionStatus

from . import connections, local_shards, nodes
from .exceptions import Conflict, Unavailable

logger = logging.getLogger(__name__)

Row = tuple[Any, ...]
Statement = tuple[str, Any]
T = TypeVar("T")

ATTEMPTS = 6
_counter: ContextVar[list[int] | None] = ContextVar("trips", default=None)

# Another transaction came first; starting again from the request is right.
COLLISIONS = (errors.SerializationFailure, errors.DeadlockDetected, errors.UniqueViolation)
# Connection exceptions, out of resources (disk full among them), shutdown and restart of a node.
_UNAVAILABLE_CLASSES = ("08", "53", "57", "58")
# What Citus says in English, whatever the locale, with the code of an internal error: before it commits anywhere, and
# after a node has failed to say that it has.
_NOT_COMMITTED = "failure on connection marked as essential"
_PERHAPS_COMMITTED = (
    "could not commit transaction",
    # libpq's words, which Citus passes on where a node goes while it commits or prepares.
    "server closed the connection unexpectedly",
    "no connection to the server",
    "connection not open",
    # Of the coordinator, whose own server has gone while it waited for a node.
    "postmaster was shut down",
    "could not receive data from server",
    "could not send data to server",
)
_numbers = itertools.count()
# What a primary says that has become a standby.
_READ_ONLY = "25006"
# That, and a lock that is not given.
_UNAVAILABLE = ("55P03", _READ_ONLY)
# What a node says that has not done what it was asked for: it goes down, comes up, or is no primary any more.
_REFUSALS = ("57P01", "57P02", "57P03", _READ_ONLY)
_TRY_AGAIN = _("The records cannot be reached at the moment. Please try again.")


class Collision(Exception):
    """A concurrent write came first: start again from the request (`retry`)."""


@contextmanager
def trips() -> Iterator[list[int]]:
    """Counts round trips inside the block: the first item of the list."""
    count = [0]
    token = _counter.set(count)
    try:
        yield count
    finally:
        _counter.reset(token)


def _count() -> None:
    count = _counter.get()
    if count is not None:
        count[0] += 1


def raw() -> psycopg.Connection[Row]:
    """psycopg's connection under Django's, in autocommit; a new one if the server hung up. Raises Unavailable."""
    connections.drop_if_hung_up()
    if django_connection.connection is None:
        try:
            django_connection.ensure_connection()
        except Exception as error:
            raise _unavailable(error) from error
    return django_connection.connection  # type: ignore[no-any-return]


def here(bucket: int | None) -> local_shards.Shard | None:
    """The shard of a bucket where statements about it go past Citus: on its only node. Raises Unavailable."""
    if bucket is None:
        return None
    connection = raw()
    try:
        return local_shards.of(connection, bucket)
    except psycopg.Error as error:
        abandon(connection)
        raise _translated(error, connection) from error


def at(bucket: int | None, statement: Statement) -> Statement:
    """A statement all of whose rows lie in one bucket, as it is to be sent. Raises Unavailable."""
    shard = here(bucket)
    return statement if shard is None else shard.at(statement)


def _unavailable(error: BaseException, **more: bool) -> Unavailable:
    logger.error("PostgreSQL cannot answer: %s", type(error).__name__, exc_info=error)
    return Unavailable(_TRY_AGAIN, **more)


def _translated(error: psycopg.Error, connection: psycopg.Connection[Row]) -> Exception:
    """What an error of PostgreSQL means to an interaction; errors of our own making stay as they are."""
    if isinstance(error, COLLISIONS) or (isinstance(error, errors.InternalError_) and "duplicate key" in str(error)):
        return Collision(type(error).__name__)
    if isinstance(error, errors.QueryCanceled):
        logger.warning("A statement ran into the timeout")
        text = _("The question took too long and was stopped. Narrow it, or try again later.")
        return Unavailable(text, code="timeout", retry_after=30)
    state = error.sqlstate or ("08000" if isinstance(error, psycopg.OperationalError) else "")
    if isinstance(error, errors.InternalError_):
        state = _state_of(str(error)) or state
    if state[:2] not in _UNAVAILABLE_CLASSES and state not in _UNAVAILABLE:
        return error
    # Only a session that lives can know that nothing was done: of a broken one the last answer may have been lost.
    undone = not connection.closed and state in _REFUSALS
    if state == _READ_ONLY:
        connection.close()  # the next one goes to whoever is the primary now
    elif not connection.closed:
        nodes.suspect()
    connections.drop_if_hung_up()
    return _unavailable(error, lost=state[:2] in ("08", "57") or state == _READ_ONLY, undone=undone)


def _state_of(text: str) -> str:
    """The SQLSTATE that says what Citus says with XX000, "" for other texts."""
    if _NOT_COMMITTED in text:
        return "57P01"
    return "08007" if any(words in text for words in _PERHAPS_COMMITTED) else ""


def _require_open(statements: Sequence[Statement]) -> None:
    """Raises Unavailable where the statements would wait for a node that does not answer."""
    if nodes.closed_to(statements):
        raise Unavailable(_TRY_AGAIN)


def _send(connection: psycopg.Connection[Row], statements: Sequence[Statement]) -> list[list[Row]]:
    _count()
    _require_open(statements)
    begun = _in_transaction(connection)
    sent, places = local_shards.held(statements, begun=begun)
    try:
        with nodes.Waiting(connection, statements), connection.pipeline():
            cursors = [connection.execute(sql, parameters) for sql, parameters in sent]
        return [cursors[n].fetchall() if cursors[n].description else [] for n in places]
    except psycopg.Error as error:
        abandon(connection)
        _forget_prepared(connection)
        if error.sqlstate != local_shards.MOVED:
            raise _translated(error, connection) from error
    return _send(connection, _through_citus(connection, statements, begun=begun))


def _through_citus(
    connection: psycopg.Connection[Row], statements: Sequence[Statement], *, begun: bool
) -> list[Statement]:
    """What is to be sent instead, where a shard could not be held: nothing has been done yet.

    Raises Collision where that takes another beginning.
    """
    local_shards.forget(connection)
    statements = local_shards.routed(statements) or ()
    if begun or not statements:
        raise Collision("a shard has moved")
    return list(statements)


def _forget_prepared(connection: psycopg.Connection[Row]) -> None:
    """After an error in a pipeline: no statement counts as prepared any more.

    psycopg takes those behind the failed one for prepared, if this was their second use, though PostgreSQL has skipped
    them; from then on it would send names that do not exist (26000). It forgets all names when it sees a DEALLOCATE
    ALL, but looks for one only in a statement that it has not seen before: hence the number.
    """
    if connection.closed:
        return
    try:
        connection.execute(f"DEALLOCATE ALL -- {next(_numbers)}")
    except psycopg.Error:
        connection.close()


def abandon(connection: psycopg.Connection[Row]) -> None:
    """Ends a failed transaction, so that the connection can serve the next request; a broken one is dropped."""
    if connection.closed or connection.pgconn.transaction_status == TransactionStatus.IDLE:
        return
    try:
        with nodes.Waiting(connection, (("ROLLBACK", None),)):
            connection.execute("ROLLBACK")
    except psycopg.Error:
        connection.close()


def fetch(sql: str, parameters: Any = ()) -> list[Row]:
    """One statement, one round trip; its rows, [] where it has none. Raises Unavailable, Collision."""
    connection, statements = raw(), ((sql, parameters),)
    if isinstance(sql, local_shards.ShardSQL):
        return _send(connection, statements)[0]
    _count()
    _require_open(statements)
    try:
        with nodes.Waiting(connection, statements):
            cursor = connection.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else []
    except psycopg.Error as error:
        abandon(connection)
        raise _translated(error, connection) from error


_BEGIN: Statement = ("BEGIN", None)
_COMMIT: Statement = ("COMMIT", None)


def batch(statements: Sequence[Statement], *, atomic: bool = False) -> list[list[Row]]:
    """Several statements in one round trip; the rows of each. `atomic` frames them in BEGIN and COMMIT.

    Raises Unavailable, Collision; then nothing of an atomic batch is stored.
    """
    connection = raw()
    if not atomic or _in_transaction(connection):
        return _send(connection, statements)
    return _send(connection, [_BEGIN, *statements, _COMMIT])[1:-1]


def in_transaction() -> bool:
    """Whether this thread's connection has begun a transaction."""
    return _in_transaction(raw())


def _in_transaction(connection: psycopg.Connection[Row]) -> bool:
    return connection.pgconn.transaction_status == TransactionStatus.INTRANS


class Transaction:
    """BEGIN … COMMIT over several round trips; BEGIN travels with the first, COMMIT with the last statements.

    Leaving the block without `commit` rolls back. Inside another Transaction it is a part of that one, which alone
    begins and commits.
    """

    def __init__(self) -> None:
        self.connection = raw()
        self.nested = _in_transaction(self.connection)
        self.begun = self.nested
        self.committed = False

    def __enter__(self) -> Transaction:
        return self

    def send(self, statements: Sequence[Statement]) -> list[list[Row]]:
        """One round trip inside the transaction; the rows of each statement."""
        if self.begun:
            return _send(self.connection, statements)
        self.begun = True
        return _send(self.connection, [_BEGIN, *statements])[1:]

    def commit(self, statements: Sequence[Statement] = ()) -> list[list[Row]]:
        """The last round trip; after it everything is stored."""
        begin = () if self.begun else (_BEGIN,)
        end = () if self.nested else (_COMMIT,)
        rows = _send(self.connection, [*begin, *statements, *end])
        self.committed = True
        return rows[len(begin) : len(rows) - len(end)]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.committed:
            abandon(self.connection)


def retry(attempt: Callable[[], T]) -> T:
    """`attempt` again from the start while concurrent writes come first. Raises Conflict (409) in the end."""
    if _in_transaction(raw()):
        return attempt()  # whoever began the transaction starts it again
    for number in range(ATTEMPTS):
        try:
            return attempt()
        except Collision:
            time.sleep(random.uniform(0, 0.01 * 2**number))
    raise Conflict(_("Other writes to the same record came first. Read it again and repeat the change."))
