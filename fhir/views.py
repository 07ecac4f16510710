"""HTTP and interactions: read the request, call one interaction, answer (https://hl7.org/fhir/R4/http.html).

The viewsets are Django REST framework's, with a dispatch of their own: bodies are bytes of JSON that pass through, so
negotiation, parsing and rendering of the framework would only cost time.
"""

from __future__ import annotations

import logging
import re
import uuid
from contextlib import suppress
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

from . import content, ids, operations, outcome
from .definitions.structure import TYPE_NUMBER
from .exceptions import (
    FhirError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    TooLarge,
    Unavailable,
    UnsupportedMediaType,
)
from .interactions import (
    Answer,
    Context,
    batch,
    capabilities,
    conditional,
    create,
    delete,
    history,
    read,
    search,
    transaction,
)
from .interactions import update as updating
from .patch import fhirpath_patch, json_patch
from .permissions import InteractionPermission, require
from .search import custom

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
            answer = handler(**kwargs)
        except FhirError as error:
            answer = Answer(error.status, outcome.of_error(error, self.language), headers=error.headers)
        except Exception:
            logger.exception("Unexpected error")
            failure = FhirError(_("The server failed. The error was logged."))
            answer = Answer(failure.status, outcome.of_error(failure, self.language))
        return self._respond(answer)

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


def known_type(name: str) -> str:
    """The type, if R4 has it. Raises NotFound."""
    if name not in TYPE_NUMBER:
        raise NotFound(_("FHIR R4 has no resource type “%(type)s”.") % {"type": name}, code="not-supported")
    return name


def possible_id(resource_id: str) -> str:
    """The id, if any resource could have it. Raises NotFound."""
    if not ids.is_legal(resource_id):
        raise NotFound(_("There is no such record."))
    return resource_id


class InstanceViewSet(FhirViewSet):
    """[base]/[type]/[id] and what lies under it."""

    def read(self, type: str, id: str) -> Answer:
        return read.read(known_type(type), possible_id(id), self.context(), self.conditions())

    def vread(self, type: str, id: str, version: str) -> Answer:
        return read.vread(known_type(type), possible_id(id), version, self.context(), self.conditions())

    def update(self, type: str, id: str) -> Answer:
        context = self.context()
        return updating.update(
            known_type(type),
            id,
            self.resource(),
            context,
            if_match=self.versions("HTTP_IF_MATCH"),
            if_none_match=self.versions("HTTP_IF_NONE_MATCH"),
        )

    def patch_instance(self, type: str, id: str) -> Answer:
        context, known = self.context(), known_type(type)
        return updating.patch(known, possible_id(id), self.change(), context, if_match=self.versions("HTTP_IF_MATCH"))

    def delete_instance(self, type: str, id: str) -> Answer:
        return delete.delete(known_type(type), possible_id(id), self.context(), if_match=self.versions("HTTP_IF_MATCH"))

    def history(self, type: str, id: str) -> Answer:
        return history.instance(known_type(type), possible_id(id), dict(self.pairs), self.context())

    def compartment(self, type: str, id: str, member: str) -> Answer:
        return self._compartment(type, id, member, self.pairs)

    def compartment_post(self, type: str, id: str, member: str) -> Answer:
        return self._compartment(type, id, member, self.form_pairs())

    def _compartment(self, type: str, id: str, member: str, pairs: Pairs) -> Answer:
        context = self.context()
        wanted = None if member == "*" else known_type(member)
        return search.search(wanted, pairs, context, compartment=(known_type(type), possible_id(id)))

    def operation(self, type: str, id: str, name: str, version: str | None = None) -> Answer:
        return _operation(self, name, type, possible_id(id), version)


class TypeViewSet(FhirViewSet):
    """[base]/[type]."""

    def search(self, type: str) -> Answer:
        return search.search(known_type(type), self.pairs, self.context())

    def search_post(self, type: str) -> Answer:
        context = self.context()
        return search.search(known_type(type), self.form_pairs(), context)

    def create(self, type: str) -> Answer:
        context, known = self.context(), known_type(type)
        if self.pairs:
            text = _("A create has no parameters; a condition comes in the header If-None-Exist.")
            raise InvalidRequest(text, expression=self.pairs[0][0])
        condition = self.http.META.get("HTTP_IF_NONE_EXIST")
        resource = self.resource()
        if condition is not None:
            return conditional.create(known, resource, condition, context)
        return create.create(known, resource, context)

    def conditional_update(self, type: str) -> Answer:
        context, known = self.context(), known_type(type)
        if_match = self.versions("HTTP_IF_MATCH")
        return conditional.update(known, self.resource(), self.query(), context, if_match=if_match)

    def conditional_patch(self, type: str) -> Answer:
        context, known = self.context(), known_type(type)
        if_match = self.versions("HTTP_IF_MATCH")
        return conditional.patch(known, self.query(), self.change(), context, if_match=if_match)

    def conditional_delete(self, type: str) -> Answer:
        context, known = self.context(), known_type(type)
        return conditional.delete(known, self.query(), context, if_match=self.versions("HTTP_IF_MATCH"))

    def type_history(self, type: str) -> Answer:
        return history.of_type(known_type(type), dict(self.pairs), self.context())

    def type_operation(self, type: str, name: str) -> Answer:
        return _operation(self, name, type)


class SystemViewSet(FhirViewSet):
    """[base]."""

    default_return = "minimal"

    def capabilities(self) -> Answer:
        mode = dict(self.pairs).get("mode", "full")
        context = Context(scope=NOBODY, base_url=base_url_of(self.http), request_id="", language=self.language)
        with suppress(Unavailable):  # without the records the statement is that of a moment ago
            custom.refresh(context.base_url)
        return capabilities.capabilities(context, mode, self.versions("HTTP_IF_NONE_MATCH"))

    def bundle(self) -> Answer:
        """A batch or a transaction, as Bundle.type says."""
        context = self.context()
        body, kind = self.body(), self.http.META.get("CONTENT_TYPE", "")
        first = content.parse_resource(body, kind)
        if first["resourceType"] != "Bundle" or first.get("type") not in ("batch", "transaction"):
            text = _("What is sent to the base is a Bundle of type batch or transaction.")
            raise InvalidRequest(text, expression="Bundle.type")
        if first["type"] == "batch":
            return batch.process(first, context)
        waiting = [first]
        # Another attempt starts from the request: references of the first were rewritten in place.
        return transaction.process(lambda: waiting.pop() if waiting else content.parse_resource(body, kind), context)

    def search(self) -> Answer:
        return search.search(None, self.pairs, self.context())

    def search_post(self) -> Answer:
        context = self.context()
        return search.search(None, self.form_pairs(), context)

    def history(self) -> Answer:
        return history.of_system(dict(self.pairs), self.context())

    def operation(self, name: str) -> Answer:
        return _operation(self, name)

    def unknown(self, path: str) -> Answer:
        """Everything that is no URL of http.html: 401 before 404, so that nobody learns what exists."""
        self.context()
        raise NotFound(_("There is nothing at this URL."), code="not-supported")


NOBODY = Scope("", "", "", ())


def _operation(view: FhirViewSet, name: str, *where: str | None) -> Answer:
    """Runs an operation at (type, id, version), as far as the URL names them."""
    kind, resource_id, version = (*where, None, None, None)[:3]
    context, if_match = view.context(), view.versions("HTTP_IF_MATCH")
    body = view.resource() if view.method == "POST" and view.body() else None
    return operations.perform(name, kind, resource_id, body, view.pairs, context, version=version, if_match=if_match)
