"""Loading of files, exactly once whatever is killed: what is stored and how far it is are one transaction.

A unit is what is stored together: up to CHUNK resources, one transaction bundle, or one entry of a batch. A unit that
is refused stores nothing; a chunk in which something is refused is halved until the refusal stands alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext_lazy as _

from fhir import content, database, ids, json, store, store_many
from fhir.definitions.structure import TYPE_NUMBER
from fhir.exceptions import FhirError, InvalidRequest, Issue, Unavailable
from fhir.interactions import Context, batch, bulk, create, transaction, update

from .sources import Document

CHUNK = 500
_SAVE = """INSERT INTO load_checkpoint (digest, name, line, part, created, updated, refused, finished, at)
 VALUES (%s::text, %s::text, %s::bigint, %s::int, %s::bigint, %s::bigint, %s::bigint, %s::bool, %s::timestamptz)
 ON CONFLICT (digest) DO UPDATE SET name = excluded.name, line = excluded.line, part = excluded.part,
 created = excluded.created, updated = excluded.updated, refused = excluded.refused, finished = excluded.finished,
 at = excluded.at"""
_READ = "SELECT line, part, created, updated, refused, finished FROM load_checkpoint WHERE digest = %s::text"
_FORGET = "DELETE FROM load_checkpoint WHERE digest = %s::text"

Resource = dict[str, Any]


@dataclass(slots=True)
class Progress:
    """How far a file is: the last line and part of it that are done, and what became of them."""

    line: int = 0
    part: int = 0
    created: int = 0
    updated: int = 0
    refused: int = 0
    finished: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """A resource with its place in the file. `part` counts the entries of a bundle that is taken apart."""

    line: int
    part: int
    resource: Resource

    @property
    def type(self) -> str:
        """The resource type. Raises InvalidRequest where R4 has none of that name."""
        resource_type = self.resource.get("resourceType")
        if not isinstance(resource_type, str) or resource_type not in TYPE_NUMBER:
            raise InvalidRequest(_("FHIR R4 has no resource type “%(type)s”.") % {"type": resource_type})
        return resource_type

    @property
    def key(self) -> tuple[str, str] | None:
        """Type and id; None where the resource has no id."""
        resource_type, resource_id = self.resource.get("resourceType"), self.resource.get("id")
        if isinstance(resource_type, str) and isinstance(resource_id, str):
            return resource_type, resource_id
        return None


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was not stored, and why."""

    line: int
    part: int
    type: str | None
    id: str | None
    error: FhirError


class _Refused(FhirError):
    """An entry of a batch that was answered with an error."""

    def __init__(self, status: int, outcome: Resource) -> None:
        super().__init__(issues=[_issue(issue) for issue in outcome.get("issue", [])])
        self.status = status


def _issue(issue: Resource) -> Issue:
    return Issue(issue["code"], issue.get("details", {}).get("text", ""), tuple(issue.get("expression", ())))


