"""Where ValueSets and CodeSystems are found: stored ones by canonical url or id, then those of the official package.

What is stored is looked up with the server's own authority, and kept in the process by (id, version, time of writing):
a search asks once whether what it knows is still what is stored.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Any, NamedTuple

from fhir import database, json
from fhir.definitions.structure import TYPE_NAME, TYPE_NUMBER
from fhir.definitions.terminology import official
from fhir.search import hashing
from fhir.search.catalogue import parameters

from .code_systems import CodeSystem
from .value_sets import ValueSet, value_set

Json = dict[str, Any]
VALUE_SET, CODE_SYSTEM = "ValueSet", "CodeSystem"

# Codes that a process keeps, of all stored code systems and value sets together; a code takes some 300 bytes, and
# a resource without any as much as twenty.
_MOST_KEPT = 60_000
_LEAST_WEIGHT = 20
_KEYS_SQL = """SELECT r.type, r.id, r.version, r.updated FROM resource r
 WHERE NOT r.deleted AND r.terms && %s::bigint[]"""
_BODIES_SQL = """SELECT r.type, r.id, r.version, r.updated, c.body FROM resource r
 JOIN content c ON c.bucket = r.bucket AND c.type = r.type AND c.id = r.id
 WHERE NOT r.deleted AND r.terms && %s::bigint[]"""
_STATUS = ("active", "draft", "unknown", "retired")


class Name(NamedTuple):
    """What is asked for: a canonical url without its version, or the `id` of a stored resource."""

    kind: str
    url: str
    id: str | None = None

    @property
    def terms(self) -> tuple[int, ...]:
        """The terms that a stored resource of this name has."""
        if self.id is not None:
            return (hashing.own_term(self.kind, self.id),)
        stored_as = parameters(self.kind)["url"].stored_as
        return tuple(hashing.parameter_hash(self.kind, code) ^ hashing.uri(self.url) for code in stored_as)


class Key(NamedTuple):
    """One stored version. The time tells it from another one of that number, of a write that was undone."""

    kind: str
    id: str
    version: int
    updated: Any


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A ValueSet or CodeSystem. `key` is None for those of the official package."""

    kind: str
    url: str
    version: str | None
    status: str
    key: Key | None
    content: CodeSystem | ValueSet

    def answers(self, name: Name) -> bool:
        """Whether this is what a name stands for; terms are hashes, this is certain."""
        if name.kind != self.kind:
            return False
        return self.url == name.url if name.id is None else self.key is not None and self.key.id == name.id


class _Shelf:
    """The sources that a process keeps, the last used ones, within a bound of codes. Shared by its threads."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.sources: OrderedDict[Key, tuple[Source, int]] = OrderedDict()
        self.weight = 0

    def get(self, key: Key) -> Source | None:
        with self.lock:
            found = self.sources.get(key)
            if found is None:
                return None
            self.sources.move_to_end(key)
            return found[0]

    def put(self, source: Source) -> None:
        assert source.key is not None
        with self.lock:
            if source.key in self.sources:
                return
            weight = _LEAST_WEIGHT + source.content.size
            self.sources[source.key] = source, weight
            self.weight += weight
            while self.weight > _MOST_KEPT and len(self.sources) > 1:
                _key, (_source, gone) = self.sources.popitem(last=False)
                self.weight -= gone


_shelf = _Shelf()


def _source(resource: Json, key: Key | None) -> Source:
    kind = resource["resourceType"]
    content = CodeSystem(resource) if kind == CODE_SYSTEM else value_set(resource)
    status = resource.get("status", "")
    return Source(kind, resource.get("url", ""), resource.get("version"), status, key, content)


@lru_cache(maxsize=128)
def _official(kind: str, url: str) -> Source | None:
    resource = official(kind, url)
    return None if resource is None else _source(resource, None)


class Library:
    """What one search may look at. `expect` what will be needed: it is fetched together at the first question."""

    def __init__(self) -> None:
        self._found: dict[Name, tuple[Source, ...]] = {}
        self._expected: set[Name] = set()

    def expect(self, names: Iterable[Name]) -> None:
        """Fetch these with whatever is fetched next."""
        self._expected.update(name for name in names if name not in self._found)

    def stored(self, name: Name) -> tuple[Source, ...]:
        """The stored resources of a name, the preferred one first."""
        if name not in self._found:
            self._fetch([*(self._expected | {name})])
            self._expected.clear()
        return self._found[name]

    def value_set(self, name: Name, version: str | None) -> ValueSet | None:
        """The ValueSet of a name: of this version, or the preferred one."""
        found = (s.content for s in self._all(name) if version in (None, s.version))
        return next((content for content in found if isinstance(content, ValueSet)), None)

    def code_system(self, url: str, version: str | None) -> CodeSystem | None:
        """The CodeSystem of this url, of this version or the preferred one, if all of its codes are known."""
        systems = [s.content for s in self._all(Name(CODE_SYSTEM, url)) if isinstance(s.content, CodeSystem)]
        return next((s for s in systems if s.complete and version in (None, s.version)), None)

    def fingerprint(self, names: Iterable[Name]) -> tuple[tuple[Key | None, ...], ...]:
        """Which versions the names stand for now; equal as long as nothing was written."""
        names = tuple(names)
        self.expect(names)
        return tuple(tuple(source.key for source in self.stored(name)) for name in names)

    def _all(self, name: Name) -> tuple[Source, ...]:
        stored = self.stored(name)
        published = _official(name.kind, name.url) if name.id is None else None
        return stored if published is None else (*stored, published)

    def _fetch(self, names: Sequence[Name]) -> None:
        terms = sorted({term for name in names for term in name.terms})
        rows = database.fetch(_KEYS_SQL, ("{" + ",".join(map(str, terms)) + "}",))
        keys = [Key(TYPE_NAME[kind], *rest) for kind, *rest in rows if TYPE_NAME[kind] in (VALUE_SET, CODE_SYSTEM)]
        sources = {key: source for key in keys if (source := _shelf.get(key)) is not None}
        unknown = [key for key in keys if key not in sources]
        if unknown:
            for source in _read(terms, unknown):
                assert source.key is not None
                sources[source.key] = source
        for name in names:
            self._found[name] = tuple(sorted((s for s in sources.values() if s.answers(name)), key=_preference))


def _read(terms: Sequence[int], keys: Sequence[Key]) -> list[Source]:
    ids = sorted({key.id for key in keys})
    sql = _BODIES_SQL + " AND r.id = ANY(%s::text[])"
    found = []
    for kind, resource_id, version, updated, body in database.fetch(sql, ("{" + ",".join(map(str, terms)) + "}", ids)):
        if kind in (TYPE_NUMBER[VALUE_SET], TYPE_NUMBER[CODE_SYSTEM]):
            source = _source(json.loads(body), Key(TYPE_NAME[kind], resource_id, version, updated))
            _shelf.put(source)
            found.append(source)
    return found


def _preference(source: Source) -> tuple[Any, ...]:
    """Sorts first: active ones, then the newest business version, then the last written."""
    status = _STATUS.index(source.status) if source.status in _STATUS else len(_STATUS)
    parts = re.findall(r"\d+|[^\d.\-]+", source.version or "")
    # 1.10 before 1.9, 1.0.1 before 1.0, and 1.0 before 1.0-beta.
    version = [*((-int(part), "") if part.isascii() and part.isdigit() else (1, part) for part in parts), (0, "~")]
    assert source.key is not None
    return status, source.version is None, version, -source.key.updated.timestamp(), source.key.id
