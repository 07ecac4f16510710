from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.backends.signals import connection_created
from psycopg.types.numeric import Int8Dumper


def one_integer_type(*, connection: Any, **_: Any) -> None:
    """psycopg types an int by its size, and PostgreSQL would prepare a statement for each mix of sizes: one type."""
    if connection.vendor == "postgresql":
        connection.connection.adapters.register_dumper(int, Int8Dumper)


class FhirConfig(AppConfig):
    name = "fhir"
    verbose_name = "FHIR R4"

    def ready(self) -> None:
        connection_created.connect(one_integer_type, dispatch_uid="fhir.one_integer_type")
