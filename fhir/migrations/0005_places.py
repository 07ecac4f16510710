from __future__ import annotations

from django.db import migrations, models

from fhir.citus import Distribute
from fhir.place_fill import fill

KEY = [
    ("bucket", models.IntegerField()),
    ("type", models.SmallIntegerField()),
    ("id", models.TextField(db_collation="C")),
]


def primary(*names: str) -> tuple[str, models.Field]:
    key = models.CompositePrimaryKey(*names, blank=True, editable=False, primary_key=True, serialize=False)
    return "pk", key


def fill_tables(_apps: object, _schema_editor: object) -> None:
    fill()


class Migration(migrations.Migration):

    dependencies = [
        ("fhir", "0004_reindex"),
    ]

    operations = [
        migrations.CreateModel(
            name="CompartmentLink",
            fields=[
                *KEY,
                primary("bucket", "pat", "type", "id"),
                ("pat", models.BigIntegerField()),
                ("target", models.IntegerField()),
            ],
            options={"db_table": "compartment_link"},
        ),
        migrations.CreateModel(
            name="IdentifierLocator",
            fields=[
                *KEY,
                primary("bucket", "value", "term", "type", "id"),
                ("value", models.BigIntegerField()),
                ("term", models.BigIntegerField()),
                ("target", models.IntegerField()),
            ],
            options={"db_table": "identifier_locator"},
        ),
        Distribute("compartment_link", colocate_with="resource"),
        Distribute("identifier_locator", colocate_with="resource"),
        migrations.RunPython(fill_tables, migrations.RunPython.noop),
    ]
