"""What a condition finds: for conditional interactions, inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from accounts.scopes import Scope
from accounts.texts import lazy_text
from fhir.exceptions import Unavailable

from . import binding, parse, plan, sql, statistics
from .request import SearchRequest
from .terminology import Terminology


@dataclass(frozen=True, slots=True)
class Match:
    """Where a resource lies; `type` is the number of its type."""

    type: int
    id: str
    version: int
    bucket: int


def find_statement(
    resource_type: str,
    pairs: Sequence[tuple[str, str]],
    scope: Scope,
    base_url: str,
    *,
    limit: int,
    terminology: Terminology | None = None,
) -> sql.Statement:
    """The statement that finds at most `limit` resources, for `matches`. Raises InvalidRequest, Forbidden.

    It contains what the caller may see. Nothing is lenient here: a condition that is not understood must not match,
    and one that cannot see all resources yet is not asked (Unavailable).
    """
    request = parse.read(resource_type, pairs, scope, base_url, terminology=terminology)
    require_complete(request)
    made = plan.make(request, scope, statistics.current())
    return binding.bound(made, sql.page(made, limit, body=False))


def require_complete(request: SearchRequest) -> None:
    """Raises Unavailable where the request depends on a parameter that some resources are not indexed for yet."""
    for parameter in request.incomplete:
        text = _("Not all records are indexed for the search parameter “%(code)s” yet, which a condition needs.")
        raise Unavailable(lazy_text(text, code=parameter.code))


def matches(rows: Sequence[tuple[Any, ...]]) -> list[Match]:
    """The matches in the rows of `find_statement`."""
    return [Match(*row[:4]) for row in rows]
