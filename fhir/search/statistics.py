"""How frequent a term is, from what ANALYZE has seen: the choice between the index on terms and the walk by date."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterable, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from fhir import citus, database
from fhir.exceptions import Unavailable

logger = logging.getLogger(__name__)

# The most common elements are few (about a thousand), so that one answer holds them all.
_COLUMNS = """c.reltuples, s.most_common_elems::text::bigint[], s.most_common_elem_freqs,
 t.most_common_vals::text::smallint[], t.most_common_freqs"""
_FROM = """FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 LEFT JOIN pg_stats s ON s.tablename = c.relname AND s.attname = 'terms' AND s.schemaname = n.nspname
 LEFT JOIN pg_stats t ON t.tablename = c.relname AND t.attname = 'type' AND t.schemaname = n.nspname"""
_SQL = f"SELECT {_COLUMNS} {_FROM} WHERE c.oid = 'resource'::regclass"
# ANALYZE leaves nothing about a distributed table itself, only about its shards: each is asked for its own.
_OF_SHARDS = f"""SELECT success, result FROM run_command_on_shards('resource',
 $command$SELECT json_build_array({_COLUMNS}) {_FROM} WHERE c.oid = '%%s'::regclass$command$)"""
_SECONDS = 300.0


@dataclass(slots=True)
class Statistics:
    """Rows of the resource table, and the shares of them that hold the most common terms and are of each type."""

    rows: float = 0.0
    frequencies: dict[int, float] = field(default_factory=dict)
    types: dict[int, float] = field(default_factory=dict)
    read_at: float = -_SECONDS

    def expected(self, terms: tuple[int, ...]) -> float:
        """About how many resources hold one of these terms; terms that are not common count as none."""
        return self.rows * min(1.0, sum(self.frequencies.get(term, 0.0) for term in terms))

    def of_type(self, number: int) -> float:
        """About how many resources there are of a type."""
        return self.rows * self.types.get(number, 0.0)


_known = Statistics()


def current() -> Statistics:
    """The statistics of the last five minutes, read again when they are older.

    That is one round trip; on Citus, where all nodes are asked, a thread does it, and nobody waits: until it has an
    answer, and while a node does not give one, what was known before goes on to be used.
    """
    now = time.monotonic()
    if now - _known.read_at >= _SECONDS:
        _known.read_at = now
        # In a context of its own, because it is not part of what the request costs.
        if Context().run(citus.distributed):
            threading.Thread(target=_ask_shards, name="statistics", daemon=True).start()
        else:
            _take([Context().run(database.fetch, _SQL)[0]])
    return _known


def _ask_shards() -> None:
    try:
        answers = database.fetch(_OF_SHARDS)
        if all(success for success, _result in answers):
            _take([json.loads(result) for _success, result in answers])
    except Unavailable:
        logger.warning("The shards cannot be asked for their statistics; those of before are used")
    except Exception:
        logger.exception("The statistics of the shards cannot be read")
    finally:
        connection.close()


def _take(parts: Iterable[Sequence[Any]]) -> None:
    """Makes the whole of the statistics of all shards, or of the one table."""
    rows = 0.0
    frequencies: dict[int, float] = {}
    types: dict[int, float] = {}
    for found, elements, shares, numbers, type_shares in parts:
        here = max(0.0, found)
        if not here:  # never analyzed, or empty
            continue
        rows += here
        # After the frequencies come their smallest, largest and that of NULL.
        for whole, names, each in ((frequencies, elements, shares), (types, numbers, type_shares)):
            for name, share in zip(names or (), each or (), strict=False):
                whole[name] = whole.get(name, 0.0) + share * here
    _known.rows = rows
    _known.frequencies = {term: number / rows for term, number in frequencies.items()}
    _known.types = {kind: number / rows for kind, number in types.items()}
