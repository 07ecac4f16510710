"""The tables of the FHIR store, all keyed and joined on `bucket` (docs/architecture.md, "Tables").

The hot paths speak SQL (fhir.store, fhir.search); the models are their schema, and the migrations come from them.
No foreign keys, no identity columns, no defaults of the database: what Citus cannot distribute is not here.
"""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models import Q


class Method(models.IntegerChoices):
    """How a version came to be; what history Bundles show as request.method."""

    POST = 1
    PUT = 2
    DELETE = 3
    PATCH = 4


class Keyed(models.Model):
    """What every table shares: the place, the type number and the id."""

    bucket = models.IntegerField()
    type = models.SmallIntegerField()
    id = models.TextField(db_collation="C")

    class Meta:
        abstract = True


class Resource(Keyed):
    """The current version of a resource, deleted ones too, without its content.

    `pat` is the hash of the compartment's patient (fhir.ids.patient_hash), `sdate` the clinical date in microseconds
    since 1970 (-Infinity where the type has none), `terms` the hashes of tokens, references and uris, `present` a
    bit for each search parameter that has a value (fhir.search.extract).
    """

    pk = models.CompositePrimaryKey("bucket", "type", "id")
    version = models.IntegerField()
    updated = models.DateTimeField()
    method = models.SmallIntegerField(choices=Method.choices)
    deleted = models.BooleanField()
    pat = models.BigIntegerField(null=True)
    sdate = models.FloatField()
    present = models.BigIntegerField()
    terms = ArrayField(models.BigIntegerField())

    class Meta:
        db_table = "resource"
        indexes = [
            models.Index("pat", "type", "sdate", "id", name="resource_chart", condition=Q(deleted=False)),
            models.Index("type", "sdate", "id", name="resource_type_date", condition=Q(deleted=False)),
            models.Index("type", "updated", "id", name="resource_type_updated"),
            GinIndex(fields=["terms"], name="resource_terms", gin_pending_list_limit=256),
        ]


class Content(Keyed):
    """The JSON text of a current version, as it is sent."""

    pk = models.CompositePrimaryKey("bucket", "type", "id")
    body = models.TextField()

    class Meta:
        db_table = "content"


class History(Keyed):
    """A superseded version; `body` is null where that version was a deletion.

    `pat` is whom that version was about: the policy of old versions is theirs, not that of the current one.
    """

    pk = models.CompositePrimaryKey("bucket", "type", "id", "version")
    version = models.IntegerField()
    updated = models.DateTimeField()
    method = models.SmallIntegerField(choices=Method.choices)
    pat = models.BigIntegerField(null=True)
    body = models.TextField(null=True)

    class Meta:
        db_table = "history"
        indexes = [models.Index("type", "updated", "id", name="history_type_updated")]


class Row(Keyed):
    """An index row of a resource; `n` numbers the rows of one resource, so that each has a key."""

    n = models.SmallIntegerField()

    class Meta:
        abstract = True


class RangeRow(Row):
    """A date (microseconds since 1970), number or quantity, as the interval that its precision gives: [lo, hi).

    `param` is fhir.ids.hash32("Type|code"), `unit` a hash for quantities.
    """

    pk = models.CompositePrimaryKey("bucket", "type", "id", "n")
    param = models.IntegerField()
    unit = models.BigIntegerField(null=True)
    lo = models.FloatField()
    hi = models.FloatField()

    class Meta:
        db_table = "range_index"
        indexes = [models.Index("param", "lo", name="range_param_lo")]


class StringRow(Row):
    """A string: folded for the default match, as it was for :exact."""

    pk = models.CompositePrimaryKey("bucket", "type", "id", "n")
    param = models.IntegerField()
    value = models.TextField(db_collation="C")
    exact = models.TextField(db_collation="C")

    class Meta:
        db_table = "string_index"
        indexes = [
            models.Index("param", "value", name="string_param_value"),
            GinIndex(OpClass("value", "gin_trgm_ops"), name="string_trigrams"),
        ]


class CodeValueRow(Row):
    """A code with a number beside it, for composite parameters: `code` hashes parameter and token."""

    pk = models.CompositePrimaryKey("bucket", "type", "id", "n")
    code = models.BigIntegerField()
    unit = models.BigIntegerField(null=True)
    lo = models.FloatField()
    hi = models.FloatField()

    class Meta:
        db_table = "code_value_index"
        indexes = [models.Index("code", "lo", name="code_value_code_lo")]


class Locator(Keyed):
    """At an id's home bucket: where the resource lies instead (fhir.ids.bucket_of)."""

    pk = models.CompositePrimaryKey("bucket", "type", "id")
    target = models.IntegerField()

    class Meta:
        db_table = "locator"


