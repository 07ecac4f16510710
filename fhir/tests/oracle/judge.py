"""Which resources a query finds, and whether an order is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from . import codes, dates, numbers, references, texts, tokens
from .parameters import COMPARTMENT, PARAMETERS, SYSTEMS, Parameter
from .values import Value, items, plain, split

Resource = dict[str, Any]
SPECIAL = ("_filter", "_list", "_text", "_content")
PREFIXES = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")


@dataclass(frozen=True)
class World:
    """All resources there are, the address of the server, and the time (microseconds since 1970)."""

    resources: Sequence[Resource]
    base_url: str
    now: float

    def of_type(self, resource_type: str) -> list[Resource]:
        return [resource for resource in self.resources if resource["resourceType"] == resource_type]

    def of_patient(self, patient: Resource) -> World:
        """What a patient may see: nothing but what is in the own compartment."""
        return replace(self, resources=[r for r in self.resources if self.is_about(r, patient)])

    def is_about(self, resource: Resource, patient: Resource) -> bool:
        kind = resource["resourceType"]
        parameters = [PARAMETERS[kind][code] for code in COMPARTMENT.get(kind, ())]
        return resource is patient or any(points_to(self, v, patient) for p in parameters for v in p.values(resource))


def judge(world: World, types: Sequence[str], pairs: Sequence[tuple[str, str]]) -> list[Resource]:
    """The resources of these types for which every parameter holds (https://hl7.org/fhir/R4/search.html#combining)."""
    return [
        resource
        for resource in world.resources
        if resource["resourceType"] in types and all(holds(world, resource, name, value) for name, value in pairs)
    ]


def holds(world: World, resource: Resource, name: str, value: str) -> bool:
    """One `name=value` of a query: `_has`, a chain, or a parameter with or without a modifier."""
    if name.startswith("_has:"):
        return _has(world, resource, name, value)
    if name in SPECIAL:
        from . import special

        return special.holds(world, resource, name, value)
    head, dot, rest = name.partition(".")
    code, _colon, modifier = head.partition(":")
    parameter = PARAMETERS[resource["resourceType"]][code]
    if dot:
        return _chain(world, parameter.values(resource), modifier or None, rest, value)
    return _plain(world, parameter, resource, modifier or None, value)


def _plain(world: World, parameter: Parameter, resource: Resource, modifier: str | None, value: str) -> bool:
    """Any of the alternatives between commas; `:not`, `:not-in` are the opposite of all that (#token); `:missing`."""
    if modifier == "missing":
        return present(parameter, resource) == (value == "false")
    if modifier in ("not", "not-in"):
        return not _plain(world, parameter, resource, {"not": None, "not-in": "in"}[modifier], value)
    alternatives = split(value, ",")
    if parameter.type == "composite":
        return any(composite(world, parameter, resource, alternative) for alternative in alternatives)
    return any(
        value_matches(world, parameter, stored, modifier, alternative)
        for stored in parameter.values(resource)
        for alternative in alternatives
    )


def present(parameter: Parameter, resource: Resource) -> bool:
    if parameter.type == "composite":
        return any(all(parts) for parts in parameter.pairs(resource))
    return bool(parameter.values(resource))


def value_matches(world: World, parameter: Parameter, stored: Value, modifier: str | None, asked: str) -> bool:
    """One stored value against one alternative."""
    kind = parameter.type
    if kind == "token":
        return _token_matches(parameter, stored, modifier, asked)
    if kind == "reference" and modifier == "identifier":
        return references.identifier_matches(stored, asked)
    if kind == "reference":
        return references.matches(stored, modifier, plain(asked), world.base_url)
    if kind == "uri":
        return references.uri_matches(stored, modifier, plain(asked))
    if kind == "string":
        return texts.matches(stored, modifier, plain(asked))
    if kind == "special":
        from . import special

        return special.near(stored, asked)
    return part_matches(world, kind, stored, asked)


def _token_matches(parameter: Parameter, stored: Value, modifier: str | None, asked: str) -> bool:
    if modifier is None:
        return tokens.matches(stored, asked, SYSTEMS.get((parameter.resource_type, parameter.code)))
    if modifier == "text":
        return texts.display_matches(stored, plain(asked))
    if modifier == "of-type":
        return tokens.of_type_matches(stored, asked)
    return codes.matches(stored, modifier, asked)


def part_matches(world: World, kind: str, stored: Value, asked: str) -> bool:
    """Types whose values may begin with a prefix, and the other types as parts of composites."""
    if kind == "token":
        return tokens.matches(stored, asked)
    if kind == "string":
        return texts.matches(stored, None, plain(asked))
    prefix, text = (asked[:2], asked[2:]) if asked[:2] in PREFIXES else ("eq", asked)
    if kind == "date":
        return dates.matches(stored, prefix, plain(text), world.now)
    if kind == "number":
        return numbers.number_matches(stored, prefix, plain(text))
    return numbers.quantity_matches(stored, prefix, text)


def composite(world: World, parameter: Parameter, resource: Resource, asked: str) -> bool:
    """`first$second`, both true of one repetition (https://hl7.org/fhir/R4/search.html#composite)."""
    wanted = split(asked, "$")
    return any(
        all(
            any(part_matches(world, part.type, stored, text) for stored in values)
            for part, values, text in zip(parameter.parts, node, wanted, strict=True)
        )
        for node in parameter.pairs(resource)
    )


def _chain(world: World, values: list[Value], modifier: str | None, rest: str, value: str) -> bool:
    """`subject:Patient.name=x`: one of the resources referred to fulfils the rest (#chaining)."""
    code = rest.partition(".")[0].partition(":")[0]
    for other in world.resources:
        known = PARAMETERS[other["resourceType"]]
        if modifier not in (None, other["resourceType"]) or not (code in known or code in ("_has", *SPECIAL)):
            continue
        if any(points_to(world, stored, other) for stored in values) and holds(world, other, rest, value):
            return True
    return False


def _has(world: World, resource: Resource, name: str, value: str) -> bool:
    """`_has:Observation:patient:code=x`: some Observation with that code refers here by `patient` (#has)."""
    _word, source, link, rest = name.split(":", 3)
    return any(
        any(points_to(world, stored, resource) for stored in PARAMETERS[source][link].values(other))
        and holds(world, other, rest, value)
        for other in world.of_type(source)
    )


def points_to(world: World, stored: Value, other: Resource) -> bool:
    if stored.type != "Reference" or "reference" not in stored.value:
        return False
    found = references.local(stored.value["reference"], world.base_url)
    return found is not None and found[:2] == (other["resourceType"], other["id"])


# --- order


def sort_keys(resource: Resource, code: str) -> list[Any]:
    """What a resource can be sorted by (https://hl7.org/fhir/R4/search.html#sort).

    Dates and numbers by where they begin, texts folded, codes and references as written. docs/search.md.
    """
    parameter = PARAMETERS[resource["resourceType"]][code]
    return [key for value in parameter.values(resource) for key in _keys(parameter.type, value)]


def _keys(kind: str, value: Value) -> list[Any]:
    if kind == "date":
        interval = dates.target(value)
        return [] if interval is None else [interval[0]]
    if kind in ("number", "quantity"):
        stored = numbers.target(value)
        return [] if stored is None else [stored.lo]
    if kind == "string":
        return [texts.fold(text) for text in texts.strings(value)]
    if kind == "reference":
        text = value.value.get("reference") if value.type == "Reference" else value.value
        return [] if text is None else [text]
    if value.type == "CodeableConcept":
        return [text for _s, text in tokens.pairs(value) if text] + items(value.value.get("text"))
    return [text for _s, text in tokens.pairs(value) if text is not None]


def disorder(resources: Sequence[Resource], sort: str) -> str | None:
    """Where the order is not that of `_sort`, in words; None where it is.

    Of several values counts the one that comes first in the order asked for; no value comes last.
    """
    for before, after in zip(resources, resources[1:], strict=False):
        for item in sort.split(","):
            code, descending = item.removeprefix("-"), item.startswith("-")
            first, second = _key(before, code, descending), _key(after, code, descending)
            if first == second:
                continue
            wrong = first is None or (second is not None and (first < second if descending else first > second))
            if wrong:
                return f"{before['id']} ({first}) before {after['id']} ({second}) in {item}"
            break
    return None


def _key(resource: Resource, code: str, descending: bool) -> Any:
    keys = sort_keys(resource, code)
    return (max(keys) if descending else min(keys)) if keys else None
