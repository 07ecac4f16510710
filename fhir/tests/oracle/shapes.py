"""The elements of some resource types that random resources are made of (https://hl7.org/fhir/R4/resourcelist.html)."""

from __future__ import annotations

# name, with * where it repeats and ! where it has to be there; types in brackets are a choice; then type and, for
# references, targets; for codes, the codes. Lines `node.child` make one backbone element.
PERSON = """
identifier* Identifier
active boolean
name* HumanName
telecom* ContactPoint
gender code male|female|other|unknown
address* Address
"""
SHAPES = {
    "Patient": PERSON
    + """
birthDate date
deceased[] boolean|dateTime
generalPractitioner* Reference Organization|Practitioner|PractitionerRole
managingOrganization Reference Organization
communication*.language! CodeableConcept
link*.other! Reference Patient|RelatedPerson
link*.type! code refer|seealso
""",
    "Practitioner": PERSON + "communication* CodeableConcept",
    "RelatedPerson": PERSON
    + """
patient! Reference Patient
relationship* CodeableConcept
birthDate date
""",
    "Organization": """
identifier!* Identifier
active boolean
type* CodeableConcept
name string
alias* string
address* Address
partOf Reference Organization
""",
    "PractitionerRole": """
identifier* Identifier
active boolean
period Period
practitioner Reference Practitioner
organization Reference Organization
code* CodeableConcept
specialty* CodeableConcept
location* Reference Location
telecom* ContactPoint
""",
    "Location": """
identifier* Identifier
status code active|suspended|inactive
operationalStatus Coding
name string
alias* string
type* CodeableConcept
address Address
position Position
managingOrganization Reference Organization
partOf Reference Location
""",
    "Encounter": """
identifier* Identifier
status! code planned|arrived|in-progress|finished
class! Coding
type* CodeableConcept
subject Reference Patient|Group
basedOn* Reference ServiceRequest
participant*.type* CodeableConcept
participant*.individual Reference Practitioner|PractitionerRole|RelatedPerson
period Period
length Duration
reasonCode* CodeableConcept
reasonReference* Reference Condition|Observation
diagnosis*.condition! Reference Condition
hospitalization.specialArrangement* CodeableConcept
location*.location! Reference Location
location*.period Period
serviceProvider Reference Organization
partOf Reference Encounter
""",
    "Condition": """
identifier* Identifier
clinicalStatus! CodeableConcept =clinical
verificationStatus CodeableConcept =verification
category* CodeableConcept
severity CodeableConcept
code CodeableConcept
bodySite* CodeableConcept
subject! Reference Patient|Group
encounter Reference Encounter
onset[] dateTime|Age|Period|Range|string
abatement[] dateTime|Age|Period|Range|string
recordedDate dateTime
asserter Reference Practitioner|PractitionerRole|Patient|RelatedPerson
stage*.summary! CodeableConcept
evidence*.code* CodeableConcept
evidence*.detail!* Reference Observation|Condition
""",
    "Observation": """
identifier* Identifier
basedOn* Reference CarePlan|MedicationRequest|ServiceRequest
partOf* Reference Immunization
status! code registered|preliminary|final|amended
category* CodeableConcept
code! CodeableConcept
subject Reference Patient|Group|Location
focus* Reference Patient|Condition|Observation
encounter Reference Encounter
effective[] dateTime|Period|Timing|instant
performer* Reference Practitioner|Organization|Patient|RelatedPerson
value[] Quantity|CodeableConcept|string|dateTime|Period|boolean
dataAbsentReason CodeableConcept
method CodeableConcept
hasMember* Reference Observation
derivedFrom* Reference Observation
component*.code! CodeableConcept
component*.value[] Quantity|CodeableConcept|string
component*.dataAbsentReason CodeableConcept
""",
    "MedicationRequest": """
identifier* Identifier
status! code active|on-hold|completed|stopped
intent! code proposal|plan|order
category* CodeableConcept
priority code routine|urgent|asap|stat
medication[]! CodeableConcept
subject! Reference Patient|Group
encounter Reference Encounter
authoredOn dateTime
requester Reference Practitioner|Organization|Patient
performer Reference Practitioner|Organization|Patient
performerType CodeableConcept
dosageInstruction*.timing Timing
dispenseRequest.performer Reference Organization
""",
    "DiagnosticReport": """
identifier* Identifier
basedOn* Reference CarePlan|MedicationRequest|ServiceRequest
status! code registered|partial|preliminary|final
category* CodeableConcept
code! CodeableConcept
subject Reference Patient|Group|Location
encounter Reference Encounter
effective[] dateTime|Period
issued instant
performer* Reference Practitioner|PractitionerRole|Organization
resultsInterpreter* Reference Practitioner|Organization
result* Reference Observation
conclusionCode* CodeableConcept
""",
    "Immunization": """
identifier* Identifier
status! code completed|entered-in-error|not-done
statusReason CodeableConcept
vaccineCode! CodeableConcept
patient! Reference Patient
occurrence[]! dateTime|string
location Reference Location
manufacturer Reference Organization
lotNumber string
performer*.actor! Reference Practitioner|PractitionerRole|Organization
reasonCode* CodeableConcept
reasonReference* Reference Condition|Observation|DiagnosticReport
reaction*.date dateTime
reaction*.detail Reference Observation
protocolApplied*.series string
protocolApplied*.targetDisease* CodeableConcept
protocolApplied*.doseNumber[]! positiveInt
""",
    "Appointment": """
identifier* Identifier
status! code proposed|cancelled
serviceCategory* CodeableConcept
serviceType* CodeableConcept
specialty* CodeableConcept
appointmentType CodeableConcept
reasonCode* CodeableConcept
reasonReference* Reference Condition|Observation
supportingInformation* Reference Patient|Condition|DiagnosticReport
start instant
basedOn* Reference ServiceRequest
participant!*.actor! Reference Patient|Practitioner|PractitionerRole|RelatedPerson|Location
participant!*.status! code accepted|declined|tentative|needs-action
""",
    "ValueSet": """
url uri
identifier* Identifier
version string
name string
title string
status! code draft|active|retired
date dateTime
publisher string
description string
useContext*.code! Coding
useContext*.value[]! CodeableConcept|Quantity|Range
jurisdiction* CodeableConcept
""",
    "RiskAssessment": """
identifier* Identifier
method CodeableConcept
status! code registered|preliminary|final
subject! Reference Patient|Group
encounter Reference Encounter
occurrence[] dateTime|Period
condition Reference Condition
performer Reference Practitioner|PractitionerRole
prediction*.probability[] decimal|Range
prediction*.qualitativeRisk CodeableConcept
""",
    "ServiceRequest": """
identifier* Identifier
instantiatesCanonical* canonical
instantiatesUri* uri
basedOn* Reference CarePlan|MedicationRequest|ServiceRequest
replaces* Reference ServiceRequest
requisition Identifier
status! code draft|active|completed
intent! code proposal|plan|order
category* CodeableConcept
priority code routine|urgent|asap|stat
code! CodeableConcept
subject! Reference Patient|Group|Location
encounter Reference Encounter
occurrence[] dateTime|Period|Timing
authoredOn dateTime
requester Reference Practitioner|Organization|Patient
performerType CodeableConcept
performer* Reference Practitioner|Organization|Patient
bodySite* CodeableConcept
""",
    "ChargeItem": """
identifier* Identifier
status! code planned|billable|billed
code! CodeableConcept
subject! Reference Patient|Group
context Reference Encounter
occurrence[] dateTime|Period|Timing
performer*.function CodeableConcept
performer*.actor! Reference Practitioner|Organization|Patient
performingOrganization Reference Organization
requestingOrganization Reference Organization
quantity Quantity
factorOverride decimal
priceOverride Money
overrideReason string
enterer Reference Practitioner|Organization|Patient
enteredDate dateTime
service* Reference DiagnosticReport|Immunization|Observation
""",
    "CarePlan": """
identifier* Identifier
instantiatesCanonical* canonical
instantiatesUri* uri
basedOn* Reference CarePlan
replaces* Reference CarePlan
partOf* Reference CarePlan
status! code draft|active|completed
intent! code proposal|plan|order
category* CodeableConcept
subject! Reference Patient|Group
encounter Reference Encounter
period Period
addresses* Reference Condition
activity*.detail! Detail
""",
    "Group": """
identifier* Identifier
active boolean
type! code person|animal|practitioner
actual! boolean =true
code CodeableConcept
name string
managingEntity Reference Organization|Practitioner|PractitionerRole|RelatedPerson
characteristic*.code! CodeableConcept
characteristic*.value[]! CodeableConcept|boolean|Quantity|Range
characteristic*.exclude! boolean
member*.entity! Reference Patient|Practitioner|Group
""",
    "List": """
identifier* Identifier
status! code current|retired
mode! code working|snapshot
title string
code CodeableConcept =list
subject Reference Patient|Group|Location
encounter Reference Encounter
date dateTime
source Reference Practitioner|Patient
note*.text! string
entry*.item! Reference Observation|Condition|MedicationRequest|Patient|Immunization
""",
}  # fmt: skip
