"""Operations ($…), one file each: https://hl7.org/fhir/R4/operations.html."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext_lazy as _

from fhir.definitions.structure import TYPE_NUMBER
from fhir.exceptions import NotFound
from fhir.interactions import Answer, Context

from . import everything, lastn, meta, reindex, validate
from .call import Call

Body = dict[str, Any] | None
_OFFICIAL = "http://hl7.org/fhir/OperationDefinition/"
_OWN = "urn:clinical-records:OperationDefinition:"


@dataclass(frozen=True, slots=True)
class Operation:
    """Where an operation is offered: `levels` of "s" system, "t" type, "i" instance, "v" version; `types` None: all.

    `definition` is the canonical URL of its OperationDefinition, `definitions` those of types that have their own.
    """

    run: Callable[[Call], Answer]
    levels: str
    definition: str
    types: tuple[str, ...] | None = None
    definitions: Mapping[str, str] = field(default_factory=dict)

    def definition_of(self, resource_type: str | None) -> str:
        """The canonical URL of the OperationDefinition for a type, or for the system."""
        return self.definitions.get(resource_type or "", self.definition)


OPERATIONS: dict[str, Operation] = {
    "validate": Operation(validate.run, "ti", _OFFICIAL + "Resource-validate"),
    "meta": Operation(meta.show, "stiv", _OFFICIAL + "Resource-meta"),
    "meta-add": Operation(meta.add, "iv", _OFFICIAL + "Resource-meta-add"),
    "meta-delete": Operation(meta.delete, "iv", _OFFICIAL + "Resource-meta-delete"),
    "everything": Operation(
        everything.run,
        "ti",
        _OFFICIAL + "Patient-everything",
        ("Patient", "Encounter"),
        {"Encounter": _OFFICIAL + "Encounter-everything"},
    ),
    "lastn": Operation(lastn.run, "t", _OFFICIAL + "Observation-lastn", ("Observation",)),
    "reindex": Operation(reindex.start, "sti", _OWN + "reindex"),
    "reindex-status": Operation(reindex.status, "s", _OWN + "reindex-status"),
    "reindex-cancel": Operation(reindex.cancel, "s", _OWN + "reindex-cancel"),
}


def perform(
    name: str,
    resource_type: str | None,
    resource_id: str | None,
    body: Body,
    pairs: list[tuple[str, str]],
    context: Context,
    *,
    version: str | None = None,
    if_match: Sequence[str] = (),
) -> Answer:
    """Runs an operation at the system, a type, an instance or one version. Raises NotFound where it is not offered."""
    operation = OPERATIONS.get(name)
    level = "s" if resource_type is None else "t" if resource_id is None else "i" if version is None else "v"
    known = resource_type is None or resource_type in TYPE_NUMBER
    offered = operation is not None and known and level in operation.levels
    if not offered or operation is None or (operation.types is not None and resource_type not in operation.types):
        raise NotFound(_("There is no operation $%(name)s here.") % {"name": name}, code="not-supported")
    return operation.run(Call(name, resource_type, resource_id, body, pairs, context, version, if_match))
