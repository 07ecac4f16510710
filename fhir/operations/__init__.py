"""Operations ($…), one file each: https://hl7.org/fhir/R4/operations.html."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from fhir.definitions.structure import TYPE_NUMBER
from fhir.exceptions import NotFound
from fhir.interactions import Answer, Context

from . import validate

Body = dict[str, Any] | None
Run = Callable[[str | None, str | None, Body, list[tuple[str, str]], Context], Answer]


@dataclass(frozen=True, slots=True)
class Operation:
    """Where an operation is offered: `levels` of "s" system, "t" type, "i" instance; `types` None for all."""

    run: Run
    levels: str
    definition: str
    types: tuple[str, ...] | None = None


OPERATIONS: dict[str, Operation] = {
    "validate": Operation(validate.run, "ti", "http://hl7.org/fhir/OperationDefinition/Resource-validate"),
}


def perform(
    name: str,
    resource_type: str | None,
    resource_id: str | None,
    body: Body,
    pairs: list[tuple[str, str]],
    context: Context,
) -> Answer:
    """Runs an operation at the system, a type or an instance. Raises NotFound where it is not offered."""
    operation = OPERATIONS.get(name)
    level = "s" if resource_type is None else "t" if resource_id is None else "i"
    known = resource_type is None or resource_type in TYPE_NUMBER
    offered = operation is not None and known and level in operation.levels
    if not offered or operation is None or (operation.types is not None and resource_type not in operation.types):
        raise NotFound(_("There is no operation $%(name)s here.") % {"name": name}, code="not-supported")
    return operation.run(resource_type, resource_id, body, pairs, context)
