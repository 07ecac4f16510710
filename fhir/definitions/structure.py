"""Types and elements of FHIR R4 (https://hl7.org/fhir/R4/structuredefinition.html)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from .table import table


@dataclass(frozen=True, slots=True)
class Element:
    """One element. `name` is the JSON name without [x]; backbone elements are typed by their path."""

    name: str
    path: str
    min: int
    max: int | None
    types: tuple[str, ...]
    choice: bool
    targets: tuple[str, ...]
    canonical_targets: tuple[str, ...]
    binding: str | None
    summary: bool
    modifier: bool

    def keys(self) -> tuple[tuple[str, str], ...]:
        """(JSON key, type) of each form this element can take."""
        if not self.choice:
            return ((self.name, self.types[0]),)
        return tuple((self.name + t[0].upper() + t[1:], t) for t in self.types)


@dataclass(frozen=True, slots=True)
class Constraint:
    """An invariant: a FHIRPath expression that must be true at `path` (https://hl7.org/fhir/R4/conformance-rules.html)."""

    key: str
    severity: str
    path: str
    expression: str


@dataclass(frozen=True, slots=True)
class TypeDefinition:
    """A type with its own and inherited elements, in order. `constraints` are those stated at this type's root."""

    name: str
    kind: str
    base: str | None
    abstract: bool
    regex: str | None
    elements: dict[str, Element]
    constraints: tuple[Constraint, ...]


def _element(row: dict[str, Any]) -> Element:
    path = row["p"]
    name = path.rsplit(".", 1)[1]
    low, high = row["n"]
    return Element(
        name=name.removesuffix("[x]"),
        path=path,
        min=low,
        max=None if high == "*" else int(high),
        types=tuple(row["t"]),
        choice=name.endswith("[x]"),
        targets=tuple(row.get("r", ())),
        canonical_targets=tuple(row.get("c", ())),
        binding=row.get("b"),
        summary=bool(row.get("s")),
        modifier=bool(row.get("m")),
    )


def _owner(name: str) -> dict[str, Any]:
    owner: dict[str, Any] = table()["types"][name.split(".")[0]]
    return owner


@cache
def type_definition(name: str) -> TypeDefinition:
    """A type: `Patient`, `Quantity`, `string` or, by path, `Observation.component`. Raises KeyError."""
    owner = _owner(name)
    rows = owner.get("e", [])
    backbone = "." in name
    if backbone and not any(row["p"] == name for row in rows):
        raise KeyError(name)
    base = ("BackboneElement" if owner["k"] == "resource" else "Element") if backbone else owner["base"]
    depth = name.count(".") + 1
    own = [_element(row) for row in rows if row["p"].startswith(name + ".") and row["p"].count(".") == depth]
    inherited = type_definition(base).elements if base else {}
    rules = tuple(Constraint(key, severity, path, x) for path, key, severity, x in owner.get("c", ()) if path == name)
    return TypeDefinition(
        name=name,
        kind="backbone"
        if backbone
        else {"primitive-type": "primitive", "complex-type": "complex"}.get(owner["k"], owner["k"]),
        base=base,
        abstract=bool(owner.get("abstract")),
        regex=_regex(name),
        elements=inherited | {e.name: e for e in own},
        constraints=rules,
    )


def _regex(name: str) -> str | None:
    row = table()["types"].get(name)
    while row is not None and row["k"] == "primitive-type":
        if "regex" in row:
            return str(row["regex"])
        row = table()["types"].get(row["base"])
    return None


def element_constraints(name: str) -> tuple[Constraint, ...]:
    """Rules stated at the non-backbone elements of a type (`Bundle.entry.fullUrl`, …), for type `name` only."""
    definition = type_definition(name)
    paths = {e.path for e in definition.elements.values() if e.path.startswith(name + ".") and e.types != (e.path,)}
    return tuple(Constraint(k, s, p, x) for p, k, s, x in _owner(name).get("c", ()) if p in paths)


@cache
def is_subtype(name: str, base: str) -> bool:
    """Whether `name` is `base` or specializes it."""
    current: str | None = name
    while current is not None:
        if current == base:
            return True
        current = type_definition(current).base
    return False


def _names(kind: str) -> tuple[str, ...]:
    return tuple(sorted(n for n, t in table()["types"].items() if t["k"] == kind and not t.get("abstract")))


RESOURCE_TYPES: tuple[str, ...] = _names("resource")
PRIMITIVE_TYPES: tuple[str, ...] = _names("primitive-type")
COMPLEX_TYPES: tuple[str, ...] = _names("complex-type")

# The number stands for the type in tables. R4 is closed: the list does not change, so neither do the numbers.
TYPE_NUMBER: dict[str, int] = {name: number for number, name in enumerate(RESOURCE_TYPES, 1)}
TYPE_NAME: dict[int, str] = {number: name for name, number in TYPE_NUMBER.items()}
