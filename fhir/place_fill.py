"""compartment_link and identifier_locator for what is stored already: of a database that is older than these tables.

Rows that are there stay: a write that comes between has the newer ones. Nothing is asked of the server's address: who
is named in a text is told by the terms that its index rows have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from . import database, ids, json
from .definitions.structure import TYPE_NAME, TYPE_NUMBER
from .index_rows import IndexRows
from .place_rows import PlaceRows
from .search import extract
from .versions import array

_BATCH = 500
_STEP = 1024  # buckets that are looked at in turn
_PATIENT = re.compile(r"\bPatient/([A-Za-z0-9\-.]{1,64})")
_PAGE = """SELECT r.bucket, r.type, r.id, r.terms, c.body FROM resource r
 JOIN content c ON c.bucket = r.bucket AND c.type = r.type AND c.id = r.id
 WHERE NOT r.deleted AND (r.type = ANY(%s::smallint[]) OR c.body LIKE %s)
 AND r.bucket BETWEEN %s AND %s AND (r.bucket, r.type, r.id) > (%s, %s, %s)
 ORDER BY r.bucket, r.type, r.id LIMIT %s"""


def fill() -> int:
    """Stores what is missing; how many resources were looked at. Raises Unavailable."""
    seen = 0
    for page in _pages():
        rows = PlaceRows()
        for bucket, number, name, terms, body in page:
            rows.add(bucket, number, name, _of(number, name, frozenset(terms), body))
        if statements := rows.statements(keep=True):
            database.batch(statements, atomic=True)
        seen += len(page)
    return seen


def _pages() -> Iterator[list[database.Row]]:
    """Resources of the types that are found by identifier, and those that name a patient twice or more."""
    located = array(sorted(TYPE_NUMBER[name] for name in ids.LOCATED_TYPES))
    for first in range(0, ids.BUCKETS, _STEP):
        last = first + _STEP - 1
        after = (-1, 0, "")
        while page := database.fetch(_PAGE, (located, "%Patient/%Patient/%", first, last, *after, _BATCH)):
            yield page
            after = (page[-1][0], page[-1][1], page[-1][2])


def _of(number: int, name: str, terms: frozenset[int], body: str) -> IndexRows:
    """As much of the index rows as PlaceRows reads."""
    named = dict.fromkeys(_PATIENT.findall(body))
    # The one who decides the place has no such term, and comes first in IndexRows.
    others = [patient for patient in named if ids.compartment_term(patient) in terms]
    identifiers: tuple[tuple[int, int], ...] = ()
    if TYPE_NAME[number] in ids.LOCATED_TYPES:
        identifiers = extract.index({"resourceType": TYPE_NAME[number], "id": name, **json.loads(body)}, "").identifiers
    return IndexRows(patients=("", *others), identifiers=identifiers)
