"""Audit rows of a patient lie in the patient's bucket. They are never repaired: nothing changes an audit row."""

from __future__ import annotations

from collections.abc import Sequence

from fhir import database, ids
from fhir.definitions.structure import TYPE_NUMBER
from fhir.versions import array

from .findings import Finding, Findings

_PATIENT = TYPE_NUMBER["Patient"]
# Rows of patients of whom there is nothing in the bucket, which is how they would look in a wrong one.
_NAME = f"coalesce(x.patient, CASE WHEN x.type = {_PATIENT}::smallint THEN x.resource_id END)"
_APART = f"""SELECT x.bucket, x.pat, {_NAME}, count(*)
 FROM audit_record x WHERE x.bucket BETWEEN %s AND %s AND x.pat IS NOT NULL
 AND NOT EXISTS (SELECT 1 FROM resource r WHERE r.bucket = x.bucket AND r.pat = x.pat) GROUP BY 1, 2, 3"""
_ELSEWHERE = "SELECT r.pat, min(r.bucket) FROM resource r WHERE r.pat = ANY(%s::bigint[]) GROUP BY 1"


def look(first: int, last: int, findings: Findings) -> None:
    """Audit rows of the buckets `first` to `last`. Those of a patient who is nowhere and not named cannot be judged."""
    apart = [(row[0], row[1], row[2], int(row[3])) for row in database.fetch(_APART, (first, last))]
    nameless = {pat for _bucket, pat, name, _count in apart if name is None or ids.patient_hash(name) != pat}
    homes = _homes(sorted(nameless))
    for bucket, pat, name, count in apart:
        named = name is not None and pat not in nameless
        home = ids.bucket_of(name) if named and name is not None else homes.get(pat)
        if home is not None and home != bucket:
            findings.count("audit-place", count)
            findings.keep(Finding("audit-place", (bucket, _PATIENT, name or ""), home))


def _homes(pats: Sequence[int]) -> dict[int, int]:
    return dict(database.fetch(_ELSEWHERE, (array(pats),))) if pats else {}
