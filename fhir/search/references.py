"""The references of a resource, read from its JSON text without the rest of it.

A parameter whose values are references at the end of plain paths needs no more than those elements: msgspec passes over
all others (https://jcristharif.com/msgspec/structs.html). Other parameters are evaluated on the whole resource.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from types import GenericAlias
from typing import Any

import msgspec

from fhir.definitions.structure import TYPE_NUMBER

from .catalogue import parameters
from .parameters import reference
from .paths import Branch

Read = Callable[[str], Iterator[str]]
_Path = tuple[tuple[str, bool], ...]  # key, whether it is a list


class _Reference(msgspec.Struct):
    reference: str | None = None
    type: str | None = None


@lru_cache(maxsize=2048)
def reader(resource_type: str, code: str, _generation: int) -> Read | None:
    """What reads the literal references of a parameter from the text of a resource; None where it takes more."""
    parameter = parameters(resource_type)[code]
    if parameter.custom or not parameter.branches or not all(map(_is_plain, parameter.branches)):
        return None
    paths = [_path(branch) for branch in parameter.branches]
    decode = msgspec.json.Decoder(_struct(paths)).decode
    wanted = [(path, branch.target) for path, branch in zip(paths, parameter.branches, strict=True)]

    def read(text: str) -> Iterator[str]:
        root = decode(text)
        for path, target in wanted:
            for found in _at(root, path):
                literal = found.reference
                # What begins with # points into the resource itself.
                if literal and literal[0] != "#" and (target is None or _refers_to(found, literal, target)):
                    yield literal

    return read


def _is_plain(branch: Branch) -> bool:
    return bool(branch.steps) and branch.types == ("Reference",) and all(len(s.keys) == 1 for s in branch.steps or ())


def _path(branch: Branch) -> _Path:
    return tuple((step.keys[0], step.many) for step in branch.steps or ())


def _struct(paths: list[_Path]) -> Any:
    """The type that has the first elements of the paths, whose types have the next ones."""
    rest: dict[tuple[str, bool], list[_Path]] = {}
    for path in paths:
        if not path:
            return _Reference
        rest.setdefault(path[0], []).append(path[1:])
    fields = []
    for (key, many), further in rest.items():
        kind: Any = _struct(further)
        one = GenericAlias(list, (kind,)) if many else kind
        fields.append((f"{key}_", one | None, None))
    return msgspec.defstruct("Part", fields, rename=lambda name: name[:-1])


def _at(root: Any, path: _Path) -> list[Any]:
    found = [root]
    for key, many in path:
        values = [getattr(item, f"{key}_") for item in found]
        found = [v for value in values if value for v in (value if many else (value,))]
    return found


def _refers_to(found: _Reference, literal: str, target: str) -> bool:
    """As `resolve() is …` says it of a reference that is not fetched: by its element `type`, or else by its text."""
    named = found.type if found.type in TYPE_NUMBER else reference.named_type(literal.split("/_history/", 1)[0])
    return named == target
