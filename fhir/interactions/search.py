"""FHIR search interaction: https://hl7.org/fhir/R4/http.html#search.

`parse → plan → SQL → rows → include → Bundle`. The page, its total and the audit row are one round trip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django.utils.translation import gettext_lazy as _

from accounts.models import Role
from audit import recorder
from fhir import citus, database, ids, store
from fhir.definitions.structure import TYPE_NUMBER
from fhir.exceptions import Forbidden, Issue, Unavailable
from fhir.permissions import require
from fhir.search import binding, explain, local_chain, parse, places, plan, sql, statistics
from fhir.search import page as paging
from fhir.terminology import Terminology

from . import Answer, Context, contained, searchset
from .searchset import Search

Pairs = Sequence[tuple[str, str]]
# `_total=estimate` counts up to here; beyond it says what the planner expects.
_COUNTED = 10_000


def search(
    resource_type: str | None, pairs: Pairs, context: Context, *, compartment: tuple[str, str] | None = None
) -> Answer:
    """A searchset Bundle of one type, of the system (None), or of a compartment such as ("Patient", id).

    Raises InvalidRequest for what is not understood, Forbidden for types that the caller may not search.
    """
    interaction = "search-system" if resource_type is None else "search-type"
    require(context.scope, interaction, resource_type)
    return database.retry(lambda: _search(interaction, resource_type, pairs, context, compartment))


def _search(
    interaction: str,
    resource_type: str | None,
    pairs: Pairs,
    context: Context,
    compartment: tuple[str, str] | None,
) -> Answer:
    asked = _asked(resource_type, pairs, context, compartment)
    if asked.request.explain:
        _require_explaining(context)
    if asked.request.contained != "false":
        row = _audit_row(asked, interaction, resource_type, compartment)
        return contained.search(asked, lambda statement: _audited(statement, row, asked))
    rows, total = _run(asked, interaction, resource_type, compartment)
    said = [_explanation(asked)] if asked.request.explain else []
    if asked.request.counts_only:
        return Answer(200, searchset.count(asked, total, said))
    more = len(rows) > asked.request.count
    rows = rows[: asked.request.count]
    if asked.backwards:
        rows.reverse()
    if total is None and asked.position is None and not more and asked.request.total != "none":
        total = len(rows)
    return Answer(200, searchset.answer(asked, rows, more, total, said))


def _asked(resource_type: str | None, pairs: Pairs, context: Context, compartment: tuple[str, str] | None) -> Search:
    request = parse.read(
        resource_type,
        pairs,
        context.scope,
        context.base_url,
        lenient=context.lenient,
        terminology=Terminology(context.base_url),
    )
    searched = request if request.contained == "false" else contained.candidates(request, context.scope)
    made = places.narrowed(plan.make(searched, context.scope, statistics.current(), compartment))
    path = "/".join((*(compartment or ()), resource_type or ("*" if compartment else "")))
    bound = paging.fingerprint(context.scope.user_id, path, request.kept)
    position = None
    if request.cursor is not None:
        position = paging.unseal(request.cursor, bound, len(made.keys))
        if position.backwards:
            made = replace(made, keys=tuple(key.reversed() for key in made.keys))
    return Search(request, context, path, made, bound, position)


def _run(
    asked: Search, interaction: str, resource_type: str | None, compartment: tuple[str, str] | None
) -> tuple[list[Any], int | None]:
    """The rows of the page, one more than asked for if there are more, and the total where it is wanted."""
    request = asked.request
    rows = _found(asked, _audit_row(asked, interaction, resource_type, compartment))
    total: int | None = None
    if request.counts_only:
        total, rows = int(rows[0][0]) if rows else None, []
    elif _counts(asked):
        total = _total_in(asked, rows)
    if total is not None and request.total == "estimate" and total > _COUNTED:
        total = _estimate(asked)
    return rows, total


def _found(asked: Search, audit_row: recorder.Row) -> list[Any]:
    """The rows that answer: of the patient's chart alone where those are the whole answer (fhir.search.local_chain).

    Then the plan of the search is that one.
    """
    near = local_chain.local(asked.plan, statistics.current())
    if near is None:
        return _audited(_question(asked), audit_row, asked)
    local = replace(asked, plan=near)
    rows = local_chain.whole(_audited(_question(local), audit_row, local))
    if rows is None:
        return _asked_again(asked)
    asked.plan = near
    return rows


def _asked_again(asked: Search) -> list[Any]:
    """The rows of a search that has its audit row. Raises Unavailable."""
    try:
        return database.fetch(*binding.bound(asked.plan, _question(asked)))
    except Unavailable as error:
        return _stopped(error, asked)


def _question(asked: Search) -> database.Statement:
    counting = _counting(asked)
    if not asked.request.counts_only:
        return _page(asked, counting)
    assert counting is not None
    return sql.count(asked.plan, counting)


def _page(asked: Search, counting: database.Statement | None) -> database.Statement:
    after = None if asked.position is None else asked.position.keys
    return sql.page(asked.plan, asked.request.count + 1, after, total=counting)


def _audited(question: database.Statement, row: recorder.Row, asked: Search) -> list[Any]:
    """The rows of a question, with its audit row in the same round trip. Raises Unavailable.

    One statement is cheapest and, because it writes, is not spread over parallel workers; two are what Citus routes,
    and what two shards want.
    """
    text, parameters = question
    bucket, shard = int(row[0]), asked.plan.shard
    try:
        if database.here(bucket) is not shard or (shard is None and citus.distributed()):
            sent = [binding.bound(asked.plan, question), database.at(bucket, (recorder.INSERT_SQL, row))]
            return database.batch(sent)[0]
        whole = f"WITH a AS ({recorder.INSERT_SQL}) {text}", (*row, *parameters)
        return database.fetch(*binding.bound(asked.plan, whole))
    except Unavailable as error:
        found = _stopped(error, asked)
        database.fetch(recorder.INSERT_SQL, row)
        return found


def _stopped(error: Unavailable, asked: Search) -> list[Any]:
    """No rows where a search that took too long is to be explained. Raises Unavailable."""
    if error.issues[0].code != "timeout":
        raise error
    if not asked.request.explain:
        raise _too_slow(error) from error
    return []


def _too_slow(error: Unavailable) -> Unavailable:
    hint = Issue("informational", _("An administrator can see how it is answered with _explain=true."))
    return Unavailable(issues=(*error.issues, replace(hint, severity="information")), headers=error.headers)


def _require_explaining(context: Context) -> None:
    """Plans and numbers of rows tell of other patients: they are for those who may see all. Raises Forbidden."""
    if context.scope.role != Role.ADMINISTRATOR.value:
        raise Forbidden(_("Only an administrator may have a search explained."))


def _explanation(asked: Search) -> bytes:
    total = sql.total(asked.plan)
    statement = sql.count(asked.plan, total) if asked.request.counts_only else _page(asked, None)
    told = explain.outcome(asked.plan, statement, statistics.current(), asked.context.language)
    return searchset.outcome_entry(told)


def _total_in(asked: Search, rows: Sequence[Any]) -> int | None:
    """The total that each row of a page carries; a page without rows tells it only if it is the first.

    None where the page is the first and not full: then it is the number of its rows.
    """
    if rows:
        return None if rows[0][-2] is None else int(rows[0][-2])
    return 0 if asked.position is None else None


def _counts(asked: Search) -> bool:
    """Whether there is a total: when it is asked for, and of one patient's chart, where it costs little."""
    request = asked.request
    wanted = request.counts_only or request.total in ("accurate", "estimate")
    return wanted or (request.total is None and asked.plan.patient is not None)


