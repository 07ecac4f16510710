"""The search parameters of some resource types, by hand from https://hl7.org/fhir/R4/searchparameter-registry.html.

A line is: code, type of parameter, then where its values lie as path:type, more than one being a union. `[name=text]`
keeps some items; `->Type` keeps references to that type. A composite names its node and the two parts in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import references
from .values import Value, found, walk

COMMON = """
_id token id:id
_lastUpdated date meta.lastUpdated:instant
_profile uri meta.profile:canonical
_security token meta.security:Coding
_source uri meta.source:uri
_tag token meta.tag:Coding
"""
ADDRESS = """
address string address:Address
address-city string address.city:string
address-country string address.country:string
address-postalcode string address.postalCode:string
address-state string address.state:string
address-use token address.use:code
"""
TELECOM = """
email token telecom[system=email]:ContactPoint
phone token telecom[system=phone]:ContactPoint
telecom token telecom:ContactPoint
"""
SUBJECT = """
patient reference subject:Reference->Patient
subject reference subject:Reference
identifier token identifier:Identifier
"""

TYPES = {
    "Patient": ADDRESS
    + TELECOM
    + """
active token active:boolean
birthdate date birthDate:date
death-date date deceasedDateTime:dateTime
deceased token *deceased:boolean
family string name.family:string
gender token gender:code
general-practitioner reference generalPractitioner:Reference
given string name.given:string
identifier token identifier:Identifier
language token communication.language:CodeableConcept
link reference link.other:Reference
name string name:HumanName
organization reference managingOrganization:Reference
phonetic string name:HumanName
""",
    "Observation": SUBJECT
    + """
based-on reference basedOn:Reference
category token category:CodeableConcept
code token code:CodeableConcept
combo-code token code:CodeableConcept component.code:CodeableConcept
combo-data-absent-reason token dataAbsentReason:CodeableConcept component.dataAbsentReason:CodeableConcept
combo-value-concept token valueCodeableConcept:CodeableConcept component.valueCodeableConcept:CodeableConcept
combo-value-quantity quantity valueQuantity:Quantity component.valueQuantity:Quantity
component-code token component.code:CodeableConcept
component-data-absent-reason token component.dataAbsentReason:CodeableConcept
component-value-concept token component.valueCodeableConcept:CodeableConcept
component-value-quantity quantity component.valueQuantity:Quantity
data-absent-reason token dataAbsentReason:CodeableConcept
date date effectiveDateTime:dateTime effectivePeriod:Period effectiveTiming:Timing effectiveInstant:instant
derived-from reference derivedFrom:Reference
device reference device:Reference
encounter reference encounter:Reference
focus reference focus:Reference
has-member reference hasMember:Reference
method token method:CodeableConcept
part-of reference partOf:Reference
performer reference performer:Reference
specimen reference specimen:Reference
status token status:code
value-concept token valueCodeableConcept:CodeableConcept
value-date date valueDateTime:dateTime valuePeriod:Period
value-quantity quantity valueQuantity:Quantity
value-string string valueString:string valueCodeableConcept.text:string
code-value-concept composite . code:token:CodeableConcept valueCodeableConcept:token:CodeableConcept
code-value-date composite . code:token:CodeableConcept valueDateTime:date:dateTime|valuePeriod:date:Period
code-value-quantity composite . code:token:CodeableConcept valueQuantity:quantity:Quantity
code-value-string composite . code:token:CodeableConcept valueString:string:string
combo-code-value-concept composite .|component code:token:CodeableConcept valueCodeableConcept:token:CodeableConcept
combo-code-value-quantity composite .|component code:token:CodeableConcept valueQuantity:quantity:Quantity
component-code-value-concept composite component code:token:CodeableConcept valueCodeableConcept:token:CodeableConcept
component-code-value-quantity composite component code:token:CodeableConcept valueQuantity:quantity:Quantity
""",
    "Encounter": SUBJECT
    + """
account reference account:Reference
appointment reference appointment:Reference
based-on reference basedOn:Reference
class token class:Coding
date date period:Period
diagnosis reference diagnosis.condition:Reference
episode-of-care reference episodeOfCare:Reference
length quantity length:Quantity
location reference location.location:Reference
location-period date location.period:Period
part-of reference partOf:Reference
participant reference participant.individual:Reference
participant-type token participant.type:CodeableConcept
practitioner reference participant.individual:Reference->Practitioner
reason-code token reasonCode:CodeableConcept
reason-reference reference reasonReference:Reference
service-provider reference serviceProvider:Reference
special-arrangement token hospitalization.specialArrangement:CodeableConcept
status token status:code
type token type:CodeableConcept
""",
    "Condition": SUBJECT
    + """
