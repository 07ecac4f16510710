"""Numbers that stand for interactions and outcomes in the audit table."""

from __future__ import annotations

# The first fifteen are the codes of https://hl7.org/fhir/R4/http.html; the rest happens at the door.
# Rows keep these numbers for ever: new ones are added at the end, none is reused.
INTERACTION_NUMBER: dict[str, int] = {
    "read": 1,
    "vread": 2,
    "update": 3,
    "patch": 4,
    "delete": 5,
    "history-instance": 6,
    "history-type": 7,
    "history-system": 8,
    "create": 9,
    "search-type": 10,
    "search-system": 11,
    "capabilities": 12,
    "transaction": 13,
    "batch": 14,
    "operation": 15,
    "login": 16,
    "logout": 17,
    "refresh": 18,
}
INTERACTION_NAME: dict[int, str] = {number: name for name, number in INTERACTION_NUMBER.items()}

SUCCESS, MINOR_FAILURE, SERIOUS_FAILURE, MAJOR_FAILURE = 0, 4, 8, 12


def outcome_of(status: int) -> int:
    """AuditEvent.outcome (https://hl7.org/fhir/R4/valueset-audit-event-outcome.html) of an HTTP status."""
    if status < 400:
        return SUCCESS
    return MINOR_FAILURE if status < 500 else SERIOUS_FAILURE
