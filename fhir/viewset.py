"""What all views of the FHIR API share: from a request of HTTP to a Context, from an Answer to a response.

The viewset is Django REST framework's with a dispatch of its own: bodies are bytes of JSON that pass through, so
negotiation, parsing and rendering of the framework would only cost time.
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Callable
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.utils import translation
from django.utils.translation import gettext_lazy as _
from rest_framework.viewsets import ViewSet

from accounts.authentication import BearerAuthentication
from accounts.clients import client_address
from accounts.scopes import Scope
from accounts.tokens import scope_of

from . import content, outcome
from .exceptions import (
    FhirError,
    InvalidRequest,
    MethodNotAllowed,
    TooLarge,
    Unavailable,
    UnsupportedMediaType,
)
from .interactions import (
    Answer,
    Context,
    read,
)
from .interactions import update as updating
from .patch import fhirpath_patch, json_patch
from .permissions import InteractionPermission, require

logger = logging.getLogger(__name__)

Pairs = list[tuple[str, str]]
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_GENERAL = frozenset({"_format", "_pretty"})


@lru_cache(maxsize=512)
def language_of(accept_language: str) -> str:
    """`es` or `en`, whichever the caller prefers; Spanish where neither is asked for."""
    best, weight = settings.LANGUAGE_CODE, 0.0
    for item in accept_language.split(","):
        tag, _semicolon, quality = item.strip().partition(";q=")
        code = tag.split("-")[0].lower()
        try:
            value = float(quality or 1)
        except ValueError:
            continue
        if code in ("es", "en") and value > weight:
            best, weight = code, value
    return best


def base_url_of(request: HttpRequest) -> str:
    """The FHIR base without a final slash. Raises InvalidRequest for a host that is not served."""
    if settings.PUBLIC_BASE_URL:
        return f"{settings.PUBLIC_BASE_URL}{settings.FHIR_BASE_PATH}"
    try:
        return f"{request.scheme}://{request.get_host()}{settings.FHIR_BASE_PATH}"
    except SuspiciousOperation:
        raise InvalidRequest(_("This server does not serve the host that the request names.")) from None


def _request_uuid(request: HttpRequest) -> str:
    given = getattr(request, "request_id", "")
    # A client may send any X-Request-Id; the audit table holds a UUID, the same one for the same text.
    return given if _UUID.fullmatch(given) else str(uuid.uuid5(uuid.NAMESPACE_URL, given))


class FhirViewSet(ViewSet):
    """What the viewsets share. A method of a subclass takes the request's parts and gives an Answer."""

    authentication_classes = (BearerAuthentication,)
    permission_classes = (InteractionPermission,)
    schema = None
    action_map: dict[str, str]
    # Bundles answer without the resources unless asked (https://hl7.org/fhir/R4/http.html#ops).
    default_return = "representation"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """One request: language, format, caller, interaction, answer; refusals become OperationOutcomes here."""
        self.http = request
        self.method = request.method or "GET"
        self.language = language_of(request.META.get("HTTP_ACCEPT_LANGUAGE", ""))
        translation.activate(self.language)
        self.pretty = False
        try:
            self.pairs = self._query_pairs()
            handler = getattr(self, self.method.lower(), None)
            if handler is None or self.method.lower() not in self.action_map:
                raise self._not_allowed()
            answer = self._answer(handler, kwargs)
        except FhirError as error:
            answer = Answer(error.status, outcome.of_error(error, self.language), headers=error.headers)
        except Exception:
            logger.exception("Unexpected error")
            failure = FhirError(_("The server failed. The error was logged."))
            answer = Answer(failure.status, outcome.of_error(failure, self.language))
        return self._respond(answer)

    def _answer(self, handler: Callable[..., Answer], kwargs: dict[str, str]) -> Answer:
        """What the handler answers; asked again, once, where a connection broke and that can do no harm.

        After the restart of a node every connection to it that was kept is broken, and the next one is sound.
        """
        try:
            return handler(**kwargs)
        except Unavailable as error:
            if not (error.undone or (error.lost and self.method in ("GET", "HEAD"))):
                raise
        return handler(**kwargs)

    def _not_allowed(self) -> MethodNotAllowed:
        allowed = ", ".join(sorted(method.upper() for method in self.action_map))
        text = _("%(method)s is not allowed here; allowed: %(allowed)s.") % {"method": self.method, "allowed": allowed}
        return MethodNotAllowed(text, headers={"Allow": allowed})

    # --- what the request holds

    def _query_pairs(self) -> Pairs:
        """The parameters of the URL, less _format and _pretty. Raises NotAcceptable, InvalidRequest."""
        meta = self.http.META
        query = meta.get("QUERY_STRING", "")
        pairs = _parse_pairs(query) if query else []
        wanted = None
        if "_format" in query or "_pretty" in query:
            given = dict(pairs)
            wanted, self.pretty = given.get("_format"), given.get("_pretty") == "true"
            pairs = [pair for pair in pairs if pair[0] not in _GENERAL]
        content.require_acceptable(meta.get("HTTP_ACCEPT", ""), wanted)
        return pairs

    def context(self) -> Context:
        """Who asks. Raises Unauthenticated."""
        meta = self.http.META
        scope: Scope | None = None
        header = meta.get("HTTP_AUTHORIZATION")
        if header:
            scope = scope_of(header)
        require(scope, "batch")  # somebody: what they may do is for the interaction
        assert scope is not None
        prefer = meta.get("HTTP_PREFER")
        preferences = content.preferences(prefer) if prefer else {}
        return Context(
            scope=scope,
            base_url=base_url_of(self.http),
            request_id=_request_uuid(self.http),
            client=client_address(self.http),
            language=self.language,
            prefer_return=preferences.get("return", self.default_return),
            lenient=preferences.get("handling") == "lenient",
        )

    def body(self) -> bytes:
        """The body. Raises TooLarge, UnsupportedMediaType, InvalidRequest."""
        if self.http.META.get("HTTP_CONTENT_ENCODING", "identity") != "identity":
            raise UnsupportedMediaType(_("Bodies must come without Content-Encoding."))
        try:
            return self.http.body
        except RequestDataTooBig:
            limit = settings.FHIR_MAX_BODY_BYTES
            raise TooLarge(_("The body is larger than %(limit)d bytes.") % {"limit": limit}) from None
        except UnreadablePostError:
            raise InvalidRequest(_("The body ended before its announced length.")) from None

    def resource(self) -> dict[str, Any]:
        """The resource in the body. Raises as content.parse_resource does."""
        return content.parse_resource(self.body(), self.http.META.get("CONTENT_TYPE", ""))

    def query(self) -> str:
        """The search part of a conditional request's URL."""
        return str(self.http.META.get("QUERY_STRING", ""))

    def versions(self, header: str) -> list[str]:
        """The version ids of HTTP_IF_MATCH or HTTP_IF_NONE_MATCH."""
        value = self.http.META.get(header)
        return content.versions_of(value) if value else []

    def conditions(self) -> read.Conditions:
        """The conditions of a read."""
        meta = self.http.META
        since = meta.get("HTTP_IF_MODIFIED_SINCE")
        if not self.pairs and since is None and "HTTP_IF_NONE_MATCH" not in meta:
            return read.ANYTHING
        asked = dict(self.pairs)
        elements = [name for name in asked.get("_elements", "").split(",") if name]
        return read.Conditions(
            self.versions("HTTP_IF_NONE_MATCH"),
            content.parse_http_date(since) if since else None,
            asked.get("_summary"),
            elements,
        )

    def form_pairs(self) -> Pairs:
        """The parameters of POST _search: those of the form and those of the URL. Raises UnsupportedMediaType."""
        kind = self.http.META.get("CONTENT_TYPE", "")
        body = self.body()
        if body and content.media_type(kind) != content.FORM:
            raise UnsupportedMediaType(_("The body of _search must be application/x-www-form-urlencoded."))
        try:
            form = _parse_pairs(body.decode())
        except UnicodeDecodeError:
            raise InvalidRequest(_("The body is not UTF-8."), code="structure") from None
        return [*self.pairs, *(pair for pair in form if pair[0] not in _GENERAL)]

    def change(self) -> updating.Change:
        """The patch in the body: JSON Patch, or Parameters with FHIRPath Patch."""
        kind = content.media_type(self.http.META.get("CONTENT_TYPE", ""))
        if kind == content.JSON_PATCH:
            patch = content.parse(self.body())
            return lambda resource: json_patch.apply(resource, patch)
        parameters = content.parse_resource(self.body(), kind)
        return lambda resource: fhirpath_patch.apply(resource, parameters)

    # --- what goes back

    def _respond(self, answer: Answer) -> HttpResponse:
        body = answer.body
        if body and self.pretty:
            body = content.pretty(body)
        shown = b"" if self.method == "HEAD" or answer.status in (204, 304) else body
        response = HttpResponse(shown, status=answer.status, content_type=f"{content.FHIR_JSON}; charset=utf-8")
        headers = response.headers
        if answer.status in (204, 304):
            del headers["Content-Type"]
        else:
            headers["Content-Length"] = str(len(body))
        if answer.version is not None:
            headers["ETag"] = content.etag(answer.version)
        if answer.updated is not None:
            headers["Last-Modified"] = content.http_date(answer.updated)
        if answer.location is not None:
            headers["Location"] = answer.location
        for name, value in answer.headers.items():
            headers[name] = value
        return response


def _parse_pairs(text: str) -> Pairs:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=1000)
    except ValueError:
        raise TooLarge(_("The request has too many parameters."), code="too-costly") from None
    if any("\x00" in name or "\x00" in value for name, value in pairs):
        raise InvalidRequest(_("The character U+0000 is not allowed in parameters."), code="value")
    return pairs
