"""The one family of refusals that the FHIR server raises; `fhir.outcome` renders them.

Statuses follow https://hl7.org/fhir/R4/http.html#Status-Codes and issue codes
https://hl7.org/fhir/R4/valueset-issue-type.html.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Issue:
    """One OperationOutcome.issue.

    `text` is what a person reads: a lazy translation, or a plain string. `expression` holds FHIRPath locations
    such as `Patient.name[0].family`. Neither may hold internal text.
    """

    code: str
    text: Any
    expression: tuple[str, ...] = ()
    severity: str = "error"


class FhirError(Exception):
    """A refusal with an HTTP status and one or more issues, and headers that the answer needs."""

    status = 500
    code = "exception"

    def __init__(
        self,
        text: Any = "",
        *,
        code: str | None = None,
        expression: str | Iterable[str] = (),
        issues: Iterable[Issue] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        where = (expression,) if isinstance(expression, str) else tuple(expression)
        self.issues: tuple[Issue, ...] = tuple(issues) or (Issue(code or self.code, text, where),)
        self.headers = headers or {}
        super().__init__(str(self.issues[0].text))


class InvalidRequest(FhirError):
    """400: the request itself cannot be understood."""

    status, code = 400, "invalid"


class Unauthenticated(FhirError):
    """401: nobody is known to be asking."""

    status, code = 401, "login"


class Forbidden(FhirError):
    """403: the caller is known and may not do this."""

    status, code = 403, "forbidden"


class NotFound(FhirError):
    """404: unknown, or not to be seen by this caller (the two answer alike)."""

    status, code = 404, "not-found"


class MethodNotAllowed(FhirError):
    """405: this interaction does not exist here."""

    status, code = 405, "not-supported"


class NotAcceptable(FhirError):
    """406: none of the formats that the caller accepts."""

    status, code = 406, "not-supported"


class Conflict(FhirError):
    """409: another write came first, or the state forbids it."""

    status, code = 409, "conflict"


class Gone(FhirError):
    """410: deleted."""

    status, code = 410, "deleted"


class PreconditionFailed(FhirError):
    """412: If-Match did not match, or a condition matched several resources."""

    status, code = 412, "conflict"


class TooLarge(FhirError):
    """413: over a stated limit."""

    status, code = 413, "too-long"


class UnsupportedMediaType(FhirError):
    """415: the body is in a format that is not read here."""

    status, code = 415, "not-supported"


class Unprocessable(FhirError):
    """422: understood, and against the rules of FHIR."""

    status, code = 422, "invariant"


class TooManyRequests(FhirError):
    """429: come back later."""

    status, code = 429, "throttled"


class Unavailable(FhirError):
    """503: a part of the store cannot answer now; always with Retry-After.

    `lost` says that a connection broke, so that nobody knows whether a write was stored; `undone` that it was not.
    """

    status, code = 503, "transient"

    def __init__(
        self, text: Any = "", *, retry_after: int = 5, lost: bool = False, undone: bool = False, **kwargs: Any
    ) -> None:
        headers = {"Retry-After": str(retry_after), **(kwargs.pop("headers", None) or {})}
        self.lost, self.undone = lost, undone
        super().__init__(text, headers=headers, **kwargs)
