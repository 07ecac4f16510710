"""The expression of a search parameter as SQL/JSON paths, for values that the index holds as hashes only.

https://www.postgresql.org/docs/current/functions-json.html#FUNCTIONS-SQLJSON-PATH
"""

from __future__ import annotations

import json

from fhir.definitions.structure import RESOURCE_TYPES, is_subtype, type_definition
from fhir.fhirpath.ast import Binary, Call, Expression, Indexer, Literal, Member, TypeExpression
from fhir.fhirpath.parser import parse

from .paths import Branch

_ROOTS = frozenset((*RESOURCE_TYPES, "Resource", "DomainResource"))
# What of a complex type is compared, as the end of a path.
_ENDS = {
    "CodeableConcept": ('."coding"."code"', '."text"'),
    "Coding": ('."code"',),
    "Identifier": ('."value"',),
    "ContactPoint": ('."value"',),
    "Reference": ('."reference"',),
    "Quantity": ('."value"',),
    "Resource": ('."id"',),
}
_EXTENSION_VALUES = ("CodeableConcept", "Coding", "Identifier", "Reference", "String", "Code", "Uri", "Canonical", "Id")
Place = tuple[str, str]  # path, FHIR type of what it finds


class NotAPath(ValueError):
    """An expression that does more than find elements."""


def of_branch(branch: Branch, resource_type: str, part: str | None = None) -> list[str]:
    """The paths of what is compared of the values of a branch, or of a composite's `part` there. Raises NotAPath."""
    places = values(branch, resource_type)
    if part is not None:
        places = _places(parse(part), places)
    found: dict[str, None] = {}
    for path, fhir_type in places:
        found.update(dict.fromkeys(f"lax {path}{end}" for end in _ends(fhir_type)))
    return list(found)


def values(branch: Branch, resource_type: str) -> list[Place]:
    """Where the values of a branch lie, and their FHIR types. Raises NotAPath."""
    places = _places(branch.node, [("$", resource_type)])
    if branch.target is not None:
        places = [(f"{path} ? ({_refers_to(branch.target)})", fhir_type) for path, fhir_type in places]
    return places


def _refers_to(target: str) -> str:
    """References to one type: as their address says, or else their element `type`."""
    id_and_version = r"/[A-Za-z0-9.-]{1,64}(/_history/[A-Za-z0-9.-]{1,64})?$"
    named, any_type = (json.dumps(f"(^|/){name}{id_and_version}") for name in (target, "[A-Z][A-Za-z]+"))
    by_type = f'@."type" == "{target}" && !(@."reference" like_regex {any_type})'
    return f'@."reference" like_regex {named} || ({by_type})'


def _ends(fhir_type: str) -> tuple[str, ...]:
    if fhir_type == "Extension":
        ends = ((name, end) for name in _EXTENSION_VALUES for end in _ENDS.get(name, ("",)))
        return tuple(f'."value{name}"{end}' for name, end in ends)
    # Of a primitive that repeats, the items; one alone is its own item.
    return _ENDS.get(fhir_type, ("[*]",))


def _places(node: Expression, root: list[Place]) -> list[Place]:
    match node:
        case Member(base=None, name=name):
            return root if name in _ROOTS else _elements(root, name)
        case Member(base=Expression() as base, name=name):
            return _elements(_places(base, root), name)
        case TypeExpression(operator="as", operand=operand, type=name):
            return _cast(_places(operand, root), name)
        case Indexer(base=base, index=Literal(value=value)):
            return [(f"{path}[{int(value)}]", kind) for path, kind in _places(base, root)]
        case Call(base=Expression() as base, arguments=(argument,)):
            return _called(node.name, _places(base, root), argument)
    raise NotAPath(str(node))


def _elements(places: list[Place], name: str) -> list[Place]:
    found = []
    for path, kind in places:
        element = type_definition(kind).elements.get(name)
        if element is not None:
            found += [(f'{path}."{key}"', fhir_type) for key, fhir_type in element.keys()]  # noqa: SIM118
    return found


def _cast(places: list[Place], name: str) -> list[Place]:
    return [place for place in places if place[1].lower() == name.lower() or is_subtype(place[1], name)]


def _called(name: str, places: list[Place], argument: Expression) -> list[Place]:
    if name in ("as", "ofType") and isinstance(argument, Member):
        return _cast(places, argument.name)
    if name == "where":
        test = _test(argument)
        return [(f"{path} ? ({test})", kind) for path, kind in places]
    if name == "extension":
        return [(f'{path}."extension" ? (@."url" == {_text(argument)})', "Extension") for path, _kind in places]
    raise NotAPath(name)


def _test(node: Expression) -> str:
    match node:
        case Binary(operator="=", left=Member(base=None, name=name), right=right):
            return f'@."{name}" == {_text(right)}'
        case Call(base=None, name="hasExtension", arguments=(url,)):
            return f'exists(@."extension" ? (@."url" == {_text(url)}))'
    raise NotAPath(str(node))


def _text(node: Expression) -> str:
    if isinstance(node, Literal) and isinstance(node.value, str):
        return json.dumps(node.value)
    raise NotAPath(str(node))
