from __future__ import annotations

from django.db import migrations

from fhir.citus import Distribute


class Migration(migrations.Migration):

    dependencies = [
        ("fhir", "0001_initial"),
        ("audit", "0001_initial"),
    ]

    operations = [
        Distribute("resource"),
        *(
            Distribute(table, colocate_with="resource")
            for table in (
                "content",
                "history",
                "range_index",
                "string_index",
                "code_value_index",
                "locator",
                "audit_record",
            )
        ),
    ]
