"""References (https://hl7.org/fhir/R4/references.html): target types and contained resources."""

from __future__ import annotations

import re
from typing import Any

from fhir.definitions.structure import RESOURCE_TYPES

from . import texts
from .problems import Context, Node, Problem, listed, say, shown

RESOURCES = frozenset(RESOURCE_TYPES)

# A RESTful reference: [base/]Type/id[/_history/version], or a conditional one, [base/]Type?parameters.
_literal = re.compile(
    r"(.*/)?([A-Z][A-Za-z]+)(?:/[A-Za-z0-9\-.]{1,64}(?:/_history/[A-Za-z0-9\-.]{1,64})?(?:#.*)?|\?.*)", re.DOTALL
).fullmatch


def referenced_type(reference: str) -> str | None:
    """The resource type that a relative, absolute, versioned or conditional reference names, if it names one.

    https://hl7.org/fhir/R4/references.html#literal; fragments and URNs name none.
    """
    match = _literal(reference)
    return match[2] if match and match[2] in RESOURCES else None


def _literal_type(reference: str, context: Context) -> tuple[str | None, Problem | None]:
    """The type that a literal reference names, and what is wrong with it where it names a type that is none."""
    if reference[:1] == "#":
        inner = contained_resource(context.root, reference[1:])
        found = inner.get("resourceType") if inner else None
        return (found if isinstance(found, str) else None), None
    match = _literal(reference)
    if match is None:
        return None, None
    if match[2] in RESOURCES:
        return match[2], None
    # Elsewhere such an address may be anything; relative to this server it can only be a resource.
    here = match[1] is None or (context.base_url and match[1] == context.base_url.rstrip("/") + "/")
    return None, Problem("value", say(texts.UNKNOWN_TYPE, value=shown(match[2])), ".reference") if here else None


def contained_resource(root: Node, name: str) -> Node | None:
    """The resource of this id among those that `root` contains."""
    contained = root.get("contained")
    if not isinstance(contained, list):
        return None
    return next((c for c in contained if isinstance(c, dict) and c.get("id") == name), None)


def target_problem(node: Node, targets: frozenset[str], context: Context) -> Problem | None:
    """Whether a sound Reference may point where it does. `targets` is empty where any type may be referred to."""
    literal, declared = node.get("reference"), node.get("type")
    found, problem = (None, None) if literal is None else _literal_type(literal, context)
    if problem is not None:
        return problem
    where = ".reference"
    if declared is not None:
        declared = declared.removeprefix("http://hl7.org/fhir/StructureDefinition/")
        if found is not None and declared in RESOURCES and declared != found:
            words = say(texts.WRONG_REFERENCE_TYPE, type=shown(declared), reference=shown(literal))
            return Problem("value", words, ".type")
        if found is None and declared in RESOURCES:
            found, where = declared, ".type"
    if found is not None and targets and found not in targets:
        return Problem("value", say(texts.WRONG_TARGET, found=found, targets=listed(sorted(targets))), where)
    return None


def contained_problems(resource: Node) -> list[Problem]:
    """The rules of contained resources (https://hl7.org/fhir/R4/references.html#contained).

    dom-2 (none inside another), dom-3 (each referred to, or referring to its container), dom-4 and dom-5 (no
    versionId, lastUpdated or security), and no two of one id.
    """
    used = _fragments(resource)
    seen: set[str] = set()
    problems: list[Problem] = []
    for number, inner in enumerate(resource["contained"]):
        if not isinstance(inner, dict):
            continue
        where, name = f".contained[{number}]", inner.get("id")
        if isinstance(name, str) and name in seen:
            problems.append(Problem("invariant", say(texts.SAME_CONTAINED, id=shown(name)), where + ".id"))
        if isinstance(name, str):
            seen.add(name)
        if f"#{name}" not in used and "#" not in _fragments(inner):
            problems.append(Problem("invariant", say(texts.UNUSED_CONTAINED, id=shown(name or "")), where))
        problems.extend(_inner_problems(inner, where))
    return problems


def _inner_problems(inner: Node, where: str) -> list[Problem]:
    meta = inner.get("meta")
    problems = [
        Problem("invariant", say(texts.CONTAINED_META, key=key), f"{where}.meta.{key}")
        for key in ("versionId", "lastUpdated", "security")
        if isinstance(meta, dict) and key in meta
    ]
    if "contained" in inner:
        problems.append(Problem("invariant", texts.NESTED_CONTAINED, where + ".contained"))
    return problems


def _fragments(node: Any) -> set[str]:
    """Every text in a resource that is a fragment: of references, canonicals, uris and urls alike."""
    found: set[str] = set()
    waiting = [node]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
        elif isinstance(item, str) and item.startswith("#"):
            found.add(item)
    return found