abatement-age quantity abatementAge:Quantity abatementRange:Range
abatement-date date abatementDateTime:dateTime abatementPeriod:Period
abatement-string string abatementString:string
asserter reference asserter:Reference
body-site token bodySite:CodeableConcept
category token category:CodeableConcept
clinical-status token clinicalStatus:CodeableConcept
code token code:CodeableConcept
encounter reference encounter:Reference
evidence token evidence.code:CodeableConcept
evidence-detail reference evidence.detail:Reference
onset-age quantity onsetAge:Quantity onsetRange:Range
onset-date date onsetDateTime:dateTime onsetPeriod:Period
onset-info string onsetString:string
recorded-date date recordedDate:dateTime
severity token severity:CodeableConcept
stage token stage.summary:CodeableConcept
verification-status token verificationStatus:CodeableConcept
""",
    "MedicationRequest": SUBJECT
    + """
authoredon date authoredOn:dateTime
category token category:CodeableConcept
code token medicationCodeableConcept:CodeableConcept
date date dosageInstruction.timing.event:dateTime
encounter reference encounter:Reference
intended-dispenser reference dispenseRequest.performer:Reference
intended-performer reference performer:Reference
intended-performertype token performerType:CodeableConcept
intent token intent:code
medication reference medicationReference:Reference
priority token priority:code
requester reference requester:Reference
status token status:code
""",
    "DiagnosticReport": SUBJECT
    + """
based-on reference basedOn:Reference
category token category:CodeableConcept
code token code:CodeableConcept
conclusion token conclusionCode:CodeableConcept
date date effectiveDateTime:dateTime effectivePeriod:Period
encounter reference encounter:Reference
issued date issued:instant
media reference media.link:Reference
performer reference performer:Reference
result reference result:Reference
results-interpreter reference resultsInterpreter:Reference
specimen reference specimen:Reference
status token status:code
""",
    "Immunization": """
date date occurrenceDateTime:dateTime
identifier token identifier:Identifier
location reference location:Reference
lot-number string lotNumber:string
manufacturer reference manufacturer:Reference
patient reference patient:Reference
performer reference performer.actor:Reference
reaction reference reaction.detail:Reference
reaction-date date reaction.date:dateTime
reason-code token reasonCode:CodeableConcept
reason-reference reference reasonReference:Reference
series string protocolApplied.series:string
status token status:code
status-reason token statusReason:CodeableConcept
target-disease token protocolApplied.targetDisease:CodeableConcept
vaccine-code token vaccineCode:CodeableConcept
""",
    "Organization": ADDRESS
    + """
active token active:boolean
endpoint reference endpoint:Reference
identifier token identifier:Identifier
name string name:string alias:string
partof reference partOf:Reference
phonetic string name:string
type token type:CodeableConcept
""",
    "Practitioner": ADDRESS
    + TELECOM
    + """
active token active:boolean
communication token communication:CodeableConcept
family string name.family:string
gender token gender:code
given string name.given:string
identifier token identifier:Identifier
name string name:HumanName
phonetic string name:HumanName
""",
    "RelatedPerson": ADDRESS
    + TELECOM
    + """
active token active:boolean
birthdate date birthDate:date
gender token gender:code
identifier token identifier:Identifier
name string name:HumanName
patient reference patient:Reference
phonetic string name:HumanName
relationship token relationship:CodeableConcept
""",
    "Appointment": """
actor reference participant.actor:Reference
appointment-type token appointmentType:CodeableConcept
based-on reference basedOn:Reference
date date start:instant
identifier token identifier:Identifier
location reference participant.actor:Reference->Location
part-status token participant.status:code
patient reference participant.actor:Reference->Patient
practitioner reference participant.actor:Reference->Practitioner
reason-code token reasonCode:CodeableConcept
reason-reference reference reasonReference:Reference
service-category token serviceCategory:CodeableConcept
service-type token serviceType:CodeableConcept
slot reference slot:Reference
specialty token specialty:CodeableConcept
status token status:code
supporting-info reference supportingInformation:Reference
""",
    "ValueSet": """
