"""FHIR operation $everything, of a Patient and of an Encounter.

https://hl7.org/fhir/R4/operation-patient-everything.html, https://hl7.org/fhir/R4/operation-encounter-everything.html

First the Patient or Encounter, then its compartment in the order of type and id, then what these refer to and nobody's
chart holds (practitioners, organizations, medications …), each once. A page is found by the key of the last entry of
the one before: rows written meanwhile neither repeat nor hide another.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, NoReturn
from urllib.parse import quote, urlencode

from django.utils.translation import gettext_lazy as _

from accounts.scopes import Scope, patient_compartment_types
from audit import recorder
from fhir import bundle, citus, database, ids, store
from fhir.definitions.compartments import compartment_parameters
from fhir.definitions.structure import TYPE_NAME, TYPE_NUMBER
from fhir.exceptions import Gone, InvalidRequest, NotFound
from fhir.interactions import Answer, Context
from fhir.permissions import require
from fhir.search import hashing, places, plan
from fhir.search import page as paging
from fhir.search.catalogue import parameters
from fhir.search.page import Position
from fhir.search.parameters.date import bounds
from fhir.search.places import Bound

from . import everything_sql as sql
from .call import Call, instant, page_size, single
from .everything_sql import Key, Limits, Root

_KNOWN = ("start", "end", "_since", "_type", "_count", "_cursor")
_OF_ENCOUNTERS = ("_since", "_type", "_count", "_cursor")
_MATCH, _INCLUDE = "match", "include"
_BEGINNING: Key = (-1, "")


@dataclass(slots=True)
class _Everything:
    """One call on its way. `limits.types` are those that the caller may see, `types` those that are asked for.

    `part` and `after` say where the page begins: after which key of the matches or of the includes, None at the start.
    """

    context: Context
    path: str
    kept: tuple[tuple[str, str], ...]
    root: Root
    limits: Limits
    types: frozenset[int]
    count: int
    bound: bytes
    part: str = _MATCH
    after: Key | None = None

    @property
    def narrow(self) -> Limits:
        """The limits of the matches."""
        return replace(self.limits, types=self.types)

    @property
    def is_first(self) -> bool:
        return self.part == _MATCH and self.after is None


@dataclass(slots=True)
class _Page:
    """Entries (key, mode, content) and where the next page begins, if there is one."""

    entries: list[tuple[Key, str, str]] = field(default_factory=list)
    next: tuple[str, Key] | None = None


def run(call: Call) -> Answer:
    """A searchset Bundle, at most `_count` entries a page.

    Raises NotFound (also for a patient whom the caller may not see), Gone, Forbidden, InvalidRequest.
    """
    assert call.type is not None  # offered at types and instances only
    require(call.context.scope, "operation", call.type)
    require(call.context.scope, "search-type", call.type)
    asked = _asked(call)
    page = _page(asked)
    entries = [_entry(asked.context.base_url, entry) for entry in page.entries]
    total = None
    if asked.is_first and (page.next is None or page.next[0] == _INCLUDE):
        total = sum(mode == _MATCH for _key, mode, _body in page.entries)
    return Answer(200, bundle.join("searchset", entries, link=_links(asked, page), total=total))


# --- what is asked


def _asked(call: Call) -> _Everything:
    assert call.type is not None
    known = _KNOWN if call.type == "Patient" else _OF_ENCOUNTERS
    pairs = call.inputs()
    given = single(pairs, known, repeating=("_type",))
    types = _types(given.get("_type"), call.context.scope)
    limits = Limits(
        types=frozenset(TYPE_NUMBER[name] for name in _visible(call.context.scope)),
        start=bounds(given["start"], "start")[0] if "start" in given else None,
        end=bounds(given["end"], "end")[1] if "end" in given else None,
        since=instant("_since", given["_since"]) if "_since" in given else None,
        policy=_policy(call.context.scope),
    )
    kept = tuple(pair for pair in pairs if pair[0] != "_cursor")
    asked = _Everything(
        context=call.context,
        path=call.path,
        kept=kept,
        root=_root(call),
        limits=limits,
        types=types,
        count=page_size(given.get("_count")),
        bound=paging.fingerprint(call.context.scope.user_id, call.path, kept),
    )
    if "_cursor" in given:
        part, number, name = paging.unseal(given["_cursor"], asked.bound, 3).keys
        asked.part, asked.after = str(part), (int(number or -1), str(name))
    return asked


def _visible(scope: Scope) -> frozenset[str]:
    """Types that the caller may both read and search: the answer is a search that nobody asked for by name."""
    return scope.types("r") & scope.types("s")


def _types(listed: str | None, scope: Scope) -> frozenset[int]:
    visible = _visible(scope)
    if listed is None:
        return frozenset(TYPE_NUMBER[name] for name in visible)
    names = [name.strip() for name in listed.split(",") if name.strip()]
    for name in names:
        if name not in TYPE_NUMBER:
            text = _("“%(type)s” in “_type” is no resource type of FHIR R4.") % {"type": name[:100]}
            raise InvalidRequest(text, code="value", expression="_type")
    return frozenset(TYPE_NUMBER[name] for name in names if name in visible)


def _policy(scope: Scope) -> tuple[int, int] | None:
    if scope.compartment is None:
        return None
    patient = scope.compartment.removeprefix("Patient/")
    return ids.patient_hash(patient), ids.compartment_term(patient)


def _root(call: Call) -> Root:
    limit = call.context.scope.compartment
    own = None if limit is None else limit.removeprefix("Patient/")
    if call.id is None and (own is None or call.type != "Patient"):
        text = _("Ask for everything of one record: %(type)s/[id]/$everything.") % {"type": call.type}
        raise InvalidRequest(text, code="too-costly")
    if call.type == "Patient":
        patient = call.id or own
        assert patient is not None
        if own not in (None, patient):
            raise _missing(call.context, "Patient", patient)
        terms = (ids.compartment_term(patient),)
        return Root(TYPE_NUMBER["Patient"], patient, ids.bucket_of(patient), ids.patient_hash(patient), terms)
    assert call.id is not None and call.type is not None
    current = store.current(TYPE_NUMBER[call.type], call.id)
    if current is None or (own is not None and current.pat != ids.patient_hash(own)):
        raise _missing(call.context, call.type, call.id)
    return Root(TYPE_NUMBER[call.type], call.id, current.bucket, current.pat, _terms(call.type, call.id))


@lru_cache(maxsize=8)
def _parameter_hashes(compartment: str) -> tuple[int, ...]:
    found: set[int] = set()
    for name in TYPE_NUMBER:
        known = parameters(name)
        for code in compartment_parameters(compartment, name):
            if code in known:
                found.update(hashing.parameter_hash(name, stored) for stored in known[code].stored_as)
    return tuple(sorted(found))


def _terms(resource_type: str, resource_id: str) -> tuple[int, ...]:
    """The terms of everything in the compartment of a resource that is no Patient."""
    own = hashing.own_term(resource_type, resource_id)
    return tuple(own ^ number for number in _parameter_hashes(resource_type))


def _missing(context: Context, resource_type: str, resource_id: str) -> NotFound:
    row = context.audit(
        "operation",
        bucket=ids.bucket_of(resource_id),
        status=404,
        at=store.now(),
        type_number=TYPE_NUMBER[resource_type],
        resource_id=resource_id,
        query=f"{resource_type}/{resource_id}/$everything",
    )
    database.fetch(recorder.INSERT_SQL, row)
    return NotFound(_("There is no such record."))


def _audit_row(asked: _Everything, status: int) -> recorder.Row:
    root = asked.root
    return asked.context.audit(
        "operation",
        bucket=root.bucket,
        status=status,
        at=store.now(),
        type_number=root.type,
        resource_id=root.id,
        pat=root.pat,
        patient=root.id if root.is_patient else None,
        query=_query(asked, None),
    )


# --- a page


def _page(asked: _Everything) -> _Page:
    bound = _bound(asked)
    root = asked.root = asked.root if bound is None else replace(asked.root, places=(asked.root.bucket,))
    statements = [database.at(root.bucket, sql.head(root, body=True))]
    matching = asked.part == _MATCH
    if matching:
        if root.pat is not None:
            statements.append(database.at(root.bucket, sql.walk(root, asked.narrow, asked.after, asked.count + 1)))
        statements.append(_elsewhere(root, sql.elsewhere(root, asked.narrow, asked.after, asked.count + 1)))
    answers = database.batch([*statements, *map(places.here, bound.questions if bound else ())])
    head = answers[0][0] if answers[0] else None
    if head is None or head[0]:
        _refuse(asked, gone=head is not None)
    if bound is not None:
        answers = _everywhere(asked, bound, answers[: len(statements)], answers[len(statements) :])
    page = _Page()
    if matching:
        near = answers[1] if root.pat is not None else []
        _fill(asked, page, head, near, answers[-1])
    following = [database.at(root.bucket, (recorder.INSERT_SQL, _audit_row(asked, 200)))]
    if page.next is None:
        _support(asked, page, head, following)
    else:
        database.batch(following)
    return page


def _elsewhere(root: Root, statement: database.Statement) -> database.Statement:
    """A statement about what others have, as it is to be sent: it may all lie with the root."""
    return database.at(root.bucket if root.places == (root.bucket,) else None, statement)


def _bound(asked: _Everything) -> Bound | None:
    """On Citus: in which buckets others name the patient too. It is asked together with what lies in the patient's."""
    if not asked.root.is_patient or not citus.distributed():
        return None
    return places.of_compartment(plan.compartment_of(asked.root.id), sorted(asked.limits.types))


