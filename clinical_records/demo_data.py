"""What the demo asks the store: is there anything in it, and whose chart do the demo users get?"""

from __future__ import annotations

from django.db.models import Count

from fhir.definitions.structure import TYPE_NUMBER
from fhir.ids import patient_hash
from fhir.models import Resource

CANDIDATES = 200


def patient_count() -> int:
    """Patients that are, or were, in the store: a deleted one is not generated again."""
    return Resource.objects.filter(type=TYPE_NUMBER["Patient"]).count()


def people_to_link() -> tuple[str | None, str | None]:
    """The ids of a Patient, the one with the most resources among some, and of a Practitioner; None without any."""
    patients = _first("Patient", CANDIDATES)
    by_hash = {patient_hash(patient): patient for patient in patients}
    counted = Resource.objects.filter(pat__in=by_hash, deleted=False).values("pat").annotate(resources=Count("id"))
    fullest = counted.order_by("-resources", "pat").values_list("pat", flat=True).first()
    practitioners = _first("Practitioner", 1)
    return by_hash[fullest] if fullest is not None else None, practitioners[0] if practitioners else None


def _first(resource_type: str, count: int) -> list[str]:
    resources = Resource.objects.filter(type=TYPE_NUMBER[resource_type], deleted=False)
    return list(resources.order_by("updated", "id").values_list("id", flat=True)[:count])
