"""A hierarchy of codes and some value sets, with what belongs to them said outright (https://hl7.org/fhir/R4/search.html#token).

They are for `:in`, `:not-in`, `:below` and `:above`: which codes a value set holds is not worked out here but written
beside it.
"""

from __future__ import annotations

from typing import Any

from . import tokens
from .values import Value, plain, split

ONE, TWO = "http://codes.example/one", "http://codes.example/two"
# Each code of ONE with what it is a kind of.
PARENTS = {"b": "a", "b-1": "b", "x|y": "a", "1234-5": "A"}
CODES = ("a", "A", "b", "b-1", "1234-5", "x|y", "p,q", "c$d", "back\\slash", "two words", "ñ")


def ancestors(code: str) -> list[str]:
    """A code and all that subsume it."""
    return [code, *(ancestors(PARENTS[code]) if code in PARENTS else [])]


def _concept(code: str) -> dict[str, Any]:
    kinds = [_concept(other) for other in CODES if PARENTS.get(other) == code]
    return {"code": code, **({"concept": kinds} if kinds else {})}


CODE_SYSTEM = {
    "resourceType": "CodeSystem",
    "id": "oracle-codes-one",
    "url": ONE,
    "status": "active",
    "content": "complete",
    "caseSensitive": True,
    "hierarchyMeaning": "is-a",
    "concept": [_concept(code) for code in CODES if code not in PARENTS],
}


def _listed(system: str, *codes: str) -> dict[str, Any]:
    return {"system": system, "concept": [{"code": code} for code in codes]}


IS_A = {"system": ONE, "filter": [{"property": "concept", "op": "is-a", "value": "a"}]}
WHOLE = [(ONE, code) for code in CODES]
KINDS_OF_A = [(ONE, code) for code in ("a", "b", "b-1", "x|y")]
# (include, exclude, the codes that belong to it)
SETS: tuple[tuple[list[dict[str, Any]], list[dict[str, Any]], list[tuple[str, str]]], ...] = (
    ([_listed(ONE, "a", "b-1"), _listed(TWO, "a")], [], [(ONE, "a"), (ONE, "b-1"), (TWO, "a")]),
    ([{"system": ONE}], [], WHOLE),
    ([IS_A], [], KINDS_OF_A),
    ([IS_A, _listed(TWO, "ñ")], [_listed(ONE, "a", "b")], [(ONE, "b-1"), (ONE, "x|y"), (TWO, "ñ")]),
    ([{"system": ONE}], [IS_A], [pair for pair in WHOLE if pair not in KINDS_OF_A]),
)


def value_sets(run: str) -> list[dict[str, Any]]:
    """The value sets of a run; their ids and addresses end in their number."""
    return [
        {
            "resourceType": "ValueSet",
            "id": f"{run}-set-{number}",
            "url": f"http://sets.example/{run}/set-{number}",
            "status": "active",
            "compose": {"include": include, **({"exclude": exclude} if exclude else {})},
        }
        for number, (include, exclude, _codes) in enumerate(SETS)
    ]


def matches(value: Value, modifier: str, asked: str) -> bool:
    """`:in` a value set; `:below` or `:above` a `system|code`, which counts itself. A code needs its system."""
    if modifier == "in":
        return any(pair in SETS[int(plain(asked)[-1])][2] for pair in tokens.pairs(value))
    system, wanted = (plain(part) for part in split(asked, "|"))
    for stored, code in tokens.pairs(value):
        if stored != system or code is None:
            continue
        if (wanted in ancestors(code)) if modifier == "below" else (code in ancestors(wanted)):
            return True
    return False