def _everywhere(
    asked: _Everything, bound: Bound, answers: list[list[database.Row]], named: list[list[database.Row]]
) -> list[list[database.Row]]:
    """The answers, the last one from all buckets that can hold what lies elsewhere."""
    buckets = bound.buckets(named)
    if buckets != asked.root.places:
        asked.root = replace(asked.root, places=buckets)
        if asked.part == _MATCH:
            elsewhere = sql.elsewhere(asked.root, asked.narrow, asked.after, asked.count + 1)
            return [*answers[:-1], database.fetch(*elsewhere)]
    return answers


def _refuse(asked: _Everything, *, gone: bool) -> NoReturn:
    database.fetch(*database.at(asked.root.bucket, (recorder.INSERT_SQL, _audit_row(asked, 410 if gone else 404))))
    raise Gone(_("This record was deleted.")) if gone else NotFound(_("There is no such record."))


def _fill(
    asked: _Everything, page: _Page, head: database.Row, near: Sequence[database.Row], far: Sequence[database.Row]
) -> None:
    """The matches of the page, in order; those elsewhere get their contents."""
    found: list[tuple[Key, Any]] = [((row[0], row[1]), row[2]) for row in near]
    cut = bool(near) and near[0][3] > len(near)
    for kind, name, bucket, size in far:
        # Beyond the last row that has come, others may lie in between.
        if not cut or (kind, name) < found[len(near) - 1][0]:
            found.append(((kind, name), (bucket, size)))
    found.sort(key=lambda item: item[0])
    if asked.is_first and asked.root.type in asked.types and _is_new(asked, head[1]):
        found.insert(0, (_BEGINNING, head[2]))
    kept = found[: asked.count]
    kept = kept[: _fitting(kept)]
    contents = _contents(kept)
    root_key = (asked.root.type, asked.root.id)
    for key, content in kept:
        body = content if isinstance(content, str) else contents.get(key)
        if body is not None:  # what was deleted in between is left out
            page.entries.append((root_key if key == _BEGINNING else key, _MATCH, body))
    if cut or len(found) > len(kept):
        page.next = (_MATCH, kept[-1][0] if kept else _BEGINNING)


