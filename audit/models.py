"""The audit table: one row for every access, written in the transaction of the access, never changed."""

from __future__ import annotations

from typing import Any, NoReturn

from django.db import models
from django.utils.translation import gettext_lazy as _

from .interactions import INTERACTION_NAME


class AppendOnlyError(TypeError):
    """Audit rows are neither changed nor deleted."""


class AuditRecordQuerySet(models.QuerySet["AuditRecord"]):
    """Questions only."""

    def update(self, **kwargs: Any) -> NoReturn:
        """Refused. Raises AppendOnlyError."""
        raise AppendOnlyError("Audit rows are never changed.")

    def delete(self) -> NoReturn:
        """Refused. Raises AppendOnlyError."""
        raise AppendOnlyError("Audit rows are never deleted.")


class AuditRecord(models.Model):
    """One access (https://hl7.org/fhir/R4/auditevent.html says what an access is made of).

    `audit.recorder` writes the rows. Distributed by `bucket` where there is Citus: no foreign keys, no defaults of the
    database, ids and times are given. `type` is the number of the FHIR type, `pat` the hash of the patient, `query` the
    search as it was asked, `outcome` that of AuditEvent, `status` the HTTP status.
    """

    pk = models.CompositePrimaryKey("bucket", "at", "id")
    bucket = models.IntegerField()
    id = models.UUIDField()
    at = models.DateTimeField()
    request_id = models.UUIDField()
    user_id = models.TextField()
    username = models.TextField()
    role = models.TextField()
    client = models.TextField()
    interaction = models.SmallIntegerField()
    type = models.SmallIntegerField(null=True)
    resource_id = models.TextField(null=True)
    version = models.IntegerField(null=True)
    pat = models.BigIntegerField(null=True)
    patient = models.TextField(null=True)
    query = models.TextField(null=True)
    outcome = models.SmallIntegerField()
    status = models.SmallIntegerField()
    detail = models.TextField(null=True)

    objects = AuditRecordQuerySet.as_manager()

    class Meta:
        db_table = "audit_record"
        verbose_name = _("audit record")
        verbose_name_plural = _("audit records")
        indexes = [
            models.Index(fields=["pat", "at"], name="audit_record_pat_at", condition=models.Q(pat__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.username} {INTERACTION_NAME[self.interaction]}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert. Raises AppendOnlyError for a row that is already stored."""
        if not self._state.adding:
            raise AppendOnlyError("Audit rows are never changed.")
        super().save(*args, **{**kwargs, "force_insert": True})

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused. Raises AppendOnlyError."""
        raise AppendOnlyError("Audit rows are never deleted.")
