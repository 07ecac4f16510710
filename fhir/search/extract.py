"""From a resource to its index rows: every parameter of its type, evaluated and hashed at write time.

Each type gets one compiled function for its expressions (fhir.fhirpath) and one small writer for each parameter. What
they share is stored once: see fhir.search.catalogue.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from fhir.compartment import patients
from fhir.definitions.search_parameters import clinical_date
from fhir.definitions.structure import PRIMITIVE_TYPES, RESOURCE_TYPES
from fhir.fhirpath import Environment, compile_many
from fhir.ids import compartment_term
from fhir.index_rows import NO_DATE, IndexRows

from . import composites, hashing
from .catalogue import COLUMNS, Parameter, parameters
from .parameters import date, number, quantity, reference, special, string, token, uri

Values = list[tuple[str, Any]]
Writer = Callable[["Rows", Values], None]
Addition = Callable[["Rows", dict[str, Any], Environment], None]

# What reads the custom parameters of a type; fhir.search.custom replaces the whole.
additions: Mapping[str, tuple[Addition, ...]] = {}


class Rows:
    """What is gathered for one resource."""

    __slots__ = ("base_url", "code_values", "dates", "identifiers", "present", "ranges", "strings", "terms")

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.terms: set[int] = set()
        self.identifiers: set[tuple[int, int]] = set()
        self.present = 0
        self.dates: dict[str, float] = {}
        self.ranges: dict[tuple[int, int | None, float, float], None] = {}
        self.strings: dict[tuple[int, str, str], None] = {}
        self.code_values: dict[tuple[int, int | None, float, float], None] = {}


def index(resource: dict[str, Any], base_url: str) -> IndexRows:
    """The index rows of a resource that has its id. `base_url` is the FHIR base without a final slash.

    The first term is the resource's own, which references to it are made of; the others follow in order.
    """
    resource_type = resource["resourceType"]
    plan = _plan(resource_type)
    environment = Environment(resource=resource)
    rows = Rows(base_url)
    found = plan.extract(resource, environment)
    for code, values in found.items():
        plan.writers[code](rows, [plain(*item) for item in values] if code in plan.extended else values)
    for composite in plan.composites:
        composite(rows, resource, environment)
    for addition in additions.get(resource_type, ()):
        addition(rows, resource, environment)
    named = tuple(patients(resource, base_url))
    if resource_type == "Patient":
        named = (resource["id"], *(name for name in named if name != resource["id"]))
    for other in named[1:]:
        rows.terms.add(compartment_term(other))
    for inner in resource.get("contained", ()):
        rows.terms.add(hashing.contained_term(inner["resourceType"]))
    return IndexRows(
        terms=[hashing.own_term(resource_type, resource["id"]), *sorted(rows.terms)],
        present=rows.present | plan.always,
        sdate=rows.dates.get(plan.clinical or "", NO_DATE),
        ranges=list(rows.ranges),
        strings=list(rows.strings),
        code_values=list(rows.code_values),
        patients=named,
        identifiers=tuple(sorted(rows.identifiers)),
    )


def prepare() -> None:
    """Compiles the readers of all types, so that workers share them."""
    for resource_type in RESOURCE_TYPES:
        _plan(resource_type)


def plain(fhir_type: str, value: Any) -> tuple[str, Any]:
    """The value of an extension, where an expression ends at the extension itself."""
    if fhir_type != "Extension":
        return fhir_type, value
    for key, inner in value.items():
        if key.startswith("value"):
            name = key[5:]
            primitive = name[0].lower() + name[1:]
            return (primitive if primitive in PRIMITIVE_TYPES else name), inner
    return "Extension", None


class _Plan:
    """How a type is read: the compiled expressions, a writer for each, the composites."""

    __slots__ = ("always", "clinical", "composites", "extended", "extract", "writers")

    def __init__(self, resource_type: str) -> None:
        known = parameters(resource_type)
        elsewhere = {code for p in known.values() for code in p.pieces.values()}
        read = [
            p
            for p in known.values()
            if p.code not in COLUMNS and p.code not in elsewhere and p.type != "composite" and p.code in p.stored_as
        ]
        self.extract = compile_many({p.code: p.expression for p in read}, resource_type)
        self.extended = {p.code for p in read if "extension(" in p.expression}
        self.writers = {p.code: writer(p, known) for p in read}
        self.composites = composites.readers(resource_type)
        self.always = sum(known[code].mask for code in COLUMNS)
        date_code = clinical_date(resource_type)
        self.clinical = known[date_code].stored_as[0] if date_code else None


@cache
def _plan(resource_type: str) -> _Plan:
    return _Plan(resource_type)


def _bits(parameter: Parameter, known: Mapping[str, Parameter]) -> int:
    """The bits of all parameters that have a value when this one has; those with a filter set their own."""
    bits = 0
    for other in known.values():
        if parameter.code in other.stored_as and not any(branch.target for branch in other.branches):
            bits |= other.mask
    return bits


def writer(parameter: Parameter, known: Any) -> Writer:
    """What turns the values of one parameter into rows, as its type asks."""
    makers: dict[str, Callable[[Parameter, int, Any], Writer]] = {
        "token": _tokens,
        "reference": _references,
        "string": _strings,
        "date": _dates,
        "number": _numbers,
        "quantity": _quantities,
        "uri": _uris,
        "special": _positions,
    }
    return makers[parameter.type](parameter, _bits(parameter, known), known)


def _tokens(parameter: Parameter, bits: int, _known: Any) -> Writer:
    base = hashing.parameter_hash(parameter.resource_type, parameter.code)
    typed = hashing.parameter_hash(parameter.resource_type, parameter.code + ":of-type")
    text = hashing.parameter_number(parameter.resource_type, parameter.code + ":text")
    hashes = token.hashes
    located = token.is_located(parameter)

    def write(rows: Rows, values: Values) -> None:
        terms = rows.terms
        for fhir_type, value in values:
            found = hashes(fhir_type, value)
            for h in found:
                terms.add(base ^ h)
            if fhir_type == "Identifier":
                for h in token.typed_hashes(value):
                    terms.add(typed ^ h)
                if located and "value" in value:
                    rows.identifiers.add((base ^ found[0], base ^ found[1]))
            words = token.texts(fhir_type, value) if type(value) is dict else ()
            for each in words:
                rows.strings[text, string.fold(each), each] = None
            if found or words:
                rows.present |= bits

    return write


def _references(parameter: Parameter, bits: int, known: Any) -> Writer:
    base = hashing.parameter_hash(parameter.resource_type, parameter.code)
    below = hashing.parameter_hash(parameter.resource_type, parameter.code + uri.BELOW)
    by_type = _bits_by_target(parameter, known)
    by_identifier = {
        target: hashing.parameter_hash(parameter.resource_type, parameter.code + reference.identifier_suffix(target))
        for target in (None, *by_type)
    }

    def write(rows: Rows, values: Values) -> None:
        terms = rows.terms
        present = bits
        for fhir_type, value in values:
            text, named = reference.literal(value), None
            if text is not None:
                forms = reference.forms(text, rows.base_url, fhir_type)
                for form in forms:
                    terms.add(base ^ hashing.reference(form))
                if by_type:
                    named = reference.named_type(forms[-1])
                    present |= by_type.get(named or "", 0)
                if fhir_type != "Reference":
                    terms.update(below ^ hashing.uri(above) for above in uri.ancestors(text))
            if fhir_type == "Reference" and (len(value) > 1 or text is None):
                if by_type and named is None:
                    named = value.get("type")
                    present |= by_type.get(named, 0)
                identifier = value.get("identifier")
                if identifier:
                    bases = [by_identifier[target] for target in (None, named) if target in by_identifier]
                    hashes = hashing.identifier_hashes(identifier.get("system"), identifier.get("value"))
                    terms.update(base ^ h for base in dict.fromkeys(bases) for h in hashes)
        rows.present |= present

    return write


def _bits_by_target(parameter: Parameter, known: Any) -> dict[str, int]:
    """Bits of the parameters that look only at references to one type, by that type."""
    found: dict[str, int] = {}
    for other in known.values():
        for branch in other.branches if parameter.code in other.stored_as else ():
            if branch.target:
                found[branch.target] = found.get(branch.target, 0) | other.mask
    return found


def _strings(parameter: Parameter, bits: int, known: Any) -> Writer:
    own = hashing.parameter_number(parameter.resource_type, parameter.code)
    pieces = {
        element: (hashing.parameter_number(parameter.resource_type, code), known[code].mask)
        for element, code in parameter.pieces.items()
    }
    fold, texts = string.fold, string.texts

    def write(rows: Rows, values: Values) -> None:
        for fhir_type, value in values:
            for element, text in texts(fhir_type, value, pieces):
                column, piece = (own, 0) if element is None else pieces[element]
                rows.strings[column, fold(text), text] = None
                rows.present |= piece | bits

    return write


def _dates(parameter: Parameter, bits: int, _known: Any) -> Writer:
    column, code = hashing.parameter_number(parameter.resource_type, parameter.code), parameter.code

    def write(rows: Rows, values: Values) -> None:
        for fhir_type, value in values:
            interval = date.of_value(fhir_type, value)
            if interval is not None:
                rows.ranges[column, None, interval[0], interval[1]] = None
                rows.dates[code] = min(max(interval[0], date.EARLIEST), rows.dates.get(code, math.inf))
                rows.present |= bits

    return write


def _numbers(parameter: Parameter, bits: int, _known: Any) -> Writer:
    column = hashing.parameter_number(parameter.resource_type, parameter.code)

    def write(rows: Rows, values: Values) -> None:
        for fhir_type, value in values:
            interval = number.of_value(fhir_type, value)
            if interval is not None:
                rows.ranges[column, None, interval[0], interval[1]] = None
                rows.present |= bits

    return write


def _quantities(parameter: Parameter, bits: int, _known: Any) -> Writer:
    column = hashing.parameter_number(parameter.resource_type, parameter.code)
    canonical = hashing.parameter_number(parameter.resource_type, parameter.code + quantity.CANONICAL)

    def write(rows: Rows, values: Values) -> None:
        for fhir_type, value in values:
            row = quantity.of_value(fhir_type, value)
            if row is not None:
                rows.ranges[column, row[0], row[1], row[2]] = None
                rows.present |= bits
                converted = quantity.canonical(fhir_type, value)
                if converted is not None:
                    rows.ranges[canonical, converted[0], converted[1], converted[2]] = None

    return write


def _uris(parameter: Parameter, bits: int, _known: Any) -> Writer:
    base = hashing.parameter_hash(parameter.resource_type, parameter.code)
    below = hashing.parameter_hash(parameter.resource_type, parameter.code + uri.BELOW)

    def write(rows: Rows, values: Values) -> None:
        for _type, value in values:
            for h in uri.hashes(value):
                rows.terms.add(base ^ h)
            if type(value) is str:
                for above in uri.ancestors(value):
                    rows.terms.add(below ^ hashing.uri(above))
        rows.present |= bits

    return write


def _positions(parameter: Parameter, bits: int, _known: Any) -> Writer:
    column = hashing.parameter_number(parameter.resource_type, parameter.code)

    def write(rows: Rows, values: Values) -> None:
        for _type, value in values:
            point = special.position(value)
            if point is not None:
                rows.ranges[column, None, point[0], point[1]] = None
                rows.present |= bits

    return write