def _counting(asked: Search) -> database.Statement | None:
    """The statement for the total."""
    if not _counts(asked):
        return None
    return sql.bounded_total(asked.plan, _COUNTED + 1) if asked.request.total == "estimate" else sql.total(asked.plan)


def _estimate(asked: Search) -> int:
    text, parameters = sql.matches(asked.plan)
    statement = binding.bound(asked.plan, (f"EXPLAIN (FORMAT JSON) {text}", parameters))
    explained = database.fetch(*statement)[0][0]
    return max(_COUNTED + 1, int(explained[0]["Plan"]["Plan Rows"]))


def _audit_row(
    asked: Search, interaction: str, resource_type: str | None, compartment: tuple[str, str] | None
) -> recorder.Row:
    patient = asked.plan.patient
    if patient is None and compartment is not None and compartment[0] == "Patient":
        patient = compartment[1]
    if patient is None and asked.context.scope.compartment is not None:
        patient = asked.context.scope.compartment.removeprefix("Patient/")
    return asked.context.audit(
        interaction,
        # Beside the rows, where one bucket has them all: no other node is needed for it.
        bucket=asked.plan.bucket if patient is None else ids.bucket_of(patient),
        status=200,
        at=store.now(),
        type_number=None if resource_type is None else TYPE_NUMBER[resource_type],
        pat=None if patient is None else ids.patient_hash(patient),
        patient=patient,
        query=searchset.query(asked.path, asked.request.kept),
    )