def _fitting(found: Sequence[tuple[Key, Any]]) -> int:
    """How many rows keep the contents from elsewhere within the size of a page; at least one."""
    size = 0
    for number, (_key, content) in enumerate(found):
        size += content[1] if isinstance(content, tuple) else 0
        if size > sql.PAGE_BYTES and number:
            return number
    return len(found)


def _contents(found: Sequence[tuple[Key, Any]]) -> dict[Key, str]:
    wanted = [(content[0], *key) for key, content in found if isinstance(content, tuple)]
    return {(row[0], row[1]): row[2] for row in database.fetch(*sql.bodies(wanted))} if wanted else {}


def _is_new(asked: _Everything, updated: datetime) -> bool:
    return asked.limits.since is None or updated >= asked.limits.since


# --- what the matches refer to


def _support(asked: _Everything, page: _Page, head: database.Row, following: list[database.Statement]) -> None:
    """Adds the includes as far as they fit; `following` are statements that go with the last question."""
    free = asked.types & _free_types(asked.context.scope)
    possible = free if asked.root.is_patient else asked.types
    wanted = _keys(asked, page, possible, _targets(asked, page, head)) if possible else []
    if asked.part == _INCLUDE and asked.after is not None:
        wanted = [key for key in wanted if key[1:3] > asked.after]
    room = asked.count - len(page.entries)
    if not wanted:
        database.batch(following)
        return
    rows = database.batch([sql.supporting(asked.root, asked.limits, free, wanted, room + 1), *following])[0]
    cut = bool(rows) and rows[0][3] > len(rows)
    page.entries += [((row[0], row[1]), _INCLUDE, row[2]) for row in rows[:room]]
    if cut or len(rows) > room:
        page.next = (_INCLUDE, page.entries[-1][0] if room and rows else _BEGINNING)


