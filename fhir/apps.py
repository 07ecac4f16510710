from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.backends.signals import connection_created
from psycopg.types.numeric import Int8Dumper

from fhir import nodes

_ONE_PLAN = """SELECT set_config('plan_cache_mode', 'force_generic_plan', false)
 WHERE NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')"""
_NEW_PLANS = """SELECT set_config('plan_cache_mode', 'force_custom_plan', false)
 WHERE NOT EXISTS (SELECT FROM pg_dist_node WHERE groupid <> 0)
 OR EXISTS (SELECT FROM pg_dist_node WHERE groupid = 0 AND shouldhaveshards)"""


def one_integer_type(*, connection: Any, **_: Any) -> None:
    """psycopg types an int by its size, and PostgreSQL would prepare a statement for each mix of sizes: one type."""
    if connection.vendor == "postgresql":
        connection.connection.adapters.register_dumper(int, Int8Dumper)


def plans(*, connection: Any, **_: Any) -> None:
    """PostgreSQL keeps one plan for a statement (docs/search.md); Citus needs the values to know the shard.

    Where the coordinator has shards itself, Citus 13.2 adds 40 kB to a kept plan at each use, until the session ends:
    its look-up of what it has planned for a shard never finds it. There every plan is a new one, which costs the same
    (docs/decisions/0060-layouts.md). Where there is Citus, its nodes are watched.
    """
    if connection.vendor == "postgresql":
        raw = connection.connection
        if raw.execute(_ONE_PLAN).fetchone() is None:
            raw.execute(_NEW_PLANS)
            nodes.watch()


def watched_statements(*, connection: Any, **_: Any) -> None:
    """What Django itself sends is watched too."""
    if nodes.watched not in connection.execute_wrappers:
        connection.execute_wrappers.append(nodes.watched)


class FhirConfig(AppConfig):
    name = "fhir"
    verbose_name = "FHIR R4"

    def ready(self) -> None:
        connection_created.connect(one_integer_type, dispatch_uid="fhir.one_integer_type")
        connection_created.connect(plans, dispatch_uid="fhir.plans")
        connection_created.connect(watched_statements, dispatch_uid="fhir.watched_statements")