code token expansion.contains.code:code compose.include.concept.code:code
context token useContext.valueCodeableConcept:CodeableConcept
context-quantity quantity useContext.valueQuantity:Quantity useContext.valueRange:Range
context-type token useContext.code:Coding
date date date:dateTime
description string description:string
expansion uri expansion.identifier:uri
identifier token identifier:Identifier
jurisdiction token jurisdiction:CodeableConcept
name string name:string
publisher string publisher:string
reference uri compose.include.system:uri
status token status:code
title string title:string
url uri url:uri
version token version:string
context-type-quantity composite useContext code:token:Coding valueQuantity:quantity:Quantity|valueRange:quantity:Range
context-type-value composite useContext code:token:Coding valueCodeableConcept:token:CodeableConcept
""",
    "RiskAssessment": SUBJECT
    + """
condition reference condition:Reference
date date occurrenceDateTime:dateTime
encounter reference encounter:Reference
method token method:CodeableConcept
performer reference performer:Reference
probability number prediction.probabilityDecimal:decimal prediction.probabilityRange:Range
risk token prediction.qualitativeRisk:CodeableConcept
""",
    "ServiceRequest": SUBJECT
    + """
authored date authoredOn:dateTime
based-on reference basedOn:Reference
body-site token bodySite:CodeableConcept
category token category:CodeableConcept
code token code:CodeableConcept
encounter reference encounter:Reference
instantiates-canonical reference instantiatesCanonical:canonical
instantiates-uri uri instantiatesUri:uri
intent token intent:code
occurrence date occurrenceDateTime:dateTime occurrencePeriod:Period occurrenceTiming:Timing
performer reference performer:Reference
performer-type token performerType:CodeableConcept
priority token priority:code
replaces reference replaces:Reference
requester reference requester:Reference
requisition token requisition:Identifier
specimen reference specimen:Reference
status token status:code
""",
    "Location": ADDRESS
    + """
endpoint reference endpoint:Reference
identifier token identifier:Identifier
name string name:string alias:string
near special position:Position
operational-status token operationalStatus:Coding
organization reference managingOrganization:Reference
partof reference partOf:Reference
status token status:code
type token type:CodeableConcept
""",
    "ChargeItem": SUBJECT
    + """
account reference account:Reference
code token code:CodeableConcept
context reference context:Reference
entered-date date enteredDate:dateTime
enterer reference enterer:Reference
factor-override number factorOverride:decimal
occurrence date occurrenceDateTime:dateTime occurrencePeriod:Period occurrenceTiming:Timing
performer-actor reference performer.actor:Reference
performer-function token performer.function:CodeableConcept
performing-organization reference performingOrganization:Reference
price-override quantity priceOverride:Money
quantity quantity quantity:Quantity
requesting-organization reference requestingOrganization:Reference
service reference service:Reference
""",
    "CarePlan": SUBJECT
    + """
activity-code token activity.detail.code:CodeableConcept
activity-date date activity.detail.scheduledTiming:Timing activity.detail.scheduledPeriod:Period
activity-reference reference activity.reference:Reference
based-on reference basedOn:Reference
care-team reference careTeam:Reference
category token category:CodeableConcept
condition reference addresses:Reference
date date period:Period
encounter reference encounter:Reference
goal reference goal:Reference
instantiates-canonical reference instantiatesCanonical:canonical
instantiates-uri uri instantiatesUri:uri
intent token intent:code
part-of reference partOf:Reference
performer reference activity.detail.performer:Reference
replaces reference replaces:Reference
status token status:code
""",
    "Group": """
actual token actual:boolean
characteristic token characteristic.code:CodeableConcept
code token code:CodeableConcept
exclude token characteristic.exclude:boolean
identifier token identifier:Identifier
managing-entity reference managingEntity:Reference
member reference member.entity:Reference
type token type:code
value token characteristic.valueCodeableConcept:CodeableConcept characteristic.valueBoolean:boolean
characteristic-value composite characteristic code:token:CodeableConcept \
valueCodeableConcept:token:CodeableConcept|valueBoolean:token:boolean
""",
    "List": SUBJECT
    + """
code token code:CodeableConcept
date date date:dateTime
empty-reason token emptyReason:CodeableConcept
encounter reference encounter:Reference
item reference entry.item:Reference
notes string note.text:string
source reference source:Reference
status token status:code
title string title:string
""",
    "PractitionerRole": TELECOM
    + """
