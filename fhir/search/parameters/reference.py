"""References (https://hl7.org/fhir/R4/search.html#reference): typed, versioned, absolute, canonical, by identifier."""

from __future__ import annotations

import re
from typing import Any

from django.utils.translation import gettext_lazy as _

from fhir.definitions.structure import TYPE_NUMBER
from fhir.search import hashing
from fhir.search.catalogue import Parameter
from fhir.search.clauses import Clause, Nothing, Terms

from . import token
from .text import bad_modifier, bad_value, unescape

MODIFIERS = ("missing", "identifier", "[type]", "above", "below")
_LOCAL = re.compile(r"([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(/_history/[A-Za-z0-9\-.]{1,64})?")
_NAMED = re.compile(r"(?:^|/)([A-Z][A-Za-z]+)/[A-Za-z0-9\-.]{1,64}$")
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


# --- from resources


def literal(value: Any) -> str | None:
    """The text of a Reference, canonical or uri; None for what points into the resource itself or nowhere."""
    if type(value) is dict:
        # Of a Bundle the first entry itself is the value.
        text = f"{value['resourceType']}/{value.get('id')}" if "resourceType" in value else value.get("reference")
    else:
        text = value
    if type(text) is not str or not text or text[0] == "#":
        return None
    return text


def forms(text: str, base_url: str, fhir_type: str = "Reference") -> list[str]:
    """The texts under which a reference is found: local ones are relative, versions and fragments may be left out.

    A canonical has its version after a bar, and no other (https://hl7.org/fhir/R4/references.html#canonical).
    """
    if text.startswith(base_url) and text[len(base_url) : len(base_url) + 1] == "/":
        text = text[len(base_url) + 1 :]
    found = [text]
    if "/_history/" in text and fhir_type == "Reference":
        found.append(text.split("/_history/", 1)[0])
    elif "|" in text or "#" in text:
        whole = text.split("#", 1)[0]
        found += [whole, whole.split("|", 1)[0]]
    return found


def identifier_suffix(target: str | None) -> str:
    """What the code of a parameter is followed by in terms of identifiers, of references to one type or to any."""
    return ":identifier" if target is None else f":identifier|{target}"


def named_type(text: str) -> str | None:
    """The type that a reference names, local or on another server."""
    found = _NAMED.search(text)
    return found[1] if found and found[1] in TYPE_NUMBER else None


def target_type(text: str) -> str | None:
    """The type that a local reference names."""
    found = _LOCAL.fullmatch(text)
    return found[1] if found and found[1] in TYPE_NUMBER else None


# --- from queries


def parse(parameter: Parameter, modifier: str | None, values: list[str], base_url: str = "") -> Clause:
    """The clause of one repetition; values come with their escapes. Raises InvalidRequest."""
    if modifier == "identifier":
        found = [h for value in values for h in token.asked(parameter, value)]
        kept = sorted({branch.target for branch in parameter.branches if branch.target})
        clauses = [token.terms(parameter, found, identifier_suffix(target)) for target in kept or (None,)]
        return Terms(tuple(h for clause in clauses for h in clause.hashes), parameter.code)
    if modifier in ("above", "below"):
        return _hierarchy(parameter, modifier, values)
    targets = parameter.targets
    if modifier is not None:
        if modifier not in TYPE_NUMBER:
            raise bad_modifier(parameter.code, modifier, MODIFIERS)
        targets = (modifier,) if modifier in parameter.targets else ()
    texts = [text for value in values for text in _asked(parameter, unescape(value), targets, base_url)]
    if modifier is not None:
        texts = [text for text in texts if target_type(text) == modifier]
    if not texts:
        return Nothing()
    return token.terms(parameter, [hashing.reference(text) for text in texts])


def _asked(parameter: Parameter, value: str, targets: tuple[str, ...], base_url: str) -> list[str]:
    if not value:
        message = _("“%(code)s” has an empty value: write an id, Type/id or an absolute address.")
        raise bad_value(parameter.code, value, message)
    if base_url and value.startswith(base_url + "/"):
        value = value[len(base_url) + 1 :]
    if _ID.fullmatch(value):
        # A canonical may be an id too, in principle; a reference then is of one of the possible types.
        return [f"{target}/{value}" for target in targets] + ([value] if "canonical" in parameter.types else [])
    local = _LOCAL.fullmatch(value)
    if local and local[1] in TYPE_NUMBER and local[1] not in parameter.targets:
        return []
    return [value]


def patient_of(value: str, base_url: str) -> str | None:
    """The id of the Patient if a value can mean no other resource: `Patient/1`, also with the base."""
    text = unescape(value).removeprefix(base_url + "/")
    found = _LOCAL.fullmatch(text)
    return found[2] if found and found[1] == "Patient" else None


def _hierarchy(parameter: Parameter, modifier: str, values: list[str]) -> Clause:
    """`:below` and `:above` for canonicals with versions: url|1 is above url|1.2; as urls, by their segments."""
    from . import uri

    if not parameter.types & {"canonical", "uri"}:
        raise bad_modifier(parameter.code, modifier, MODIFIERS[:3])
    return uri.parse(parameter, modifier, values)
