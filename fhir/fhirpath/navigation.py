"""Code for steps from element to element (https://hl7.org/fhirpath/N1/#path-selection).

Types are known from the definitions, so a step is one look-up by its JSON key; a choice element is one look-up per
type that is wanted.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from fhir.definitions.structure import RESOURCE_TYPES, Element, type_definition
from fhir.fhirpath import tree
from fhir.fhirpath.ast import Expression, Member
from fhir.fhirpath.emitter import Branch, Branches, Mode, Scope, Shape
from fhir.fhirpath.exceptions import FhirPathTypeError
from fhir.fhirpath.tree import conforms, is_primitive
from fhir.fhirpath.values import system_type

if TYPE_CHECKING:
    from fhir.fhirpath.generator import Generator

_SYSTEM = ("Boolean", "String", "Integer", "Decimal", "Date", "DateTime", "Time", "Quantity", "TypeInfo")


@lru_cache(maxsize=4096)
def known_type(name: str) -> bool:
    """Whether `name` is a FHIR type."""
    try:
        type_definition(name)
    except KeyError:
        return False
    return True


@lru_cache(maxsize=4096)
def is_open(type_name: str) -> bool:
    """Whether an item of this static type may be of a subtype that has more elements: known only at run time."""
    if not type_name:
        return True
    if type_name.startswith("System."):
        return False
    return type_name in ("Resource", "DomainResource", "Element", "BackboneElement")


def type_name(expression: Expression) -> str:
    """The type that an argument such as `FHIR.Patient` or `string` names. Raises FhirPathTypeError."""
    parts = []
    node: Expression | None = expression
    while isinstance(node, Member):
        parts.append(node.name)
        node = node.base
    if node is not None or not parts:
        raise FhirPathTypeError("The name of a type was expected")
    return check_type(".".join(reversed(parts)))


def check_type(name: str) -> str:
    """The name itself, when it can be a type. Raises FhirPathTypeError."""
    namespace, _, rest = name.partition(".")
    if namespace in ("System", "FHIR"):
        return name
    if name in _SYSTEM or known_type(name):
        return name
    raise FhirPathTypeError(f"Unknown type {name}")


def member(g: Generator, expression: Member, scope: Scope, mode: Mode, only: str | None = None) -> Branches:
    """`base.name`; `only` names the type that is wanted of a choice element."""
    if expression.base is None:
        if expression.name[0].isupper() and known_type(expression.name):
            return typed_root(g, expression.name, scope)
        base = scope.this
    else:
        base = g.generate(expression.base, scope, Mode.ELEMENTS)
    return step(g, base, expression.name, mode, only)


def typed_root(g: Generator, name: str, scope: Scope) -> Branches:
    """A path that starts with a type: the focus where it is of that type, else nothing (or an error, if strict)."""
    found = [b for branch in scope.this for b in narrow(g, branch, name, exact=False)]
    if not found and g.strict:
        raise FhirPathTypeError(f"The focus is not of type {name}")
    return found


def step(g: Generator, base: Branches, name: str, mode: Mode, only: str | None = None) -> Branches:
    """`name` of each branch; unknown to all of them is a FhirPathTypeError, or empty for a lenient generator."""
    found: Branches = []
    known = not base
    for branch in base:
        if branch.type == "System.TypeInfo" or is_open(branch.type):
            element = type_definition(branch.type).elements.get(name) if known_type(branch.type) else None
            if element is None:
                known = True
                found.append(_open_step(g, branch, name))
                continue
        if is_primitive(branch.type):
            node = _primitive_node(g, branch)
            if name == "value":
                known = True
                found += as_system(g, branch)
                continue
        elif branch.type.startswith("System."):
            continue
        else:
            node = branch
        element = type_definition(branch.type).elements.get(name)
        if element is not None:
            known = True
            found += _element(g, node, element, mode, only)
    if not known and not g.lenient:
        raise FhirPathTypeError(f"Unknown element {name} of {' or '.join(sorted({b.type for b in base}))}")
    return found


def as_system(g: Generator, branch: Branch) -> Branches:
    """The System value of a primitive."""
    kind = system_type(branch.type)
    if branch.shape is Shape.ITEMS:
        item = g.emitter.name("i")
        code = f"[({kind!r}, {item}[1], None) for {item} in {branch.code} if {item}[1] is not None]"
        return [Branch(kind, code, Shape.ITEMS, single=branch.single)]
    return [Branch(kind, branch.code, branch.shape, sure=branch.sure)]


def _open_step(g: Generator, branch: Branch, name: str) -> Branch:
    return Branch("", f"{g.runtime(tree.member)}({g.items([branch])}, {name!r})", Shape.ITEMS)


def _primitive_node(g: Generator, branch: Branch) -> Branch:
    """The object that holds the extensions of a primitive, as a branch."""
    if branch.shape is Shape.ONE:
        return Branch(branch.type, branch.sibling or "None", Shape.ONE)
    if branch.shape is Shape.ITEMS:
        item = g.emitter.name("i")
        return Branch(branch.type, f"[{item}[2] for {item} in {branch.code} if {item}[2] is not None]", Shape.LIST)
    return Branch(branch.type, "()", Shape.LIST)


def _element(g: Generator, base: Branch, element: Element, mode: Mode, only: str | None) -> Branches:
    keys = [(k, t) for k, t in element.keys() if only is None or not element.choice or could_be(t, only)]  # noqa: SIM118
    if base.shape is Shape.ITEMS:
        item = g.emitter.name("i")
        base = Branch(base.type, f"[{item}[1] for {item} in {base.code} if {item}[1] is not None]", Shape.LIST)
    many = element.max != 1
    if base.shape is Shape.ONE:
        return [_of_one(g, base, key, kind, many, mode) for key, kind in keys]
    if len(keys) > 1:
        table = g.emitter.constant(tuple((k, t, is_primitive(t)) for k, t in keys))
        return [Branch("", f"{g.runtime(tree.choice)}({base.code} or (), {table})", Shape.ITEMS)]
    return [_of_list(g, base, key, kind, many, mode) for key, kind in keys]


def could_be(static: str, wanted: str) -> bool:
    """Whether a value of a static type may pass `as wanted`."""
    return is_open(static) or conforms(static, wanted, True)


def look_up(g: Generator, base: Branch, key: str) -> str:
    """Code of one key of a ONE branch."""
    if base.code == "node" and base.sure:
        return g.emitter.hoist(f"node.get({key!r})")
    return f"{base.code}.get({key!r})" if base.sure else f"({base.code} or EMPTY).get({key!r})"


def _of_one(g: Generator, base: Branch, key: str, kind: str, many: bool, mode: Mode) -> Branch:
    code = look_up(g, base, key)
    if not is_primitive(kind):
        return Branch(kind, code, Shape.LIST if many else Shape.ONE)
    sibling = look_up(g, base, f"_{key}")
    if not many:
        return Branch(kind, code, Shape.ONE, sibling=sibling)
    if mode is Mode.PRESENCE:
        return Branch(kind, f"({code} or {sibling})", Shape.LIST)
    if mode is Mode.VALUES:
        return Branch(kind, f"{g.runtime(present)}({code})", Shape.LIST)
    return Branch(kind, f"{g.runtime(tree.primitives)}({kind!r}, {code}, {sibling})", Shape.ITEMS)


def present(values: list[object] | None) -> list[object] | None:
    """The values of a repeating primitive, without the nulls that stand beside bare extensions."""
    return [v for v in values if v is not None] if values is not None and None in values else values


def _of_list(g: Generator, base: Branch, key: str, kind: str, many: bool, mode: Mode) -> Branch:
    node, value = g.emitter.name("n"), g.emitter.name("x")
    if is_primitive(kind) and mode is Mode.ELEMENTS:
        code = f"{g.runtime(tree.elements)}({base.code} or (), {key!r}, {kind!r}, {many})"
        return Branch(kind, code, Shape.ITEMS)
    look = f"{node}.get({key!r})"
    if is_primitive(kind) and mode is Mode.PRESENCE:
        look = f"({look} or {node}.get('_{key}'))" if many else f"(True if {key!r} in {node} else {node}.get('_{key}'))"
    inner = f"{look} or ()" if many else f"[{look}]"
    check = "" if many and not is_primitive(kind) else f" if {value} is not None"
    loops = f"[{value} for {node} in {base.code} or () for {value} in {inner}{check}]"
    return Branch(kind, loops, Shape.LIST)


def narrow(g: Generator, branch: Branch, wanted: str, *, exact: bool) -> Branches:
    """The part of a branch that is of type `wanted`: all or nothing where that is known now."""
    if not is_open(branch.type) or (branch.type and conforms(branch.type, wanted, exact)):
        return [branch] if conforms(branch.type, wanted, exact) else []
    static = wanted.removeprefix("FHIR.")
    if branch.shape is not Shape.ITEMS and static in RESOURCE_TYPES:
        return [_resources(g, branch, static)]
    code = f"{g.runtime(tree.of_type)}({g.items([branch])}, {wanted!r})"
    return [Branch(_static(wanted), code, Shape.ITEMS, single=branch.single or branch.shape is Shape.ONE)]


def _static(wanted: str) -> str:
    """The type of items that passed `ofType(wanted)`, where it is certain."""
    if wanted.startswith("System."):
        return wanted
    name = wanted.removeprefix("FHIR.")
    if not known_type(name) or is_open(name):
        return ""
    return name


def _resources(g: Generator, branch: Branch, wanted: str) -> Branch:
    if branch.shape is Shape.ONE:
        code = f"({branch.code} if ({branch.code} or EMPTY).get('resourceType') == {wanted!r} else None)"
        return Branch(wanted, code, Shape.ONE)
    node = g.emitter.name("n")
    code = f"[{node} for {node} in {branch.code} or () if {node}.get('resourceType') == {wanted!r}]"
    return Branch(wanted, code, Shape.LIST)
