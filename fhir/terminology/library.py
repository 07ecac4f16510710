"""Where ValueSets and CodeSystems are found: stored ones by canonical url or id, then those of the official package.

What is stored is looked up with the server's own authority, in the copies that the coordinator has
(fhir.stored_definitions), and kept in the process by (id, version, time of writing): a search asks once whether what it
knows is still what is stored.
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
from fhir.stored_definitions import url_hash

from .code_systems import CodeSystem
from .value_sets import ValueSet, value_set

Json = dict[str, Any]
VALUE_SET, CODE_SYSTEM = "ValueSet", "CodeSystem"

# Codes that a process keeps, of all stored code systems and value sets together; a code takes some 300 bytes, and
# a resource without any as much as twenty.
_MOST_KEPT = 60_000
_LEAST_WEIGHT = 20
_KEYS_SQL = """SELECT type, id, version, updated FROM stored_definition
 WHERE body IS NOT NULL AND type = ANY(%s::smallint[]) AND (url = ANY(%s::bigint[]) OR id = ANY(%s::text[]))"""
_BODIES_SQL = """SELECT type, id, version, updated, body FROM stored_definition
 WHERE body IS NOT NULL AND type = ANY(%s::smallint[]) AND id = ANY(%s::text[])"""
_TYPES = "{" + ",".join(str(TYPE_NUMBER[kind]) for kind in (VALUE_SET, CODE_SYSTEM)) + "}"
_STATUS = ("active", "draft", "unknown", "retired")


class Name(NamedTuple):
    """What is asked for: a canonical url without its version, or the `id` of a stored resource."""

    kind: str
    url: str
    id: str | None = None


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
        urls = "{" + ",".join(str(url_hash(name.url)) for name in names if name.id is None) + "}"
        own_ids = [name.id for name in names if name.id is not None]
        rows = database.fetch(_KEYS_SQL, (_TYPES, urls, own_ids))
        keys = [Key(TYPE_NAME[kind], *rest) for kind, *rest in rows]
        sources = {key: source for key in keys if (source := _shelf.get(key)) is not None}
        unknown = [key for key in keys if key not in sources]
        for source in _read(unknown) if unknown else ():
            assert source.key is not None
            sources[source.key] = source
        for name in names:
            self._found[name] = tuple(sorted((s for s in sources.values() if s.answers(name)), key=_preference))


def _read(keys: Sequence[Key]) -> list[Source]:
    found = []
    for kind, resource_id, version, updated, body in database.fetch(_BODIES_SQL, (_TYPES, [key.id for key in keys])):
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
