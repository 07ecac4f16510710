"""What the terminology says when it refuses."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _

from accounts.texts import lazy_text
from fhir.exceptions import InvalidRequest

_LONGEST = 200

UNKNOWN_VALUE_SET = _("The value set “%(value_set)s” is not known to this server.")
NO_CONTENT = _("The value set “%(value_set)s” defines no codes.")
NO_CODES = _("The codes of the code system “%(system)s” are not known to this server, so that “%(asked)s” cannot be "
             "answered. Store the CodeSystem with all its codes (content: complete).")  # fmt: skip
NO_VERSION = _("Version %(version)s of the code system “%(system)s” is not known to this server.")
NO_REST = _("The value set “%(value_set)s” is all of “%(system)s” but some codes; that needs all codes of the system, "
            "which are not known to this server.")  # fmt: skip
UNKNOWN_CODE = _("“%(code)s” is no code of the code system “%(system)s”.")
UNKNOWN_PROPERTY = _("The codes of “%(system)s” have no property “%(property)s”, which a filter of the value set asks "
                     "for.")  # fmt: skip
UNKNOWN_OPERATOR = _("A filter of the value set uses the operator “%(operator)s”, which is not supported.")
BAD_PATTERN = _("The regular expression “%(pattern)s” in a filter of the value set is not valid, or could take too "
                "long.")  # fmt: skip
BAD_BOOLEAN = _("The filter “exists” takes true or false, not “%(value)s”.")
CYCLE = _("The value set “%(value_set)s” includes itself.")
TOO_DEEP = _("Value sets may include others up to %(limit)d levels deep.")
TOO_MANY_CODES = _("The value set “%(value_set)s” has more than %(limit)d codes, which is too many here.")
TOO_MANY_SETS = _("The value set “%(value_set)s” needs more than %(limit)d other resources.")
PART_OF_EXPANSION = _("The value set “%(value_set)s” holds only a part of its codes, and no rules to find the others.")


def refusal(text: Any, kind: str = "not-supported", /, **values: Any) -> InvalidRequest:
    """400 with such a text and this kind of issue; long values are cut."""
    shown = {name: value[:_LONGEST] if isinstance(value, str) else value for name, value in values.items()}
    return InvalidRequest(lazy_text(text, **shown), code=kind)
