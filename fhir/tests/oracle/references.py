"""References and canonicals (https://hl7.org/fhir/R4/search.html#reference); addresses (#uri)."""

from __future__ import annotations

import re

from . import tokens
from .values import Value

LOCAL = re.compile(r"([A-Za-z]+)/([A-Za-z0-9.-]{1,64})(?:/_history/([A-Za-z0-9.-]{1,64}))?")


def local(text: str, base_url: str) -> tuple[str, str, str | None] | None:
    """(type, id, version or None) of a reference to this server, relative or absolute; None for any other."""
    found = LOCAL.fullmatch(text.removeprefix(base_url + "/"))
    return found.groups() if found else None


def type_named(value: Value) -> str | None:
    """The type of what a Reference refers to: by its address, else by its `type`. For `resolve() is Patient`."""
    text = value.value.get("reference")
    if text is None:
        return value.value.get("type")
    found = re.search(r"([A-Z][A-Za-z]+)/[A-Za-z0-9.-]{1,64}(/_history/[A-Za-z0-9.-]{1,64})?$", text)
    return found[1] if found else value.value.get("type")


def matches(value: Value, modifier: str | None, asked: str, base_url: str) -> bool:
    """`id`, `Type/id`, an absolute address; `:Type=id`.

    A reference to a version is also one to the resource; asking for a version finds references to that version only.
    """
    if value.type != "Reference":
        return _canonical_matches(value.value, asked)
    text = value.value.get("reference")
    if text is None:
        return False
    stored, wanted = local(text, base_url), local(asked, base_url)
    if wanted is None and "/" not in asked:
        return stored is not None and stored[1] == asked and modifier in (None, stored[0])
    if wanted is None or stored is None:
        return modifier is None and asked in (text, re.sub("/_history/[^/]+$", "", text))
    if modifier is not None and wanted[0] != modifier:
        return False
    return stored[:2] == wanted[:2] and wanted[2] in (None, stored[2])


def _canonical_matches(stored: str, asked: str) -> bool:
    """`url` finds every version, `url|version` that one (https://hl7.org/fhir/R4/references.html#canonical)."""
    return asked == stored or asked == stored.partition("|")[0]


def identifier_matches(value: Value, asked: str) -> bool:
    """`:identifier=system|value`: Reference.identifier, in the forms of tokens."""
    identifier = value.value.get("identifier") if value.type == "Reference" else None
    return identifier is not None and tokens.matches(Value("Identifier", identifier), asked)


def uri_matches(value: Value, modifier: str | None, asked: str) -> bool:
    """The whole address, case and all; `:below` finds what lies under it, `:above` what it lies under (#uri).

    Segments count: http://a/b is above http://a/b/c and not above http://a/bc. A urn has none above or below.
    """
    stored = value.value
    if modifier == "below":
        return stored == asked or ("://" in asked and stored.startswith(asked.rstrip("/") + "/"))
    if modifier == "above":
        return stored == asked or ("://" in asked and asked.startswith(stored.rstrip("/") + "/"))
    return stored == asked or (value.type == "canonical" and _canonical_matches(stored, asked))
