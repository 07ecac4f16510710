"""Procedures and the reports of images and tracings.

https://hl7.org/fhir/R4/procedure.html, diagnosticreport.html
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from datetime import timedelta

from .chart import Chart, Visit
from .elements import IDENTIFIER, LOINC, SNOMED, TERMINOLOGY, Resource, coding, concept, instant, period, reference


@dataclass(frozen=True, slots=True)
class Operation:
    """SNOMED code, Spanish name, category, minutes that it takes, who does it."""

    snomed: str
    display: str
    text: str
    category: tuple[str, str]
    minutes: int
    specialty: str


@dataclass(frozen=True, slots=True)
class Study:
    """LOINC code, Spanish name, section of the service, what is usually and unusually found."""

    loinc: str
    display: str
    text: str
    section: tuple[str, str]
    normal: str
    odd: str


_SURGICAL = ("387713003", "Surgical procedure")
_DIAGNOSTIC = ("103693007", "Diagnostic procedure")
_THERAPEUTIC = ("277132007", "Therapeutic procedure")
OPERATIONS = {
    "appendectomy": Operation("80146002", "Appendectomy", "Apendicectomía", _SURGICAL, 65, "surgery"),
    "cholecystectomy": Operation("38102005", "Cholecystectomy", "Colecistectomía por laparoscopia", _SURGICAL, 80,
                                 "surgery"),
    "cesarean": Operation("11466000", "Cesarean section", "Cesárea", _SURGICAL, 50, "gynecology"),
    "delivery": Operation("48782003", "Delivery normal", "Parto vaginal normal", _THERAPEUTIC, 240, "gynecology"),
    "suture": Operation("288086009", "Suture open wound", "Sutura de herida", _SURGICAL, 20, "emergency"),
    "nebulization": Operation("56251003", "Nebulizer therapy", "Terapia con nebulización", _THERAPEUTIC, 20,
                              "emergency"),
    "foot-examination": Operation("401191002", "Diabetic foot examination", "Examen de pie diabético", _DIAGNOSTIC,
                                  10, "family"),
    "angioplasty": Operation("415070008", "Percutaneous coronary intervention", "Angioplastia coronaria", _SURGICAL,
                             90, "cardiology"),
    "colonoscopy": Operation("73761001", "Colonoscopy", "Colonoscopia", _DIAGNOSTIC, 35, "surgery"),
    "spirometry": Operation("127783003", "Spirometry", "Espirometría", _DIAGNOSTIC, 25, "general"),
}  # fmt: skip
STUDIES = {
    "chest": Study("36643-5", "XR Chest 2 Views", "Radiografía de tórax", ("RAD", "Radiology"),
                   "Silueta cardíaca de tamaño normal. Campos pulmonares sin consolidaciones ni derrames.",
                   "Opacidad alveolar en el lóbulo inferior derecho, con broncograma aéreo. Sin derrame pleural."),
    "ankle": Study("37624-4", "XR Ankle Views", "Radiografía de tobillo", ("RAD", "Radiology"),
                   "Estructuras óseas íntegras. Aumento del volumen de los tejidos blandos en la cara lateral.",
                   "Fractura no desplazada del maléolo lateral."),
    "ecg": Study("11524-6", "EKG study", "Electrocardiograma", ("EC", "Electrocardiac (e.g., EKG,  EEC, Holter)"),
                 "Ritmo sinusal. Eje normal. Sin alteraciones de la repolarización.",
                 "Signos de hipertrofia del ventrículo izquierdo. Sin cambios de isquemia aguda."),
    "mammography": Study("24606-6", "MG Breast Screening", "Mamografía de tamización", ("RAD", "Radiology"),
                         "BI-RADS 2: hallazgos benignos. Control habitual.",
                         "BI-RADS 3: nódulo probablemente benigno. Se sugiere control en seis meses."),
    "abdomen": Study("24558-9", "US Abdomen", "Ecografía de abdomen", ("RUS", "Radiology Ultrasound"),
                     "Órganos abdominales de aspecto normal.",
                     "Vesícula de paredes engrosadas con múltiples cálculos en su interior."),
}  # fmt: skip


def perform(chart: Chart, visit: Visit, key: str, condition: Resource | None = None) -> Resource:
    """Write a Procedure of this visit."""
    operation = OPERATIONS[key]
    start = visit.at + timedelta(minutes=chart.dice.between(30, 240) if visit.kind == "hospital" else 12)
    surgeon = chart.staff(visit.site, operation.specialty, visit.staff.specialty)
    visit.orders.append(f"se realiza {operation.text.lower()}")
    return chart.add("Procedure", start, {
        "status": "completed",
        "category": concept(None, coding(SNOMED, *operation.category)),
        "code": concept(operation.text, coding(SNOMED, operation.snomed, operation.display)),
        "subject": chart.subject(),
        "encounter": visit.reference(),
        "performedPeriod": period(start, start + timedelta(minutes=operation.minutes + chart.dice.between(-5, 15))),
        "performer": [{"actor": surgeon.reference(), "onBehalfOf": visit.site.reference()}],
        "location": visit.place.reference(),
        "reasonReference": [reference(condition)] if condition else None,
        "complication": [concept("Infección superficial del sitio operatorio")]
        if operation.category == _SURGICAL and chart.dice.chance(0.03) else None,
    })  # fmt: skip


def study(chart: Chart, visit: Visit, key: str, odd: bool) -> Resource:
    """Write the DiagnosticReport of an image or a tracing, with its text attached."""
    kind = STUDIES[key]
    found = kind.odd if odd else kind.normal
    reader = chart.staff(chart.hospital, "cardiology" if key == "ecg" else "radiology")
    done = visit.at + timedelta(minutes=chart.dice.between(30, 90))
    text = f"{kind.text}\nPaciente: {chart.person.name}\n\nHallazgos: {found}\n\n{reader.name}"
    visit.findings.append(f"{kind.text}: {found}")
    return chart.add("DiagnosticReport", done, {
        "identifier": [{"system": IDENTIFIER + "report", "value": f"I{chart.dice.digits(9)}"}],
        "status": "final",
        "category": [concept("Ayudas diagnósticas", coding(TERMINOLOGY + "v2-0074", *kind.section))],
        "code": concept(kind.text, coding(LOINC, kind.loinc, kind.display)),
        "subject": chart.subject(),
        "encounter": visit.reference(),
        "effectiveDateTime": instant(done),
        "issued": instant(done + timedelta(hours=2)),
        "performer": [chart.hospital.reference()],
        "resultsInterpreter": [reader.reference()],
        "conclusion": found,
        "presentedForm": [{"contentType": "text/plain", "language": "es-CO", "title": kind.text,
                           "data": b64encode(text.encode()).decode(), "creation": instant(done)}],
    })  # fmt: skip
