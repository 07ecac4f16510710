"""What a condition finds: for conditional interactions, inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext_lazy as _

from accounts.scopes import Scope
from accounts.texts import lazy_text
from fhir import database
from fhir.exceptions import Unavailable

from . import binding, parse, places, plan, sql, statistics
from .plan import Plan
from .request import SearchRequest
from .terminology import Terminology


@dataclass(frozen=True, slots=True)
class Match:
    """Where a resource lies; `type` is the number of its type."""

    type: int
    id: str
    version: int
    bucket: int


def condition(
    resource_type: str,
    pairs: Sequence[tuple[str, str]],
    scope: Scope,
    base_url: str,
    *,
    terminology: Terminology | None = None,
) -> Plan:
    """The plan of a condition, for `found`. Raises InvalidRequest, Forbidden.

    It contains what the caller may see. Nothing is lenient here: a condition that is not understood must not match,
    and one that cannot see all resources yet is not asked (Unavailable).
    """
    request = parse.read(resource_type, pairs, scope, base_url, terminology=terminology)
    require_complete(request)
    return plan.make(request, scope, statistics.current())


def found(
    transaction: database.Transaction, lock: database.Statement, plans: Sequence[Plan], *, limit: int
) -> list[list[Match]]:
    """At most `limit` matches of each plan, inside the transaction and behind the lock: one round trip, on Citus two
    where the places are asked for."""
    narrowing = places.Narrowing(plans)
    if narrowing.questions:
        _locked, *answers = transaction.send([lock, *narrowing.questions])
        rows = transaction.send([_statement(each, limit) for each in narrowing.plans(answers)])
    else:
        _locked, *rows = transaction.send([lock, *(_statement(each, limit) for each in narrowing.plans([]))])
    return [[Match(*row[:4]) for row in each] for each in rows]


def _statement(made: Plan, limit: int) -> database.Statement:
    return binding.bound(made, sql.page(made, limit, body=False))


def require_complete(request: SearchRequest) -> None:
    """Raises Unavailable where the request depends on a parameter that some resources are not indexed for yet."""
    for parameter in request.incomplete:
        text = _("Not all records are indexed for the search parameter “%(code)s” yet, which a condition needs.")
        raise Unavailable(lazy_text(text, code=parameter.code))