active token active:boolean
date date period:Period
endpoint reference endpoint:Reference
identifier token identifier:Identifier
location reference location:Reference
organization reference organization:Reference
practitioner reference practitioner:Reference
role token code:CodeableConcept
service reference healthcareService:Reference
specialty token specialty:CodeableConcept
""",
}  # fmt: skip


@dataclass(frozen=True)
class Part:
    """One part of a composite: its type of parameter and the (path, FHIR type) of its values below the node."""

    type: str
    sources: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Parameter:
    """A parameter: `sources` are (path, FHIR type), `target` the type that references must name; or node and parts."""

    resource_type: str
    code: str
    type: str
    sources: tuple[tuple[str, str], ...] = ()
    target: str | None = None
    nodes: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()

    def values(self, resource: dict[str, Any]) -> list[Value]:
        """Its values in a resource."""
        if self.code == "deceased":
            # deceased.exists() and deceased != false: an element without a value says neither.
            if "_deceasedBoolean" in resource or "_deceasedDateTime" in resource:
                return []
            return [Value("boolean", "deceasedDateTime" in resource or resource.get("deceasedBoolean") is True)]
        values = found(resource, self.sources)
        return [v for v in values if self.target is None or references.type_named(v) == self.target]

    def pairs(self, resource: dict[str, Any]) -> list[list[list[Value]]]:
        """For a composite: for each node the values of each part."""
        nodes = [n for path in self.nodes for n in ([resource] if path == "." else walk(resource, path))]
        return [[found(node, part.sources) for part in self.parts] for node in nodes]


def parameter(resource_type: str, line: str) -> Parameter:
    code, kind, *rest = line.split()
    if kind == "composite":
        parts = []
        for text in rest[1:]:
            sources = [source.split(":") for source in text.split("|")]
            parts.append(Part(sources[0][1], tuple((path, fhir_type) for path, _kind, fhir_type in sources)))
        return Parameter(resource_type, code, kind, nodes=tuple(rest[0].split("|")), parts=tuple(parts))
    target = rest[0].partition("->")[2] or None
    sources = tuple(tuple(source.partition("->")[0].split(":", 1)) for source in rest)
    return Parameter(resource_type, code, kind, sources, target)  # type: ignore[arg-type]


PARAMETERS: dict[str, dict[str, Parameter]] = {
    name: {line.split()[0]: parameter(name, line) for line in (COMMON + text).strip().splitlines() if line}
    for name, text in TYPES.items()
}

# The systems of elements of type code whose binding is required (https://hl7.org/fhir/R4/terminologies.html#code).
SYSTEMS = {
    ("Patient", "gender"): "http://hl7.org/fhir/administrative-gender",
    ("Practitioner", "gender"): "http://hl7.org/fhir/administrative-gender",
    ("RelatedPerson", "gender"): "http://hl7.org/fhir/administrative-gender",
    **{(name, "address-use"): "http://hl7.org/fhir/address-use" for name, text in TYPES.items() if ADDRESS in text},
    ("Observation", "status"): "http://hl7.org/fhir/observation-status",
    ("Encounter", "status"): "http://hl7.org/fhir/encounter-status",
    ("DiagnosticReport", "status"): "http://hl7.org/fhir/diagnostic-report-status",
    ("ServiceRequest", "priority"): "http://hl7.org/fhir/request-priority",
    ("Location", "status"): "http://hl7.org/fhir/location-status",
    ("List", "status"): "http://hl7.org/fhir/list-status",
    ("ValueSet", "status"): "http://hl7.org/fhir/publication-status",
    ("Group", "type"): "http://hl7.org/fhir/group-type",
    ("Appointment", "part-status"): "http://hl7.org/fhir/participationstatus",
}

# By which parameters a resource is about a patient (https://hl7.org/fhir/R4/compartmentdefinition-patient.html). A
# Patient is about itself; that another one links to it shows it to nobody here.
COMPARTMENT = {
    "Appointment": ("actor",),
    "CarePlan": ("patient", "performer"),
    "ChargeItem": ("subject",),
    "Condition": ("patient", "asserter"),
    "DiagnosticReport": ("subject",),
    "Encounter": ("patient",),
    "Group": ("member",),
    "Immunization": ("patient",),
    "List": ("subject", "source"),
    "MedicationRequest": ("subject",),
    "Observation": ("subject", "performer"),
    "Patient": (),
    "RelatedPerson": ("patient",),
    "RiskAssessment": ("subject",),
    "ServiceRequest": ("subject", "performer"),
}