@dataclass
class Loader:
    """Loads the documents of one file; `digest` is what the file is known by."""

    digest: str
    name: str
    context: Context
    on_refusal: Callable[[Refusal], None]
    done: Progress = field(default_factory=Progress)
    waiting: list[Item] = field(default_factory=list)
    keys: set[tuple[str, str]] = field(default_factory=set)

    def resume(self) -> Progress:
        """Goes on where the file was left; how far that is."""
        rows = database.fetch(_READ, (self.digest,))
        if rows:
            self.done = Progress(*rows[0])
        return self.done

    def forget(self) -> None:
        """Begins the file anew."""
        database.fetch(_FORGET, (self.digest,))

    def load(self, documents: Iterator[Document], advance: Callable[[int], None]) -> None:
        """Stores what is not stored yet; `advance` hears how many bytes are read. Raises Unavailable, OSError."""
        for document in documents:
            if document.line >= self.done.line:
                self._document(document)
            advance(document.position)
        self._flush()
        self.done.finished = True
        database.fetch(*self._saved(self.done))

    def fail(self, line: int, error: FhirError) -> None:
        """The file cannot be read on: a refusal of what is left of it, which the next run finds again."""
        self._flush()
        database.fetch(*self._saved(self.done))
        self._refuse(Refusal(line, 0, None, None, error))

    def _document(self, document: Document) -> None:
        line = document.line
        try:
            resource = content.parse_resource(document.text, content.FHIR_JSON)
            if resource["resourceType"] == "Bundle":
                self._bundle(line, document.text, resource)
            else:
                self._add(Item(line, 0, resource))
        except Unavailable:
            raise
        except FhirError as error:
            if self._is_new(line, 0):
                self._flush()
                self._skip(Refusal(line, 0, None, None, error))

    # --- bundles

    def _bundle(self, line: int, text: bytes, bundle: Resource) -> None:
        kind = bundle.get("type")
        listed = bundle.get("entry", [])
        if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
            raise InvalidRequest(_("Bundle.entry is a list of objects."), code="structure", expression="Bundle.entry")
        if kind == "transaction":
            self._transaction(line, lambda: content.parse_resource(text, content.FHIR_JSON), bundle)
        elif kind == "batch":
            self._batch(line, bundle, listed)
        elif kind in ("collection", "document", "message", "searchset"):
            self._contents(line, text, listed)
        else:
            raise InvalidRequest(
                _("Bundles of this type cannot be loaded: “%(type)s”.") % {"type": kind}, expression="Bundle.type"
            )

    def _contents(self, line: int, text: bytes, listed: list[Resource]) -> None:
        """The resources of a bundle. Those that name each other by urn: come as one transaction."""
        if not any("resource" in entry and _is_tied(entry) for entry in listed):
            for part, entry in enumerate(listed):
                if isinstance(entry.get("resource"), dict):
                    self._add(Item(line, part, entry["resource"]))
            return

        def again() -> Resource:
            bundle = content.parse_resource(text, content.FHIR_JSON)
            return {"resourceType": "Bundle", "type": "transaction", "entry": _requests(bundle["entry"])}

        self._transaction(line, again, again())

    def _transaction(self, line: int, load: Callable[[], Resource], bundle: Resource) -> None:
        if not self._is_new(line, 0):
            return
        self._flush()

        def attempt(done: Progress) -> None:
            answer = transaction.process(load, self.context)
            _count(done, json.loads(answer.body))

        self._unit(line, 0, attempt, ("Bundle", bundle.get("id")))

    def _batch(self, line: int, bundle: Resource, listed: list[Resource]) -> None:
        """Each entry alone, as a batch wants it."""
        self._flush()
        for part, entry in enumerate(listed):
            if not self._is_new(line, part):
                continue

            def attempt(done: Progress, entry: Resource = entry) -> None:
                answer = json.loads(batch.process({**bundle, "entry": [entry]}, self.context).body)
                response = answer["entry"][0]["response"]
                status = int(response["status"][:3])
                if status >= 400:
                    raise _Refused(status, response.get("outcome", {}))
                _count(done, answer)

            resource = entry.get("resource") if isinstance(entry.get("resource"), dict) else {}
            self._unit(line, part, attempt, ((resource or {}).get("resourceType"), (resource or {}).get("id")))

    def _unit(self, line: int, part: int, attempt: Callable[[Progress], None], name: tuple[Any, Any]) -> None:
        """What `attempt` does and the checkpoint, together."""

        def together() -> Progress:
            done = self._moved(line, part)
            with database.Transaction() as transaction_:
                transaction_.send([])  # BEGIN: what the interactions do is a part of it
                attempt(done)
                transaction_.commit([self._saved(done)])
            return done

        try:
            self.done = database.retry(together)
        except Unavailable:
            raise
        except FhirError as error:
            self._skip(Refusal(line, part, *name, error))

    # --- resources

    def _add(self, item: Item) -> None:
        """Later with others; at once where that one has been waiting under the same id."""
        if not self._is_new(item.line, item.part):
            return
        if len(self.waiting) >= CHUNK or (item.key is not None and item.key in self.keys):
            self._flush()
        self.waiting.append(item)
        if item.key is not None:
            self.keys.add(item.key)

    def _flush(self) -> None:
        items, self.waiting = self.waiting, []
        self.keys.clear()
        self._store(items)

    def _store(self, items: list[Item]) -> None:
        if not items:
            return
        try:
            self.done = database.retry(lambda: self._together(items))
        except Unavailable:
            raise
        except FhirError as error:
            if len(items) == 1:
                item = items[0]
                self._skip(_refusal(item, error))
                return
            middle = len(items) // 2
            self._store(items[:middle])
            self._store(items[middle:])

    def _together(self, items: list[Item]) -> Progress:
        """All items and the checkpoint in one transaction. Raises what an update or a create refuses."""
        done = self._moved(items[-1].line, items[-1].part)
        with database.Transaction() as transaction_:
            transaction_.send([])
            new, old = self._known(transaction_, [item for item in items if item.key is not None])
            report = bulk.store_resources((item.resource for item in new), self.context)
            by_identity = {id(item.resource): item for item in new}
            refusals = [_refusal(by_identity[id(resource)], error) for resource, error in report.refused]
            for item in old:
                update.update(item.type, item.resource["id"], item.resource, self.context)
            nameless = [item for item in items if item.key is None]
            for item in nameless:
                create.create(item.type, item.resource, self.context)
            done.created += report.stored + len(nameless)
            done.updated += len(old)
            done.refused += len(refusals)
            for refusal in refusals:
                self.on_refusal(refusal)
            transaction_.commit([self._saved(done)])
        return done

    def _known(self, transaction_: database.Transaction, items: list[Item]) -> tuple[list[Item], list[Item]]:
        """Those that are new, and those that exist already. An id that lies elsewhere has its locator at home."""
        numbered = [(TYPE_NUMBER.get(item.key[0]), item.key[1], item) for item in items if item.key]
        wanted = [(number, name, ids.bucket_of(name)) for number, name, _item in numbered if number is not None]
        there = store_many.existing(transaction_, wanted) if wanted else set()
        old = [item for number, name, item in numbered if (number, name) in there]
        new = [item for number, name, item in numbered if (number, name) not in there]
        return new, old

    # --- how far it is

    def _is_new(self, line: int, part: int) -> bool:
        return (line, part) > (self.done.line, self.done.part)

    def _moved(self, line: int, part: int) -> Progress:
        done = self.done
        return Progress(line, part, done.created, done.updated, done.refused)

    def _saved(self, done: Progress) -> database.Statement:
        return _SAVE, (
            self.digest, self.name, done.line, done.part, done.created, done.updated, done.refused, done.finished,
            store.now(),
        )  # fmt: skip

    def _skip(self, refusal: Refusal) -> None:
        """Goes on behind what was refused."""
        self.done = self._moved(refusal.line, refusal.part)
        self._refuse(refusal)
        database.fetch(*self._saved(self.done))

    def _refuse(self, refusal: Refusal) -> None:
        self.on_refusal(refusal)
        self.done.refused += 1


