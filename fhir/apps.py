from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.backends.signals import connection_created
from psycopg.types.numeric import Int8Dumper

_ONE_PLAN = """SELECT set_config('plan_cache_mode', 'force_generic_plan', false)
 WHERE NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')"""


def one_integer_type(*, connection: Any, **_: Any) -> None:
    """psycopg types an int by its size, and PostgreSQL would prepare a statement for each mix of sizes: one type."""
    if connection.vendor == "postgresql":
        connection.connection.adapters.register_dumper(int, Int8Dumper)


def generic_plans(*, connection: Any, **_: Any) -> None:
    """PostgreSQL keeps one plan for a statement (docs/search.md); Citus needs the values to know the shard."""
    if connection.vendor == "postgresql":
        connection.connection.execute(_ONE_PLAN)


class FhirConfig(AppConfig):
    name = "fhir"
    verbose_name = "FHIR R4"

    def ready(self) -> None:
        connection_created.connect(one_integer_type, dispatch_uid="fhir.one_integer_type")
        connection_created.connect(generic_plans, dispatch_uid="fhir.generic_plans")