@lru_cache(maxsize=64)
def _free_types(scope: Scope) -> frozenset[int]:
    """Types of which the caller may see what is in nobody's chart: one who is limited to a patient, those that are
    never about a patient."""
    names = _visible(scope)
    if scope.compartment is not None:
        names -= patient_compartment_types()
    return frozenset(TYPE_NUMBER[name] for name in names)


def _targets(asked: _Everything, page: _Page, head: database.Row) -> dict[str, bool]:
    """References of the matches, and whether one that changed since then has them."""
    find = sql.references(asked.context.base_url).findall
    found = dict.fromkeys(find(head[2]), _is_new(asked, head[1]))
    complete = asked.is_first and asked.types == asked.limits.types and asked.limits.since is None
    if complete:
        for _key, _mode, body in page.entries:
            found.update(dict.fromkeys(find(body), True))
        return found
    sides = (True, False) if asked.root.pat is not None else (False,)
    questions = [_referred(asked, nearby=side) for side in sides]
    for rows in database.batch(questions):
        for text, fresh in rows:
            for target in find(text):
                found[target] = found.get(target, False) or fresh
    return found


def _referred(asked: _Everything, *, nearby: bool) -> database.Statement:
    statement = sql.targets(asked.root, asked.limits, nearby=nearby)
    return database.at(asked.root.bucket, statement) if nearby else _elsewhere(asked.root, statement)


def _keys(
    asked: _Everything, page: _Page, types: frozenset[int], targets: dict[str, bool]
) -> list[tuple[int, int, str, bool]]:
    """(bucket, type, id, fresh) of the targets that may be includes, in the order of type and id."""
    known = {key for key, _mode, _body in page.entries} | {(asked.root.type, asked.root.id)}
    found = []
    for text, fresh in targets.items():
        name, _slash, target = text.partition("/")
        number = TYPE_NUMBER.get(name, -1)
        if number not in types or (number, target) in known:
            continue
        home = ids.bucket_of(target)
        places = {home} if asked.root.is_patient else {home, asked.root.bucket}
        found += [(place, number, target, fresh) for place in places]
    return sorted(found, key=lambda key: key[1:3])


# --- the Bundle


def _entry(base_url: str, entry: tuple[Key, str, str]) -> bytes:
    (number, resource_id), mode, body = entry
    head = f'{{"fullUrl":"{base_url}/{TYPE_NAME[number]}/{resource_id}","resource":'
    return b"".join((head.encode(), body.encode(), b',"search":{"mode":"', mode.encode(), b'"}}'))


def _links(asked: _Everything, page: _Page) -> list[dict[str, str]]:
    pairs = [("self", _url(asked, None if asked.is_first else (asked.part, asked.after or _BEGINNING)))]
    if page.next is not None:
        pairs.append(("next", _url(asked, page.next)))
    return bundle.links(pairs)


def _url(asked: _Everything, position: tuple[str, Key] | None) -> str:
    token = None
    if position is not None:
        part, (number, name) = position
        token = paging.seal(Position((part, str(number), name)), asked.bound)
    return f"{asked.context.base_url}/{_query(asked, token)}"


def _query(asked: _Everything, token: str | None) -> str:
    pairs: Iterable[tuple[str, str]] = asked.kept if token is None else (*asked.kept, ("_cursor", token))
    text = urlencode(list(pairs), quote_via=quote, safe=":,/*")
    return f"{asked.path}?{text}" if text else asked.path