def _refusal(item: Item, error: FhirError) -> Refusal:
    resource_type, resource_id = item.resource.get("resourceType"), item.resource.get("id")
    return Refusal(item.line, item.part, resource_type, resource_id if isinstance(resource_id, str) else None, error)


def _is_tied(entry: Resource) -> bool:
    """Whether others can only name this one by its fullUrl."""
    return str(entry.get("fullUrl", "")).startswith("urn:")


def _requests(entries: list[Resource]) -> list[Resource]:
    """The entries of a transaction that stores these: under their ids, or under new ones."""
    made = []
    for entry in entries:
        resource = entry.get("resource")
        if not isinstance(resource, dict):
            continue
        name, resource_id = resource.get("resourceType"), resource.get("id")
        request = {"method": "PUT", "url": f"{name}/{resource_id}"} if resource_id else {"method": "POST", "url": name}
        full_url = {"fullUrl": entry["fullUrl"]} if "fullUrl" in entry else {}
        made.append({**full_url, "resource": resource, "request": request})
    return made


def _count(done: Progress, answer: Resource) -> None:
    for entry in answer.get("entry", []):
        status = entry["response"]["status"][:3]
        if status == "201":
            done.created += 1
        elif status == "200" and "lastModified" in entry["response"]:
            done.updated += 1
