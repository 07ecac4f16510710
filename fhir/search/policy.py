"""What a caller may see, as a clause of SQL: it goes on every alias of `resource`, before any LIMIT."""

from __future__ import annotations


def compartment_clause(alias: str) -> str:
    """Only the resources of one patient's compartment; parameters %(policy_pat)s and %(policy_term)s."""
    return f"({alias}.pat = %(policy_pat)s OR %(policy_term)s = ANY({alias}.terms))"