class CompartmentLink(Keyed):
    """At a patient's bucket: a resource that names this patient and lies in another bucket, `target`.

    `pat` is the patient's hash (fhir.ids.patient_hash), `type` and `id` are those of the resource. Complete: every
    resource that is not deleted and names a local Patient beside the one who decides its place (its terms hold
    fhir.ids.compartment_term) has a row here unless the patient's bucket is its own, with the bucket that it lies in.
    Rows too many (of a resource that was deleted, or no longer names the patient) do no harm: what they lead to is
    judged again. A write adds rows, or gives them a new `target`, in its own transaction; it removes none.
    """

    pk = models.CompositePrimaryKey("bucket", "pat", "type", "id")
    pat = models.BigIntegerField()
    target = models.IntegerField()

    class Meta:
        db_table = "compartment_link"


class IdentifierLocator(Keyed):
    """Where resources with an identifier lie: in bucket `target`. Of the types fhir.ids.LOCATED_TYPES.

    `value` and `term` are terms of the resource (fhir.search.hashing): of the identifier whatever its system, and of
    system and value; `bucket` is fhir.ids.bucket_of_term(value). Complete: every resource of these types that is not
    deleted has a row for each Identifier.value of its own. Rows too many do no harm, as in CompartmentLink.
    """

    pk = models.CompositePrimaryKey("bucket", "value", "term", "type", "id")
    value = models.BigIntegerField()
    term = models.BigIntegerField()
    target = models.IntegerField()

    class Meta:
        db_table = "identifier_locator"


class LoadCheckpoint(models.Model):
    """How far `manage.py load` is with a file, which is known by the SHA-256 of its bytes (docs/charts.md).

    Written in the transaction of the resources that it counts, so that it cannot say more or less than was stored.
    `line` and `part` are the last ones done. A table of the coordinator: it is not about patients.
    """

    digest = models.TextField(primary_key=True)
    name = models.TextField()
    line = models.BigIntegerField()
    part = models.IntegerField()
    created = models.BigIntegerField()
    updated = models.BigIntegerField()
    refused = models.BigIntegerField()
    finished = models.BooleanField()
    at = models.DateTimeField()

    class Meta:
        db_table = "load_checkpoint"


class CustomParameter(models.Model):
    """A search parameter that a stored SearchParameter defines for one type, and whether all resources are indexed.

    `name` is "Type.code~fingerprint" (fhir.search.custom), `version` that of the SearchParameter, `since` when the
    server took notice of it, at the address `base_url`, `ready_at` when a reindex had covered all resources. A table of
    the coordinator.
    """

    name = models.TextField(primary_key=True)
    type = models.SmallIntegerField()
    resource_id = models.TextField()
    version = models.IntegerField()
    base_url = models.TextField()
    since = models.DateTimeField()
    ready_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "custom_parameter"


class ReindexJob(models.Model):
    """A run over resources of these types that makes their index rows anew (fhir.reindex). A table of the coordinator.

    `parameters` names custom parameters: then only resources that are not indexed for them are looked at. `total` is
    how many resources there were to look at; `failed` says that an error ended it; `not_before` is when it may begin.
    """

    id = models.UUIDField(primary_key=True)
    types = ArrayField(models.SmallIntegerField())
    parameters = ArrayField(models.TextField())
    base_url = models.TextField()
    requested_by = models.TextField()
    created = models.DateTimeField()
    not_before = models.DateTimeField()
    total = models.BigIntegerField(null=True)
    finished = models.DateTimeField(null=True)
    cancelled = models.BooleanField()
    failed = models.BooleanField()

    class Meta:
        db_table = "reindex_job"
        indexes = [models.Index("created", name="reindex_job_open", condition=Q(finished__isnull=True))]


class ReindexRange(models.Model):
    """How far a job is in the buckets `first` to `last`: behind (bucket, type, resource_id), written with the rows.

    `seen` counts the resources that were looked at, `changed` those whose rows were not right.
    """

    pk = models.CompositePrimaryKey("job", "first")
    job = models.UUIDField()
    first = models.IntegerField()
    last = models.IntegerField()
    bucket = models.IntegerField()
    type = models.SmallIntegerField()
    resource_id = models.TextField(db_collation="C")
    seen = models.BigIntegerField()
    changed = models.BigIntegerField()
    finished = models.BooleanField()

    class Meta:
        db_table = "reindex_range"


class StoredDefinition(models.Model):
    """A copy of the newest version of a SearchParameter, ValueSet or CodeSystem (fhir.stored_definitions).

    `url` is the hash of its canonical url; `body` is null where it was deleted. A table of the coordinator.
    """

    pk = models.CompositePrimaryKey("type", "id")
    type = models.SmallIntegerField()
    id = models.TextField(db_collation="C")
    version = models.IntegerField()
    updated = models.DateTimeField()
    url = models.BigIntegerField(null=True)
    body = models.TextField(null=True)

    class Meta:
        db_table = "stored_definition"
        indexes = [models.Index("url", name="stored_definition_url")]
