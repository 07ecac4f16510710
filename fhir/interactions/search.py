"""FHIR search interaction: https://hl7.org/fhir/R4/http.html#search.

`parse → plan → SQL → rows → include → Bundle`. The page, its total and the audit row are one round trip; the stored
texts of the matches go into the Bundle as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

from django.utils.translation import gettext_lazy as _

from accounts.texts import lazy_text
from audit import recorder
from fhir import bundle, citus, database, ids, json, outcome, store, summary
from fhir.definitions.structure import TYPE_NAME, TYPE_NUMBER
from fhir.exceptions import Issue
from fhir.permissions import require
from fhir.search import custom, parse, plan, sql, statistics
from fhir.search import page as paging
from fhir.search.include import Found, included
from fhir.search.page import Position
from fhir.search.request import SearchRequest

from . import Answer, Context

Pairs = Sequence[tuple[str, str]]
# `_total=estimate` counts up to here; beyond it says what the planner expects.
_COUNTED = 10_000


@dataclass(slots=True)
class _Search:
    """One search on its way: what was asked, its address, its plan, where the page begins."""

    request: SearchRequest
    context: Context
    path: str
    plan: plan.Plan
    bound: bytes
    position: Position | None

    @property
    def backwards(self) -> bool:
        return self.position is not None and self.position.backwards


def search(
    resource_type: str | None, pairs: Pairs, context: Context, *, compartment: tuple[str, str] | None = None
) -> Answer:
    """A searchset Bundle of one type, of the system (None), or of a compartment such as ("Patient", id).

    Raises InvalidRequest for what is not understood, Forbidden for types that the caller may not search.
    """
    interaction = "search-system" if resource_type is None else "search-type"
    require(context.scope, interaction, resource_type)
    asked = _asked(resource_type, pairs, context, compartment)
    rows, total = _run(asked, interaction, resource_type, compartment)
    if asked.request.counts_only:
        warnings = _incomplete(asked)
        return Answer(200, bundle.join("searchset", warnings, link=_links(asked, (), False), total=total))
    more = len(rows) > asked.request.count
    rows = rows[: asked.request.count]
    if asked.backwards:
        rows.reverse()
    if total is None and asked.position is None and not more and asked.request.total != "none":
        total = len(rows)
    entries = _entries(asked, rows)
    return Answer(200, bundle.join("searchset", entries, link=_links(asked, rows, more), total=total))


def _asked(resource_type: str | None, pairs: Pairs, context: Context, compartment: tuple[str, str] | None) -> _Search:
    request = parse.read(resource_type, pairs, context.scope, context.base_url, lenient=context.lenient)
    made = plan.make(request, context.scope, statistics.current(), compartment)
    path = "/".join((*(compartment or ()), resource_type or ("*" if compartment else "")))
    bound = paging.fingerprint(context.scope.user_id, path, request.kept)
    position = None
    if request.cursor is not None:
        position = paging.unseal(request.cursor, bound, len(made.keys))
        if position.backwards:
            made = replace(made, keys=tuple(key.reversed() for key in made.keys))
    return _Search(request, context, path, made, bound, position)


def _run(
    asked: _Search, interaction: str, resource_type: str | None, compartment: tuple[str, str] | None
) -> tuple[list[Any], int | None]:
    """The rows of the page, one more than asked for if there are more, and the total where it is wanted."""
    request = asked.request
    counting = _counting(asked)
    audit_row = _audit_row(asked, interaction, resource_type, compartment)
    total: int | None = None
    if request.counts_only:
        assert counting is not None
        rows, found = [], _audited(counting, audit_row)
        total = int(found[0][0])
    else:
        after = None if asked.position is None else asked.position.keys
        rows = _audited(sql.page(asked.plan, request.count + 1, after, total=counting), audit_row)
        total = None if counting is None else _total_in(asked, rows)
    if total is not None and request.total == "estimate" and total > _COUNTED:
        total = _estimate(asked)
    return rows, total


def _audited(question: database.Statement, row: recorder.Row) -> list[Any]:
    """The rows of a question, with its audit row in the same round trip.

    One statement is cheapest and, because it writes, is not spread over parallel workers; on Citus two are routed.
    """
    text, parameters = question
    if citus.distributed():
        return database.batch([question, (recorder.INSERT_SQL, row)])[0]
    return database.fetch(f"WITH a AS ({recorder.INSERT_SQL}) {text}", (*row, *parameters))


def _total_in(asked: _Search, rows: Sequence[Any]) -> int | None:
    """The total that each row of a page carries; a page without rows tells it only if it is the first."""
    if rows:
        return int(rows[0][-2])
    return 0 if asked.position is None else None


def _counting(asked: _Search) -> database.Statement | None:
    """The statement for the total: when it is asked for, and of one patient's chart, where it costs little."""
    request = asked.request
    if request.total == "estimate":
        return sql.bounded_total(asked.plan, _COUNTED + 1)
    if request.counts_only or request.total == "accurate" or (request.total is None and asked.plan.patient is not None):
        return sql.total(asked.plan)
    return None


