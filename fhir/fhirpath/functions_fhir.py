"""Utility functions, and those that FHIR adds (https://hl7.org/fhir/R4/fhirpath.html#functions)."""

from __future__ import annotations

import re
from typing import Any

from fhir.definitions.structure import RESOURCE_TYPES
from fhir.fhirpath import temporal, xhtml
from fhir.fhirpath.environment import Environment
from fhir.fhirpath.exceptions import FhirPathEvaluationError
from fhir.fhirpath.registry import collection, string_argument, wrap
from fhir.fhirpath.tree import actual, is_primitive
from fhir.fhirpath.values import Items, only, system_type

BOOLEAN, STRING = "System.Boolean", "System.String"
_CONSTANTS = {
    "sct": "http://snomed.info/sct",
    "loinc": "http://loinc.org",
    "ucum": "http://unitsofmeasure.org",
}
_PYTHON_TYPES: tuple[tuple[type, str], ...] = ((bool, BOOLEAN), (int, "System.Integer"), (str, STRING))
_LITERAL = re.compile(r"(?:.*/)?([A-Z][A-Za-z]+)/[A-Za-z0-9\-.]{1,64}(?:/_history/[A-Za-z0-9\-.]{1,64})?")


def constant(name: str) -> str | None:
    """The value of a `%name` that FHIR fixes, or None."""
    if name.startswith("vs-"):
        return f"http://hl7.org/fhir/ValueSet/{name[3:]}"
    if name.startswith("ext-"):
        return f"http://hl7.org/fhir/StructureDefinition/{name[4:]}"
    return _CONSTANTS.get(name)


def variable(environment: Environment, name: str) -> Items:
    """The items of a `%name` that the caller gave. Raises FhirPathEvaluationError where there is none."""
    if name not in environment.variables:
        raise FhirPathEvaluationError(f"%{name} is not defined")
    value = environment.variables[name]
    values = value if isinstance(value, list) else [] if value is None else [value]
    return [(_type_of(v), v, None) for v in values]


def _type_of(value: Any) -> str:
    for python_type, name in _PYTHON_TYPES:
        if isinstance(value, python_type):
            return name
    return actual("Element", value) if isinstance(value, dict) else "System.Decimal"


@collection("now", result="System.DateTime")
def now(environment: Environment, items: Items) -> Items:
    return wrap("System.DateTime", environment.moment().isoformat(timespec="milliseconds"))


@collection("today", result="System.Date")
def today(environment: Environment, items: Items) -> Items:
    return wrap("System.Date", temporal.today(environment.moment()))


@collection("timeOfDay", result="System.Time")
def time_of_day(environment: Environment, items: Items) -> Items:
    return wrap("System.Time", environment.moment().time().isoformat(timespec="milliseconds"))


@collection("type", result="System.TypeInfo")
def type_(environment: Environment, items: Items) -> Items:
    found: Items = []
    for name, _, _ in items:
        namespace, _, rest = name.rpartition(".") if name.startswith("System.") else ("FHIR", "", name)
        found.append(("System.TypeInfo", {"namespace": namespace, "name": rest}, None))
    return found


@collection("hasValue", result=BOOLEAN)
def has_value(environment: Environment, items: Items) -> Items:
    single = len(items) == 1 and items[0][1] is not None and _is_plain(items[0][0])
    return wrap(BOOLEAN, single)


@collection("getValue")
def get_value(environment: Environment, items: Items) -> Items:
    if len(items) != 1 or items[0][1] is None or not _is_plain(items[0][0]):
        return []
    return [(system_type(items[0][0]), items[0][1], None)]


def _is_plain(type_name: str) -> bool:
    return type_name.startswith("System.") or is_primitive(type_name)


def _reference(item_type: str, value: Any) -> str | None:
    text = value.get("reference") if isinstance(value, dict) else value
    return text if isinstance(text, str) else None


def resolve(environment: Environment, items: Items) -> Items:
    """The resources that references, canonicals or uris lead to; what is not found is left out."""
    found: Items = []
    for type_name, value, _ in items:
        reference = _reference(type_name, value)
        resource = _resource(environment, reference) if reference else None
        if resource is not None:
            found.append((resource["resourceType"], resource, None))
    return found


def _resource(environment: Environment, reference: str) -> dict[str, Any] | None:
    if reference.startswith("#"):
        container = environment.root or {}
        if reference == "#":
            return container or None
        return next((c for c in container.get("contained", ()) if c.get("id") == reference[1:]), None)
    return environment.resolve(reference) if environment.resolve is not None else None


collection("resolve")(resolve)


def refers_to(environment: Environment, value: Any, wanted: str) -> bool | None:
    """`resolve() is wanted` without fetching where the reference itself says the type; None for what is unknown."""
    reference = _reference("", value)
    if isinstance(value, dict) and value.get("type") in RESOURCE_TYPES:
        return bool(value["type"] == wanted or wanted in ("Resource", "DomainResource"))
    if reference is None:
        return None
    match = _LITERAL.fullmatch(reference)
    if match and match.group(1) in RESOURCE_TYPES:
        return match.group(1) == wanted or wanted in ("Resource", "DomainResource")
    resource = _resource(environment, reference)
    return None if resource is None else bool(resource["resourceType"] == wanted)


@collection("memberOf", (1, 1), BOOLEAN)
def member_of(environment: Environment, items: Items, value_set: Items) -> Items:
    item, url = only(items), string_argument(value_set)
    if item is None or url is None:
        return []
    if environment.member_of is None:
        raise FhirPathEvaluationError("memberOf() needs a terminology service")
    return wrap(BOOLEAN, environment.member_of(item[1], item[0], url))


@collection("conformsTo", (1, 1), BOOLEAN)
def conforms_to(environment: Environment, items: Items, profile: Items) -> Items:
    item, url = only(items), string_argument(profile)
    if item is None or url is None:
        return []
    if environment.conforms_to is not None:
        return wrap(BOOLEAN, environment.conforms_to(item[1], url))
    base, _, name = url.rpartition("/")
    if base != "http://hl7.org/fhir/StructureDefinition" or name not in RESOURCE_TYPES:
        raise FhirPathEvaluationError(f"The profile {url} is not known")
    return wrap(BOOLEAN, item[0] == name)


@collection("htmlChecks", result=BOOLEAN)
def html_checks(environment: Environment, items: Items) -> Items:
    item = only(items)
    if item is None:
        return []
    return wrap(BOOLEAN, isinstance(item[1], str) and not xhtml.problems(item[1]))


def trace(environment: Environment, items: Items, name: Items, projected: Items | None = None) -> Items:
    """Show items to the environment's `trace` and pass them on."""
    if environment.trace is not None:
        shown = items if projected is None else projected
        environment.trace(string_argument(name) or "", [value for _, value, _ in shown])
    return items
