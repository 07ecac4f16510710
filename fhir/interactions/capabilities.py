"""FHIR capabilities interaction (https://hl7.org/fhir/R4/http.html#capabilities).

Anyone may ask: a client learns here how to log in. The statement is the same for everyone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import xxhash
from django.utils.translation import gettext_lazy as _

from accounts.texts import lazy_text
from fhir import capability, json
from fhir.exceptions import InvalidRequest
from fhir.operations import OPERATIONS
from fhir.search import catalogue

from . import Answer, Context

MODES = ("full", "normative", "terminology")


def capabilities(context: Context, mode: str = "full", versions: Sequence[str] = ()) -> Answer:
    """The CapabilityStatement: 200, or 304 where one of `versions` (of If-None-Match) is what would be answered.

    Raises InvalidRequest for an unknown mode, and for mode=terminology: there is no terminology service to describe.
    """
    _check_mode(mode)
    body, version = rendered(context.base_url, context.language, mode == "normative", catalogue.generation)
    headers = {"Content-Language": context.language, "Vary": "Accept-Language"}
    if str(version) in versions or "*" in versions:
        return Answer(304, version=version, headers=headers)
    return Answer(200, body, version=version, headers=headers)


def _check_mode(mode: str) -> None:
    if mode not in MODES:
        text = lazy_text(_("mode is “%(mode)s”; it must be one of %(known)s."), mode=mode, known=", ".join(MODES))
        raise InvalidRequest(text, code="value", expression="mode")
    if mode == "terminology":
        raise InvalidRequest(_("This server has no terminology service."), code="not-supported", expression="mode")


# Few entries: a statement is large, and a caller may choose the host name in its base URL.
@lru_cache(maxsize=8)
def rendered(base_url: str, language: str, normative: bool, _generation: int) -> tuple[bytes, int]:
    """(JSON text, a number that changes when the text does); `_generation` is that of the search parameters."""
    body = json.dumps(capability.statement(base_url, language, OPERATIONS, normative=normative))
    return body, xxhash.xxh3_64_intdigest(body) >> 1


def prepare() -> None:
    """Builds what every statement needs, before the workers fork."""
    for language in ("es", "en"):
        capability.statement("", language, OPERATIONS)
