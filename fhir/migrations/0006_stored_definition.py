from __future__ import annotations

from typing import Any

from django.db import migrations, models

from fhir.definitions.structure import TYPE_NUMBER

TYPES = [TYPE_NUMBER[name] for name in ("SearchParameter", "ValueSet", "CodeSystem")]
_STORED = """SELECT r.type, r.id, r.version, r.updated, c.body FROM resource r
 LEFT JOIN content c ON c.bucket = r.bucket AND c.type = r.type AND c.id = r.id
 WHERE r.type = ANY(%s::smallint[])"""
_SAVE = """INSERT INTO stored_definition (type, id, version, updated, url, body)
 SELECT * FROM unnest(%s::smallint[], %s::text[], %s::int[], %s::timestamptz[], %s::bigint[], %s::text[])"""


def copy(apps: Any, schema_editor: Any) -> None:
    """Copies what is stored on the shards."""
    from fhir.stored_definitions import url_of

    with schema_editor.connection.cursor() as cursor:
        cursor.execute(_STORED, [TYPES])
        rows = [(*row[:4], url_of(row[4]), row[4]) for row in cursor.fetchall()]
        if rows:
            cursor.execute(_SAVE, [list(column) for column in zip(*rows, strict=True)])


class Migration(migrations.Migration):

    dependencies = [
        ("fhir", "0005_places"),
    ]

    operations = [
        migrations.CreateModel(
            name="StoredDefinition",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "type", "id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("type", models.SmallIntegerField()),
                ("id", models.TextField(db_collation="C")),
                ("version", models.IntegerField()),
                ("updated", models.DateTimeField()),
                ("url", models.BigIntegerField(null=True)),
                ("body", models.TextField(null=True)),
            ],
            options={
                "db_table": "stored_definition",
                "indexes": [models.Index("url", name="stored_definition_url")],
            },
        ),
        migrations.RunPython(copy, migrations.RunPython.noop),
    ]
