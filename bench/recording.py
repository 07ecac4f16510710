"""The SQL of an interaction: recorded while the interaction runs, given back with ids of its own for each replay."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from unittest import mock

from audit import recorder
from fhir import database, ids
from fhir.database import Statement

# The statements of each round trip, in order.
Trips = list[list[Statement]]

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[78][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


class Recording:
    """What one interaction sent, and which of the ids in it were made for it."""

    def __init__(self) -> None:
        self.trips: Trips = []
        self.resource_ids: list[str] = []
        self.audit_ids: list[str] = []

    def copy(self) -> Trips:
        """The same round trips for other resources in the same buckets, with other audit rows."""
        fresh = {old: ids.new_id(ids.bucket_of(old)) for old in self.resource_ids}
        now = datetime.now(UTC)
        fresh |= {old: recorder.time_ordered_id(now) for old in self.audit_ids}
        # Some statements carry their values in the text (fhir.search.binding).
        return [[(_replaced(sql, fresh), _replaced(parameters, fresh)) for sql, parameters in t] for t in self.trips]


def _replaced(value: Any, fresh: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return _UUID.sub(lambda found: fresh.get(found[0], found[0]), value)
    if isinstance(value, dict):
        return {key: _replaced(member, fresh) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(item, fresh) for item in value]
    return value


@contextmanager
def recording() -> Iterator[Recording]:
    """Records what is sent inside the block, which must be undone by the caller's transaction."""
    made = Recording()
    fetch, send = database.fetch, database._send
    new_id, audit_id = ids.new_id, recorder.time_ordered_id

    def recorded_fetch(sql: str, parameters: Any = ()) -> list[database.Row]:
        made.trips.append([(sql, parameters)])
        return fetch(sql, parameters)

    def recorded_send(connection: Any, statements: Sequence[Statement]) -> list[list[database.Row]]:
        made.trips.append(list(statements))
        return send(connection, statements)

    def recorded_id(*args: Any, **options: Any) -> str:
        made.resource_ids.append(new_id(*args, **options))
        return made.resource_ids[-1]

    def recorded_audit_id(at: datetime) -> str:
        made.audit_ids.append(audit_id(at))
        return made.audit_ids[-1]

    with (
        mock.patch.object(database, "fetch", recorded_fetch),
        mock.patch.object(database, "_send", recorded_send),
        mock.patch.object(ids, "new_id", recorded_id),
        mock.patch.object(recorder, "time_ordered_id", recorded_audit_id),
    ):
        yield made


def record(interaction: Callable[[], Any]) -> Recording:
    """What `interaction` sends; what it stores is rolled back."""
    connection = database.raw()
    connection.execute("BEGIN")
    try:
        with recording() as made:
            interaction()
    finally:
        connection.execute("ROLLBACK")
    return made


def copies(recordings: Sequence[Recording], count: int, rng: random.Random) -> list[Trips]:
    """`count` replays, drawn from the recordings."""
    return [rng.choice(recordings).copy() for _number in range(count)]
