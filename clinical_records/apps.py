"""The project's own app: wiring, checks and commands."""

from __future__ import annotations

from django.apps import AppConfig


class ClinicalRecordsConfig(AppConfig):
    name = "clinical_records"
    verbose_name = "Clinical Records"

    def ready(self) -> None:
        from clinical_records import checks  # noqa: F401  registers them
