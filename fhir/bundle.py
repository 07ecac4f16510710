"""Bundles as they are sent (https://hl7.org/fhir/R4/bundle.html): stored JSON texts joined, never parsed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from . import json


def links(pairs: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    """Bundle.link from (relation, url)."""
    return [{"relation": relation, "url": url} for relation, url in pairs]


def join(kind: str, entries: Iterable[bytes], *, link: list[dict[str, str]] | None = None, **elements: Any) -> bytes:
    """A Bundle of this type whose entries are JSON texts; `elements` such as total or timestamp come before them."""
    head: dict[str, Any] = {"resourceType": "Bundle", "type": kind}
    head |= {name: value for name, value in elements.items() if value is not None}
    if link:
        head["link"] = link
    body = b",".join(entries)
    text = json.dumps(head)
    return text[:-1] + b',"entry":[' + body + b"]}" if body else text


def entry(*, resource: bytes | None = None, **elements: Any) -> bytes:
    """One entry; `resource` is a JSON text that is passed through."""
    text = json.dumps(elements)
    if resource is None:
        return text
    return text[:-1] + (b"," if elements else b"") + b'"resource":' + resource + b"}"