def _estimate(asked: _Search) -> int:
    text, parameters = sql.matches(asked.plan)
    explained = database.fetch(f"EXPLAIN (FORMAT JSON) {text}", parameters)[0][0]
    return max(_COUNTED + 1, int(explained[0]["Plan"]["Plan Rows"]))


def _audit_row(
    asked: _Search, interaction: str, resource_type: str | None, compartment: tuple[str, str] | None
) -> recorder.Row:
    patient = asked.plan.patient
    if patient is None and compartment is not None and compartment[0] == "Patient":
        patient = compartment[1]
    if patient is None and asked.context.scope.compartment is not None:
        patient = asked.context.scope.compartment.removeprefix("Patient/")
    return asked.context.audit(
        interaction,
        bucket=None if patient is None else ids.bucket_of(patient),
        status=200,
        at=store.now(),
        type_number=None if resource_type is None else TYPE_NUMBER[resource_type],
        pat=None if patient is None else ids.patient_hash(patient),
        patient=patient,
        query=_query(asked.path, asked.request.kept),
    )


# --- the Bundle


def _entries(asked: _Search, rows: Sequence[Any]) -> Iterable[bytes]:
    base_url, request = asked.context.base_url, asked.request
    found: list[Found] = [(TYPE_NAME[row[0]], row[1], row[-1]) for row in rows]
    entries = [_entry(base_url, item, "match", request.summary, request.elements) for item in found]
    if request.includes and found:
        others = included(found, request.includes, asked.context.scope, base_url)
        entries += [_entry(base_url, item, "include", request.summary, ()) for item in others]
    if request.ignored:
        entries.append(_warning(asked))
    return [*entries, *_incomplete(asked)]


def _entry(base_url: str, found: Found, mode: str, wanted: str | None, elements: tuple[str, ...]) -> bytes:
    kind, resource_id, text = found
    body = text.encode()
    if elements or wanted not in (None, "false"):
        body = json.dumps(summary.project(json.loads(body), summary=wanted, elements=elements))
    head = f'{{"fullUrl":"{base_url}/{kind}/{resource_id}","resource":'
    return b"".join((head.encode(), body, b',"search":{"mode":"', mode.encode(), b'"}}'))


def _warning(asked: _Search) -> bytes:
    text = lazy_text(
        _("These parameters are not known and were ignored: %(names)s."), names=", ".join(asked.request.ignored)
    )
    return _outcome(asked, [Issue("not-supported", text, severity="warning")])


def _outcome(asked: _Search, issues: Sequence[Issue], **head: str) -> bytes:
    """An entry that speaks of the search itself (https://hl7.org/fhir/R4/search.html#outcome)."""
    body = json.dumps({"resourceType": "OperationOutcome", **head, **outcome.resource(issues, asked.context.language)})
    return b'{"resource":' + body + b',"search":{"mode":"outcome"}}'


def _incomplete(asked: _Search) -> list[bytes]:
    """A warning where a parameter that a client defined is not indexed for all resources yet."""
    found = custom.incomplete(asked.request.custom)
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


def _query(path: str, pairs: Pairs) -> str:
    return path + ("?" + urlencode(pairs, quote_via=quote, safe=":,/*") if pairs else "")


def _links(asked: _Search, rows: Sequence[Any], more: bool) -> list[dict[str, str]]:
    """self, first, next and previous (https://hl7.org/fhir/R4/search.html#Paging)."""
    base = f"{asked.context.base_url}/"
    kept = list(asked.request.kept)
    links = [("self", base + _query(asked.path, kept))]
    if asked.position is None and not more:
        return bundle.links(links)
    links.append(("first", base + _query(asked.path, kept)))
    keys = len(asked.plan.keys)

    def link(row: Any, backwards: bool) -> str:
        token = paging.seal(Position(tuple(row[4 : 4 + keys]), backwards), asked.bound)
        return base + _query(asked.path, [*kept, ("_cursor", token)])

    if rows and (asked.backwards or more):
        links.append(("next", link(rows[-1], False)))
    if rows and asked.position is not None and (more or not asked.backwards):
        links.append(("previous", link(rows[0], True)))
    return bundle.links(links)
