"""What an operation is called with, and its input parameters (https://hl7.org/fhir/R4/operations.html#request)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from accounts.texts import lazy_text
from fhir.exceptions import InvalidRequest
from fhir.interactions import Context
from fhir.search.parameters.date import bounds

Pairs = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Call:
    """One call: at the system (`type` None), a type (`id` None), an instance, or one `version` of it.

    `body` is the resource of a POST, `pairs` the parameters of the URL, `if_match` the versions that If-Match names.
    """

    name: str
    type: str | None
    id: str | None
    body: dict[str, Any] | None
    pairs: Pairs
    context: Context
    version: str | None = None
    if_match: Sequence[str] = ()

    @property
    def path(self) -> str:
        """The path below the base, as it was asked."""
        return "/".join(part for part in (self.type, self.id, f"${self.name}") if part is not None)

    def inputs(self) -> Pairs:
        """The primitive parameters of the URL and of a Parameters resource in the body, in order.

        Raises InvalidRequest for a body of another type, and for a parameter that has no primitive value.
        """
        if self.body is None:
            return list(self.pairs)
        if self.body.get("resourceType") != "Parameters":
            text = _("The body of $%(name)s is a resource of type Parameters.")
            raise InvalidRequest(lazy_text(text, name=self.name), code="structure")
        listed = self.body.get("parameter", [])
        return [*self.pairs, *(_input(item) for item in (listed if isinstance(listed, list) else [listed]))]


def _input(item: Any) -> tuple[str, str]:
    """The name and the text of one Parameters.parameter."""
    if isinstance(item, dict) and isinstance(item.get("name"), str):
        values = [value for key, value in item.items() if key.startswith("value")]
        if len(values) == 1 and isinstance(values[0], str | int | bool):
            value = values[0]
            return item["name"], ("true" if value else "false") if isinstance(value, bool) else str(value)
    text = _("Each parameter has a name and one primitive value.")
    raise InvalidRequest(text, code="structure", expression="Parameters.parameter")


def single(pairs: Iterable[tuple[str, str]], known: Sequence[str], repeating: Sequence[str] = ()) -> dict[str, str]:
    """The parameters by name; those that may be repeated are joined with commas.

    Raises InvalidRequest for names that are not known, and for other repetitions.
    """
    found: dict[str, str] = {}
    for name, value in pairs:
        if name not in known:
            text = _("This operation has no parameter “%(name)s”; it has %(known)s.")
            if not known:
                text = _("This operation has no parameter “%(name)s”; it has none.")
            shown = lazy_text(text, name=name[:100], known=", ".join(k for k in known if k != "_cursor"))
            raise InvalidRequest(shown, code="not-supported", expression=name[:100])
        if name in found and name not in repeating:
            raise InvalidRequest(lazy_text(_("The parameter “%(name)s” is given twice."), name=name), expression=name)
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def whole(name: str, text: str | None, default: int, *, least: int, most: int) -> int:
    """A whole number, at most `most`. Raises InvalidRequest."""
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or int(text[:9]) < least:
        shown = lazy_text(_("“%(name)s” is a whole number, %(least)s or more."), name=name, least=str(least))
        raise InvalidRequest(shown, code="value", expression=name)
    return min(int(text[:9]), most)


def page_size(text: str | None) -> int:
    """`_count`; without it the largest page. Raises InvalidRequest."""
    return whole("_count", text, settings.FHIR_MAX_PAGE, least=1, most=settings.FHIR_MAX_PAGE)


def instant(name: str, text: str) -> datetime:
    """The beginning of a date or time. Raises InvalidRequest."""
    return datetime.fromtimestamp(bounds(text, name)[0] / 1e6, UTC)
