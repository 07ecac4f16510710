"""Statements whose best plan depends on their values carry them in the text, so that PostgreSQL plans them anew.

Sessions on plain PostgreSQL keep one generic plan for a statement (fhir.apps.plans): making a plan costs more
than most searches do. Citus routes by the values and plans as it always does.
"""

from __future__ import annotations

from typing import Any

from psycopg import ClientCursor

from fhir import citus, database

from .plan import Plan


def bound(plan: Plan, statement: database.Statement) -> tuple[str, Any]:
    """The statement as it is to be sent: with its parameters beside it, or in it and None; to the shard that has all of
    it, where the plan says which. Raises Unavailable."""
    if plan.shard is not None:
        text, parameters = plan.shard.own(statement[0]), statement[1]
        return (text, parameters) if plan.generic else (plan.shard.bound(_filled(text, parameters)), None)
    return statement if plan.generic or citus.distributed() else (_filled(*statement), None)


def _filled(text: str, parameters: Any) -> str:
    return ClientCursor(database.raw()).mogrify(text, parameters)
