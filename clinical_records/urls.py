"""The map of the site."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from clinical_records import health, home

urlpatterns = [
    path("fhir/R4", include("fhir.urls")),
    path("auth/", include("accounts.urls")),
    path("health", health.ready),
    path("health/live", health.live),
    path("health/ready", health.ready),
    path("admin/", admin.site.urls),
    path("", home.home, name="home"),
]
