"""Every answer carries its request id and the security headers; the API pays for nothing that pages need."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from django.conf import settings
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.utils.module_loading import import_string

from accounts.models import User
from audit.models import AuditRecord
from clinical_records.middleware import PagesOnly
from clinical_records.testing import ApiClient

GIVEN = "0b5d3f8e-6f0f-4c0e-9d7e-0d5f4f1d2c3b"


def test_a_request_id_is_made(client: Client) -> None:
    first, second = (client.get("/health/live").headers["X-Request-Id"] for _ in range(2))
    assert uuid.UUID(first) != uuid.UUID(second)


def test_a_uuid_of_the_caller_is_taken_over(client: Client) -> None:
    answer = client.get("/health/live", headers={"X-Request-Id": GIVEN})
    assert answer.headers["X-Request-Id"] == GIVEN
    assert "X-Correlation-Id" not in answer.headers


def test_another_id_of_the_caller_comes_back_as_correlation_id(client: Client) -> None:
    answer = client.get("/health/live", headers={"X-Request-Id": "batch-7"})
    assert uuid.UUID(answer.headers["X-Request-Id"])
    assert answer.headers["X-Correlation-Id"] == "batch-7"


@pytest.mark.parametrize("bad", ["a b", "x" * 129, "ñ", "\r\nSet-Cookie: a=b"])
def test_an_id_that_has_no_place_in_a_header_does_not_come_back(client: Client, bad: str) -> None:
    answer = client.get("/health/live", HTTP_X_REQUEST_ID=bad)
    assert "X-Correlation-Id" not in answer.headers
    assert "Set-Cookie" not in answer.headers


def test_the_same_id_is_in_the_audit_row(api: Callable[..., ApiClient]) -> None:
    request_id = str(uuid.uuid4())
    api().get("Patient?_count=1", headers={"X-Request-Id": request_id})
    assert AuditRecord.objects.filter(request_id=request_id).exists()


def test_headers_of_the_api(client: Client) -> None:
    headers = client.get("/health/live").headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["Cache-Control"] == "no-store"
    assert not headers.get("Set-Cookie")


@pytest.mark.django_db
def test_headers_of_pages(client: Client) -> None:
    answer = client.get("/", headers={"Accept-Language": "en"})
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Language"] == "en"
    assert "A FHIR R4 server" in answer.content.decode()


@pytest.mark.django_db
def test_pages_speak_spanish_unless_asked(client: Client) -> None:
    assert "Un servidor FHIR R4" in client.get("/").content.decode()


def test_all_but_the_first_are_for_pages_only() -> None:
    first, *others = (import_string(path) for path in settings.MIDDLEWARE)
    assert not issubclass(first, PagesOnly)
    assert all(issubclass(middleware, PagesOnly) for middleware in others)


@pytest.mark.parametrize("path", ["/fhir/R4/Patient", "/auth/login", "/health", "/health/ready"])
@pytest.mark.parametrize("position", range(1, len(settings.MIDDLEWARE)))
def test_the_api_passes_the_middleware_of_pages(path: str, position: int) -> None:
    request = RequestFactory().get(path)
    answered = object()
    inner = import_string(settings.MIDDLEWARE[position])(lambda request: answered)
    seen = []

    def outer(request: object) -> object:
        seen.append(inner(request))
        return HttpResponse()

    import_string(settings.MIDDLEWARE[0])(outer)(request)
    assert seen == [answered]
    assert not hasattr(request, "session")
    assert not hasattr(request, "user")


@pytest.mark.django_db
def test_a_cookie_does_not_open_the_api(client: Client) -> None:
    user = User.objects.create_user("root", role="administrator", is_staff=True, is_superuser=True)
    client.force_login(user)
    assert client.get("/admin/").status_code == 200
    assert client.get("/fhir/R4/Patient").status_code == 401
