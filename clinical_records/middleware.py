"""What every request passes: a request id and security headers. Only pages pay for sessions, CSRF and the rest."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from auditlog.middleware import AuditlogMiddleware
from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponseForbidden
from django.http.response import HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.common import CommonMiddleware
from django.middleware.csrf import CsrfViewMiddleware
from django.middleware.locale import LocaleMiddleware
from django.middleware.security import SecurityMiddleware
from whitenoise.middleware import WhiteNoiseMiddleware

from clinical_records.request_id import current_request_id, new_request_id
from fhir import connections

GetResponse = Callable[[HttpRequest], HttpResponseBase]
UUID_TEXT = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
PRINTABLE = re.compile(r"[!-~]{1,128}")
API_HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
)


def is_api(request: HttpRequest) -> bool:
    """Does this request ask the API, and not a page?"""
    return bool(getattr(request, "api", False))


class RequestContext:
    """The outermost middleware: gives the request its id (`request.request_id`), and says if it is for the API.

    The caller's X-Request-Id is taken over if it is a UUID; any other comes back as X-Correlation-Id.
    https://hl7.org/fhir/R4/http.html#custom
    """

    sync_capable, async_capable = True, False

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.prefixes = tuple(settings.API_PREFIXES)
        hsts = settings.SECURE_HSTS_SECONDS
        self.api_headers = (*API_HEADERS, *([("Strict-Transport-Security", f"max-age={hsts}")] if hsts else []))

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        asked = request.META.get("HTTP_X_REQUEST_ID", "")
        request_id = asked.lower() if asked and UUID_TEXT.fullmatch(asked) else new_request_id()
        attributes = request.__dict__
        attributes["request_id"] = request_id
        attributes["started"] = time.monotonic()
        attributes["api"] = api = request.path_info.startswith(self.prefixes)
        connections.drop_if_hung_up()
        mark = current_request_id.set(request_id)
        try:
            response = self.get_response(request)
        finally:
            current_request_id.reset(mark)
        response["X-Request-Id"] = request_id
        if asked and asked != request_id and PRINTABLE.fullmatch(asked):
            response["X-Correlation-Id"] = asked
        if api:
            self.secure(response)
        return response

    def secure(self, response: HttpResponseBase) -> None:
        """What SecurityMiddleware and others do for pages, without asking what an API never varies."""
        headers = response.headers
        for name, value in self.api_headers:
            headers[name] = value
        if "Cache-Control" not in headers:
            headers["Cache-Control"] = "no-store"


class PagesOnly:
    """Mixed into a middleware of Django: requests of the API go straight on to the next one."""

    get_response: Any

    def __call__(self, request: HttpRequest) -> Any:
        if request.__dict__.get("api"):
            return self.get_response(request)
        return super().__call__(request)  # type: ignore[misc]


class PageSecurity(PagesOnly, SecurityMiddleware):
    pass


class PageStaticFiles(PagesOnly, WhiteNoiseMiddleware):  # type: ignore[misc]  # no types in whitenoise
    pass


class PageSession(PagesOnly, SessionMiddleware):
    pass


class PageLocale(PagesOnly, LocaleMiddleware):
    pass


class PageCommon(PagesOnly, CommonMiddleware):
    pass


class PageCsrf(PagesOnly, CsrfViewMiddleware):
    """Tokens in headers, which the API asks for, cannot be forged by another site; cookies, which pages use, can."""

    def process_view(
        self, request: HttpRequest, callback: Any, callback_args: Any, callback_kwargs: Any
    ) -> HttpResponseForbidden | None:
        if is_api(request):
            return None
        return super().process_view(request, callback, callback_args, callback_kwargs)


class PageAuthentication(PagesOnly, AuthenticationMiddleware):
    pass


class PageMessages(PagesOnly, MessageMiddleware):
    pass


class PageFrameOptions(PagesOnly, XFrameOptionsMiddleware):
    pass


class PageAuditlog(PagesOnly, AuditlogMiddleware):  # type: ignore[misc]  # no types in auditlog
    pass
