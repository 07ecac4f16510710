"""The landing page."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """The name of the server and where to go from here."""
    return render(request, "clinical_records/home.html", {"fhir_base": settings.FHIR_BASE_PATH})
