"""`_contained` and `_containedType`: matches that lie inside other resources.

https://hl7.org/fhir/R4/search.html#contained. The index says which resources contain one of a type; what they contain
is judged here. A page ends after so many containers were looked at, and its next link goes on from there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from django.utils.translation import gettext_lazy as _

from accounts.scopes import Scope
from fhir import database, json
from fhir.definitions.structure import TYPE_NAME, TYPE_NUMBER
from fhir.exceptions import InvalidRequest
from fhir.search import binding, hashing, sql
from fhir.search.beside import Found
from fhir.search.clauses import AllOf, AnyOf, Clause, Terms, Types
from fhir.search.extract import index
from fhir.search.judge import Judged, holds
from fhir.search.request import SearchRequest

from . import Answer, searchset
from .searchset import Search

# Containers that are read at once, and those that one request looks at.
_BATCH, _MOST = 200, 5000


def candidates(request: SearchRequest, scope: Scope) -> SearchRequest:
    """The search for what may contain a match, or be one where `_contained` is both. Raises InvalidRequest."""
    if len(request.types) != 1 or request.sort:
        text = _("“_contained” needs a search of one type, without “_sort”.")
        raise InvalidRequest(text, code="not-supported", expression="_contained")
    inside: Clause = Terms((hashing.contained_term(request.types[0]),))
    if request.contained == "both":
        inside = AnyOf((inside, AllOf((Types((TYPE_NUMBER[request.types[0]],)), *request.clauses))))
    types = tuple(sorted(scope.types("s")))
    return replace(request, types=types, clauses=(inside,), chart=None)


Ask = Callable[[database.Statement], list[Any]]


def search(asked: Search, audited: Ask) -> Answer:
    """The page; `audited` asks the first statement, together with the audit row."""
    request = asked.request
    total, ask = None, audited
    if request.counts_only or request.total == "accurate":
        everything, _last = _page(asked, audited, math.inf, math.inf, from_start=True)
        total, ask = len(everything), _asking(asked)
    if request.counts_only:
        return Answer(200, searchset.count(asked, total))
    entries, last = _page(asked, ask, request.count, _MOST)
    if total is None and last is None and asked.position is None:
        total = len(entries)
    return Answer(200, searchset.contained(asked, entries, last, total))


def _asking(asked: Search) -> Ask:
    return lambda statement: database.fetch(*binding.bound(asked.plan, statement))


def _page(
    asked: Search, ask: Ask, count: float, most: float, *, from_start: bool = False
) -> tuple[list[bytes], Any | None]:
    """Entries, and the row after which the next page begins if there may be more; a page ends with a container."""
    after = None if asked.position is None or from_start else asked.position.keys
    entries: list[bytes] = []
    seen = 0
    while True:
        rows = ask(sql.page(asked.plan, _BATCH, after))
        ended = len(rows) < _BATCH
        for number, row in enumerate(rows, 1):
            entries += _entries(asked, row)
            seen += 1
            if len(entries) >= count or seen >= most:
                return entries, None if ended and number == len(rows) else row
        if ended:
            return entries, None
        after = tuple(rows[-1][4 : 4 + len(asked.plan.keys)])
        ask = _asking(asked)


def _entries(asked: Search, row: Any) -> list[bytes]:
    """What a row answers: itself, or what it contains."""
    request, base_url = asked.request, asked.context.base_url
    kind, resource_id, text = TYPE_NAME[row[0]], row[1], row[-1]
    resource = json.loads(text)
    wanted = request.types[0]
    found = []
    if request.contained == "both" and kind == wanted and _meets(request, resource, base_url):
        found.append(_entry(asked, (kind, resource_id, text)))
    inner = [each for each in resource.get("contained", ()) if each.get("resourceType") == wanted and "id" in each]
    matches = [each for each in inner if _meets(request, each, base_url)]
    if request.contained_type == "contained":
        found += [_inside(asked, f"{kind}/{resource_id}", each) for each in matches]
    elif matches and not found:
        found.append(_entry(asked, (kind, resource_id, text)))
    return found


def _entry(asked: Search, found: Found) -> bytes:
    request = asked.request
    if request.counts_only:
        return b""
    return searchset.entry(asked.context.base_url, found, "match", request.summary, request.elements)


def _inside(asked: Search, container: str, resource: dict[str, Any]) -> bytes:
    """An entry that is a contained resource; its address is that of the container and its own id."""
    entry = _entry(asked, (container, "", json.dumps(resource).decode()))
    return entry.replace(f"{container}/".encode(), f"{container}#{resource['id']}".encode(), 1)


def _meets(request: SearchRequest, resource: dict[str, Any], base_url: str) -> bool:
    judged = Judged(resource, index(resource, base_url))
    return all(holds(clause, judged) for clause in request.clauses)
