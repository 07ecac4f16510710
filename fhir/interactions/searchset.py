"""The Bundle that answers a search: entries, links, outcomes (https://hl7.org/fhir/R4/search.html#return).

The stored texts of the matches go into it as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from django.utils.translation import gettext_lazy as _

from accounts.texts import lazy_text
from fhir import bundle, json, outcome, summary
from fhir.definitions.structure import TYPE_NAME
from fhir.exceptions import Issue
from fhir.search import custom, sql
from fhir.search import page as paging
from fhir.search.beside import NOTHING, Found
from fhir.search.include import included
from fhir.search.page import Position
from fhir.search.plan import Plan
from fhir.search.request import SearchRequest

from . import Context

_OUTCOME = b',"search":{"mode":"outcome"}}'


@dataclass(slots=True)
class Search:
    """One search on its way: what was asked, its address, its plan, where the page begins."""

    request: SearchRequest
    context: Context
    path: str
    plan: Plan
    bound: bytes
    position: Position | None

    @property
    def backwards(self) -> bool:
        """Whether the page before a row is asked for."""
        return self.position is not None and self.position.backwards


def answer(asked: Search, rows: Sequence[Any], more: bool, total: int | None, said: Sequence[bytes] = ()) -> bytes:
    """The Bundle of a page: rows as fhir.search.sql.page gives them, whether there are more, further entries."""
    entries = _entries(asked, rows)
    return bundle.join("searchset", [*entries, *said], link=_links(asked, rows, more), total=total)


def contained(asked: Search, entries: list[bytes], last: Any | None, total: int | None) -> bytes:
    """The Bundle of entries that were made elsewhere; the next page begins after row `last` if there is one."""
    address = _address(asked)
    links = [("self", address), ("first", address)]
    if last is not None:
        keys = tuple(last[4 : 4 + len(asked.plan.keys)])
        links.append(("next", f"{address}&_cursor={paging.seal(Position(keys), asked.bound)}"))
    if asked.request.ignored:
        entries = [*entries, _warning(asked)]
    return bundle.join("searchset", entries, link=bundle.links(links), total=total)


def count(asked: Search, total: int | None, said: Sequence[bytes] = ()) -> bytes:
    """The Bundle that holds the number of matches and no match."""
    entries = [*_incomplete(asked), *said]
    return bundle.join("searchset", entries, link=[{"relation": "self", "url": _address(asked)}], total=total)


# --- entries


def _entries(asked: Search, rows: Sequence[Any]) -> Iterable[bytes]:
    base_url, request = asked.context.base_url, asked.request
    found: list[Found] = [(TYPE_NAME[row[0]], row[1], row[-1]) for row in rows]
    entries = [entry(base_url, item, "match", request.summary, request.elements) for item in found]
    if request.includes and found:
        carried = sql.patients_beside(asked.plan)
        beside = NOTHING if carried is None else carried.read(rows, found, 4 + len(asked.plan.keys))
        others = included(found, request.includes, asked.context.scope, base_url, beside)
        entries += [entry(base_url, item, "include", request.summary, ()) for item in others]
    if request.ignored:
        entries.append(_warning(asked))
    return [*entries, *_incomplete(asked)]


def entry(base_url: str, found: Found, mode: str, wanted: str | None, elements: tuple[str, ...]) -> bytes:
    """One entry; without `wanted` (of _summary) and `elements` the content passes through."""
    kind, resource_id, text = found
    if elements or wanted not in (None, "false"):
        text = json.dumps(summary.project(json.loads(text), summary=wanted, elements=elements)).decode()
    shown = f'{{"fullUrl":"{base_url}/{kind}/{resource_id}","resource":{text},"search":{{"mode":"{mode}"}}}}'
    return shown.encode()


def outcome_entry(resource: dict[str, Any]) -> bytes:
    """An entry that speaks of the search itself (https://hl7.org/fhir/R4/search.html#outcome)."""
    return b'{"resource":' + json.dumps(resource) + _OUTCOME


def _outcome(asked: Search, issues: Sequence[Issue], **head: str) -> bytes:
    resource = outcome.resource(issues, asked.context.language)
    return outcome_entry({"resourceType": resource.pop("resourceType"), **head, **resource})


def _warning(asked: Search) -> bytes:
    text = lazy_text(
        _("These parameters are not known and were ignored: %(names)s."), names=", ".join(asked.request.ignored)
    )
    return _outcome(asked, [Issue("not-supported", text, severity="warning")])


def _incomplete(asked: Search) -> list[bytes]:
    """A warning where a parameter that a client defined is not indexed for all resources yet."""
    found = asked.request.incomplete
    if not found:
        return []
    text = _("The search parameter “%(code)s” is being built: %(percent)s %% of the records are indexed for it so far, "
             "and the others are not found.")  # fmt: skip
    shares = custom.progress(found)
    issues = [
        Issue("incomplete", lazy_text(text, code=p.code, percent=shares[custom.name_of(p)]), (p.code,), "warning")
        for p in found
    ]
    return [_outcome(asked, issues, id="incomplete-index")]


# --- links


def query(path: str, pairs: Sequence[tuple[str, str]]) -> str:
    """The address of a search under the base."""
    return path + ("?" + urlencode(pairs, quote_via=quote, safe=":,/*") if pairs else "")


def _address(asked: Search) -> str:
    return f"{asked.context.base_url}/{query(asked.path, asked.request.kept)}"


def _links(asked: Search, rows: Sequence[Any], more: bool) -> list[dict[str, str]]:
    """self, first, next and previous (https://hl7.org/fhir/R4/search.html#Paging)."""
    address = _address(asked)
    links = [("self", address)]
    if asked.position is None and not more:
        return bundle.links(links)
    links.append(("first", address))
    begin = f"{address}{'&' if asked.request.kept else '?'}_cursor="
    keys = len(asked.plan.keys)

    def link(row: Any, backwards: bool) -> str:
        return begin + paging.seal(Position(tuple(row[4 : 4 + keys]), backwards), asked.bound)

    if rows and (asked.backwards or more):
        links.append(("next", link(rows[-1], False)))
    if rows and asked.position is not None and (more or not asked.backwards):
        links.append(("previous", link(rows[0], True)))
    return bundle.links(links)
