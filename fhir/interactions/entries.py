"""Entries of batch and transaction bundles: what each asks for (https://hl7.org/fhir/R4/http.html#transaction)."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from fhir import content
from fhir.definitions.structure import TYPE_NUMBER
from fhir.exceptions import FhirError, InvalidRequest, Issue, NotFound, TooLarge, UnsupportedMediaType
from fhir.patch import fhirpath_patch, json_patch
from fhir.validation import check

from . import Context
from .update import Change

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_PATH = re.compile(
    r"(?:([A-Z][A-Za-z]+)(?:/([A-Za-z0-9\-.]{1,64}))?)?(?:/?(\$[a-z\-]+|_history|_search|metadata)(?:/(.+))?)?"
)


@dataclass(slots=True)
class Entry:
    """One entry. `path` and `query` come from request.url; `type` and `id` from the path, None where it has none."""

    index: int
    method: str
    path: str
    query: str
    type: str | None
    id: str | None
    suffix: str | None
    version: str | None
    resource: dict[str, Any] | None
    full_url: str | None
    if_none_exist: str | None
    if_match: list[str] = field(default_factory=list)
    if_none_match: list[str] = field(default_factory=list)
    if_modified_since: str | None = None

    @property
    def writes(self) -> bool:
        return self.method in ("POST", "PUT", "PATCH", "DELETE") and self.suffix is None

    @property
    def condition(self) -> str | None:
        """The search that decides what this entry writes to, if one does."""
        if self.method == "POST":
            return self.if_none_exist if self.suffix is None else None
        return self.query if self.writes and self.id is None else None


def parse(bundle: dict[str, Any], context: Context) -> list[Entry]:
    """The entries of a batch or transaction. Raises InvalidRequest, TooLarge, Unprocessable."""
    listed = bundle.get("entry", [])
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise InvalidRequest(_("Bundle.entry is a list of objects."), code="structure", expression="Bundle.entry")
    limit = settings.FHIR_MAX_BUNDLE_ENTRIES
    if len(listed) > limit:
        raise TooLarge(_("A bundle has at most %(limit)d entries.") % {"limit": limit})
    check({**bundle, "entry": [_frame(item) for item in listed]} if listed else bundle, mode="create", base_url="")
    return [_entry(index, item, context) for index, item in enumerate(listed)]


def _frame(item: dict[str, Any]) -> dict[str, Any]:
    """The entry with a stand-in for its resource, which is checked by itself, its place in the bundle known."""
    if "resource" not in item:
        return item
    stand_in: dict[str, Any] = {"resourceType": "Basic", "code": {"text": "-"}}
    meta = item["resource"].get("meta") if isinstance(item["resource"], dict) else None
    if isinstance(meta, dict) and isinstance(meta.get("versionId"), str):
        stand_in["meta"] = {"versionId": meta["versionId"]}  # rule bdl-7 tells versions of one fullUrl apart by it
    return {**item, "resource": stand_in}


def _entry(index: int, item: dict[str, Any], context: Context) -> Entry:
    request = item.get("request")
    where = f"Bundle.entry[{index}]"
    if not isinstance(request, dict):
        raise InvalidRequest(
            _("Each entry of a batch or transaction has a request."), code="required", expression=where
        )
    method, url = request.get("method"), request.get("url")
    if method not in METHODS or not isinstance(url, str):
        raise InvalidRequest(_("The request of the entry has no method or no url."), code="required", expression=where)
    resource = item.get("resource")
    if method in ("POST", "PUT", "PATCH") and not isinstance(resource, dict):
        raise InvalidRequest(_("This method needs a resource."), code="required", expression=f"{where}.resource")
    path, _mark, query = url.removeprefix(context.base_url).lstrip("/").partition("?")
    match = _PATH.fullmatch(unquote(path))
    if match is None:
        text = _("“%(url)s” is not a URL of this server, relative to its base.")
        raise InvalidRequest(text % {"url": url[:200]}, expression=f"{where}.request.url")
    return Entry(
        index=index,
        method=method,
        path=path,
        query=query,
        type=match[1],
        id=match[2],
        suffix=match[3],
        version=match[4],
        resource=resource,
        full_url=item.get("fullUrl"),
        if_none_exist=request.get("ifNoneExist"),
        if_match=content.versions_of(request.get("ifMatch", "")),
        if_none_match=content.versions_of(request.get("ifNoneMatch", "")),
        if_modified_since=request.get("ifModifiedSince"),
    )


def require_known_type(entry: Entry) -> str:
    """The resource type of the URL. Raises NotFound for an unknown one, InvalidRequest where there is none."""
    if entry.type is None:
        raise InvalidRequest(_("The request of the entry names no resource type."), code="required")
    if entry.type not in TYPE_NUMBER:
        raise NotFound(_("FHIR R4 has no resource type “%(type)s”.") % {"type": entry.type}, code="not-supported")
    return entry.type


def located(error: FhirError, index: int) -> FhirError:
    """The same refusal, its locations said from the bundle's root."""
    where = f"Bundle.entry[{index}]"
    resource = f"{where}.resource"

    def place(expression: str) -> str:
        head, dot, tail = expression.partition(".")
        return f"{resource}.{tail}" if dot and head in TYPE_NUMBER else resource

    issues = [
        Issue(issue.code, issue.text, tuple(map(place, issue.expression)) or (where,), issue.severity)
        for issue in error.issues
    ]
    moved = type(error)(issues=issues)
    moved.headers = error.headers
    return moved


def change_of(resource: dict[str, Any]) -> Change:
    """The patch that a PATCH entry carries: Parameters, or a Binary with JSON Patch. Raises UnsupportedMediaType."""
    if resource.get("resourceType") == "Parameters":
        return lambda current: fhirpath_patch.apply(current, resource)
    kind = content.media_type(str(resource.get("contentType", "")))
    if resource.get("resourceType") == "Binary" and kind == content.JSON_PATCH:
        patch = _json_of(resource)
        return lambda current: json_patch.apply(current, patch)
    raise UnsupportedMediaType(_("A patch is a Parameters, or a Binary of application/json-patch+json."))


def _json_of(binary: dict[str, Any]) -> Any:
    try:
        data = base64.b64decode(str(binary.get("data", "")), validate=True)
    except binascii.Error:
        raise InvalidRequest(_("The data of the Binary is not base64."), expression="Binary.data") from None
    return content.parse(data)
