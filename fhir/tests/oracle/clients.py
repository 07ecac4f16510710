"""SearchParameters that a client might define, of each type, judged like the official ones (docs/reindex.md)."""

from __future__ import annotations

from typing import Any

from .parameters import PARAMETERS, SYSTEMS, Parameter, parameter

# Resource type, line as in parameters.py, FHIRPath expression, further elements.
CLIENTS: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("Group", "x-name string name:string", "Group.name", {}),
    ("Patient", "x-family string name[use=official].family:string", "name.where(use = 'official').family", {}),
    ("Patient", "x-gone token deceasedBoolean:boolean", "(Patient.deceased as boolean)", {}),
    ("ChargeItem", "x-status token status:code", "ChargeItem.status", {}),
    ("Observation", "x-said token valueCodeableConcept:CodeableConcept component.valueCodeableConcept:CodeableConcept",
     "Observation.value.ofType(CodeableConcept) | Observation.component.value.ofType(CodeableConcept)", {}),
    ("Appointment", "x-end date end:instant", "Appointment.end", {}),
    ("Observation", "x-when date effectiveDateTime:dateTime effectivePeriod:Period effectiveTiming:Timing "
     "effectiveInstant:instant", "Observation.effective", {}),
    ("Immunization", "x-dose number protocolApplied.doseNumberPositiveInt:integer",
     "Immunization.protocolApplied.doseNumber.ofType(positiveInt)", {}),
    ("ChargeItem", "x-factor number factorOverride:decimal", "ChargeItem.factorOverride", {}),
    ("Group", "x-amount quantity characteristic.valueQuantity:Quantity characteristic.valueRange:Range",
     "Group.characteristic.value.ofType(Quantity) | Group.characteristic.value.ofType(Range)", {}),
    ("ServiceRequest", "x-people reference requester:Reference performer:Reference",
     "ServiceRequest.requester | ServiceRequest.performer", {"target": ["Practitioner", "Organization", "Patient"]}),
    ("ServiceRequest", "x-from uri instantiatesUri:uri", "ServiceRequest.instantiatesUri", {}),
    ("Observation", "x-code-string composite . code:token:CodeableConcept valueString:string:string", "Observation",
     {"component": [
         {"definition": "http://hl7.org/fhir/SearchParameter/clinical-code", "expression": "code"},
         {"definition": "http://hl7.org/fhir/SearchParameter/Observation-value-string",
          "expression": "value.ofType(string)"}]}),
)  # fmt: skip
CHARGE_STATUS = "http://hl7.org/fhir/chargeitem-status"


def definition(resource_type: str, line: str, expression: str, more: dict[str, Any], run: str) -> dict[str, Any]:
    """The SearchParameter of a line."""
    code, kind = line.split()[:2]
    return {
        "resourceType": "SearchParameter",
        "url": f"urn:oracle:{run}:{resource_type}:{code}",
        "name": "Oracle",
        "status": "active",
        "description": "Defined by a client",
        "code": code,
        "base": [resource_type],
        "type": kind,
        "expression": expression,
        **more,
    }


def extended(monkeypatch: Any) -> list[Parameter]:
    """The parameters, which the oracle knows from now on until the end of a test."""
    monkeypatch.setitem(SYSTEMS, ("ChargeItem", "x-status"), CHARGE_STATUS)
    made = [parameter(resource_type, line) for resource_type, line, _expression, _more in CLIENTS]
    for each in made:
        monkeypatch.setitem(PARAMETERS[each.resource_type], each.code, each)
    return made
