"""The search parameters that clients define by storing SearchParameter resources.

https://hl7.org/fhir/R4/searchparameter.html. The stored resources themselves are the registry, in the copies that the
coordinator has of them (fhir.stored_definitions): their number of versions tells every process, in one small question
every CHECK_SECONDS, whether something has changed. What is remembered beside them, in the table custom_parameter, is
only which of them all resources are indexed for (fhir.reindex).

A process thus knows of a definition CHECK_SECONDS after it was stored, at the latest when it prepares its next write.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from fhir import database, json, stored_definitions
from fhir.definitions.search_parameters import SearchParameter
from fhir.definitions.structure import TYPE_NUMBER
from fhir.exceptions import Unprocessable

from . import catalogue, custom_rows, defining, extract
from .catalogue import Parameter

logger = logging.getLogger(__name__)

CHECK_SECONDS = 2.0
# After a SearchParameter was checked it is stored: so long this process looks again at every use.
_WATCH_SECONDS = 5.0

_STATES = "SELECT name, version, ready_at IS NOT NULL FROM custom_parameter"
_WORK = "SELECT EXISTS (SELECT FROM reindex_job WHERE finished IS NULL AND not_before <= now())"
_STORED = """SELECT id, version, body FROM stored_definition
 WHERE type = %s::smallint AND body IS NOT NULL ORDER BY id"""
# A new version of a definition may mean that some writes in between did not know it: its resources are looked at anew.
_NOTICE = """INSERT INTO custom_parameter (name, type, resource_id, version, base_url, since, ready_at)
 SELECT x.name, x.type, x.resource_id, x.version, %s, now(), NULL
 FROM unnest(%s::text[], %s::smallint[], %s::text[], %s::int[]) AS x(name, type, resource_id, version)
 ON CONFLICT (name) DO UPDATE SET version = excluded.version, since = excluded.since, ready_at = NULL
 WHERE custom_parameter.version < excluded.version"""
_FORGET = "DELETE FROM custom_parameter WHERE NOT name = ANY(%s::text[])"
_TYPE = TYPE_NUMBER["SearchParameter"]


@dataclass(frozen=True, slots=True)
class Definition:
    """One parameter of one type, with the SearchParameter and the version of it that defines it."""

    parameter: Parameter
    resource_id: str
    version: int

    @property
    def name(self) -> str:
        """What it is called in the tables: "Type.code~fingerprint"."""
        return name_of(self.parameter)


@dataclass(frozen=True, slots=True)
class Registry:
    """What this process knows. `ready` are the names of those that all resources are indexed for."""

    version: int = 0
    definitions: Mapping[str, Definition] = field(default_factory=dict)
    by_url: Mapping[str, SearchParameter] = field(default_factory=dict)
    ready: frozenset[str] = frozenset()


_registry = Registry()
_lock = threading.Lock()
_next_check = 0.0
_watched_until = 0.0
# The address under which this process is used.
_base_url = f"{settings.PUBLIC_BASE_URL}{settings.FHIR_BASE_PATH}"
# Told when there is something to reindex, or (True) will be soon; set by the server, which does it beside its requests.
on_work: Callable[[bool], None] | None = None


def name_of(parameter: Parameter) -> str:
    """The name of a custom parameter in the tables."""
    return f"{parameter.resource_type}.{parameter.stored_as[0]}"


def registry() -> Registry:
    """What this process knows; see `refresh`."""
    return _registry


def refresh(base_url: str = "", *, now: bool = False) -> bool:
    """Takes notice of what has changed, unless that was done less than CHECK_SECONDS ago; whether something had.

    Every write and every search comes through here, with the address it came to. Raises Unavailable.
    """
    global _next_check, _base_url
    moment = time.monotonic()
    if not now and moment < _next_check and moment > _watched_until:
        return False
    _base_url = base_url or _base_url
    with _lock:  # those who wait would ask the same
        moment = time.monotonic()
        if not now and moment < _next_check and moment > _watched_until:
            return False
        changed = _refresh()
        _next_check = moment + CHECK_SECONDS
    return changed


def watch() -> None:
    """A SearchParameter is about to be stored or deleted by this process: it shall know at once."""
    global _watched_until
    _watched_until = time.monotonic() + _WATCH_SECONDS
    if on_work is not None:
        on_work(True)


def _refresh() -> bool:
    with database.trips():  # none of the trips that an interaction is held to
        answers = database.batch([(stored_definitions.VERSION_SQL, (_TYPE,)), (_STATES, ()), (_WORK, ())])
        ((version,),), states, ((working,),) = answers
        changed = bool(version != _registry.version)
        if changed:
            _load(version)
        if {(name, number) for name, number, _ready in states} != _expected() and not database.in_transaction():
            _reconcile()
            states = database.fetch(_STATES)
    _mark_ready(states)
    if on_work is not None and (working or len(_registry.ready) < len(_registry.definitions)):
        on_work(False)
    return changed


def _expected() -> set[tuple[str, int]]:
    return {(d.name, d.version) for d in _registry.definitions.values()}


def _load(version: int) -> None:
    """Makes everything anew from the stored SearchParameters, and then lets all of it hold at once."""
    global _registry
    stored = [(rid, number, json.loads(body)) for rid, number, body in database.fetch(_STORED, (_TYPE,))]
    by_url = {r["url"]: defining.described(r) for _id, _version, r in stored if r["status"] in defining.USED}
    taken: dict[tuple[str, str], str] = {}
    definitions: dict[str, Definition] = {}
    for resource_id, number, resource in stored:
        try:
            found = defining.define(resource, lambda kind, code: taken.get((kind, code)), by_url)
        except Unprocessable as error:
            # Two came at the same time, or the rules were others when it was stored.
            logger.warning("SearchParameter/%s is not used: %s", resource_id, error)
            continue
        for parameter in found:
            taken[parameter.resource_type, parameter.code] = resource_id
            definition = Definition(parameter, resource_id, number)
            definitions[definition.name] = definition
    _registry = Registry(version, definitions, by_url, _registry.ready)
    _apply(d.parameter for d in definitions.values())


def _apply(found: Iterable[Parameter]) -> None:
    by_type: dict[str, list[Parameter]] = {}
    for parameter in found:
        by_type.setdefault(parameter.resource_type, []).append(parameter)
    extract.additions = {kind: tuple(map(custom_rows.reader, each)) for kind, each in by_type.items()}
    catalogue.extend({kind: {p.code: p for p in each} for kind, each in by_type.items()})


def _reconcile() -> None:
    """Lets the table hold the definitions that there are: new ones wait for a reindex, old ones are forgotten."""
    found = list(_registry.definitions.values())
    columns = (
        [d.name for d in found],
        [TYPE_NUMBER[d.parameter.resource_type] for d in found],
        [d.resource_id for d in found],
        [d.version for d in found],
    )
    database.batch([(_FORGET, (columns[0],)), (_NOTICE, (_base_url, *columns))], atomic=True)


def _mark_ready(states: Iterable[tuple[Any, ...]]) -> None:
    global _registry
    ready = frozenset(name for name, _version, ready in states if ready) & _registry.definitions.keys()
    if ready != _registry.ready:
        _registry = Registry(_registry.version, _registry.definitions, _registry.by_url, ready)


def incomplete(parameters: Iterable[Parameter]) -> list[Parameter]:
    """Those of these parameters that some resources are not indexed for yet."""
    found = {name_of(p): p for p in parameters if p.custom}
    return [parameter for name, parameter in found.items() if name not in _registry.ready]


def check(resource: Mapping[str, Any], base_url: str) -> None:
    """Refuses a SearchParameter that could not be served. Raises Unprocessable with all that is wrong, Unavailable."""
    refresh(base_url, now=True)
    own = resource.get("id")
    taken = {
        (d.parameter.resource_type, d.parameter.code): d.resource_id
        for d in _registry.definitions.values()
        if d.resource_id != own
    }
    defining.define(resource, lambda kind, code: taken.get((kind, code)), _registry.by_url)
    watch()


_PROGRESS = """SELECT p.name, max(least(99, coalesce(100 * s.seen / greatest(1, j.total), 0)))::int
 FROM custom_parameter p
 LEFT JOIN reindex_job j ON j.finished IS NULL AND j.total IS NOT NULL AND p.name = ANY(j.parameters)
 LEFT JOIN (SELECT job, sum(seen) AS seen FROM reindex_range GROUP BY job) s ON s.job = j.id
 WHERE p.name = ANY(%s::text[]) GROUP BY p.name"""


def progress(parameters: Iterable[Parameter]) -> dict[str, int]:
    """How many of a hundred resources are indexed for each of these custom parameters, by its name."""
    names = [name_of(parameter) for parameter in parameters]
    found: dict[str, int] = dict(database.fetch(_PROGRESS, (names,)))
    return {name: found.get(name, 0) for name in names}
