"""Splitting and escaping of query values (https://hl7.org/fhir/R4/search.html#escaping), and refusals of them."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _

from accounts.texts import lazy_text
from fhir.exceptions import InvalidRequest

_ESCAPABLE = frozenset(",|$\\")


def split(value: str, separator: str) -> list[str]:
    """The parts between separators that are not escaped; escapes stay."""
    if "\\" not in value:
        return value.split(separator)
    parts, current, escaped = [], "", False
    for character in value:
        if escaped:
            current, escaped = current + character, False
        elif character == separator:
            parts.append(current)
            current = ""
        else:
            current, escaped = current + character, character == "\\"
    parts.append(current)
    return parts


def unescape(value: str) -> str:
    """`\\,` → `,` and so on; a backslash before anything else is a backslash."""
    if "\\" not in value:
        return value
    found, position = "", 0
    while position < len(value):
        character = value[position]
        following = value[position + 1 : position + 2]
        if character == "\\" and following and following in _ESCAPABLE:
            found, position = found + following, position + 2
        else:
            found, position = found + character, position + 1
    return found


def escape(value: str) -> str:
    """The opposite of `unescape`."""
    return "".join("\\" + c if c in _ESCAPABLE else c for c in value)


def bad_value(code: str, value: str, text: Any) -> InvalidRequest:
    """A refusal that shows the value; `text` has the placeholders %(code)s and %(value)s."""
    return InvalidRequest(lazy_text(text, code=code, value=value[:100]), code="value", expression=code)


def bad_modifier(code: str, modifier: str, known: tuple[str, ...]) -> InvalidRequest:
    """A refusal of a modifier, naming those that the parameter has."""
    if not known:
        text = _("The parameter “%(code)s” has no modifiers; “:%(modifier)s” was given.")
        return InvalidRequest(lazy_text(text, code=code, modifier=modifier), code="not-supported", expression=code)
    text = _("The parameter “%(code)s” does not have the modifier “:%(modifier)s”. It has: %(known)s.")
    names = ", ".join(f":{name}" for name in known)
    return InvalidRequest(
        lazy_text(text, code=code, modifier=modifier, known=names), code="not-supported", expression=code
    )


def first_in(value: str, prefixes: tuple[str, ...]) -> tuple[str, str]:
    """("ge", "2020") of "ge2020"; "eq" where there is no prefix."""
    if value[:2] in prefixes:
        return value[:2], value[2:]
    return "eq", value
