"""Clinical notes in Spanish (https://hl7.org/fhir/R4/documentreference.html), told from what the visit wrote."""

from __future__ import annotations

from base64 import b64encode
from datetime import timedelta
from hashlib import sha1

from .chart import Chart, Visit
from .elements import IDENTIFIER, LOINC, Resource, coding, concept, instant, period, reference

KINDS = {
    "progress": ("11506-3", "Progress note", "Nota de evolución"),
    "history": ("34117-2", "History and physical note", "Historia clínica de ingreso"),
    "discharge": ("18842-5", "Discharge summary", "Epicrisis"),
}
_COMPLAINTS = {
    "pharyngitis": "dolor de garganta y fiebre de dos días de evolución",
    "cold": "congestión nasal, rinorrea y malestar general",
    "otitis": "dolor de oído e irritabilidad",
    "bronchitis": "tos con expectoración de una semana de evolución",
    "gastroenteritis": "deposiciones líquidas y vómito",
    "urinary-infection": "ardor al orinar y aumento de la frecuencia urinaria",
    "dengue": "fiebre alta, dolor de cuerpo y dolor detrás de los ojos",
    "back-pain": "dolor lumbar que aumenta con el movimiento",
    "ankle-sprain": "dolor y edema del tobillo después de una torcedura",
    "headache": "dolor de cabeza opresivo",
    "covid": "fiebre, tos seca y pérdida del olfato",
    "varicella": "lesiones vesiculares en la piel y fiebre",
    "hand-wound": "herida cortante en la mano",
    "asthma-crisis": "dificultad para respirar y sibilancias",
    "anemia": "cansancio y palidez",
    "pneumonia": "fiebre, tos y dificultad para respirar",
    "appendicitis": "dolor abdominal en la fosa ilíaca derecha",
    "gallstones": "dolor en el hipocondrio derecho después de comer",
    "infarction": "dolor opresivo en el pecho",
    "stroke": "pérdida súbita de la fuerza en un lado del cuerpo",
    "pregnancy": "control de la gestación",
    "control": "control de su enfermedad crónica; refiere sentirse bien",
    "checkup": "examen de salud, sin síntomas",
    "growth": "control de crecimiento y desarrollo",
}
_MEASURES = (
    ("temperature", "temperatura {} °C"),
    ("pulse", "frecuencia cardíaca {} por minuto"),
    ("breaths", "frecuencia respiratoria {} por minuto"),
    ("saturation", "saturación de oxígeno {} %"),
    ("weight", "peso {} kg"),
    ("height", "talla {} cm"),
    ("bmi", "IMC {} kg/m²"),
    ("head", "perímetro cefálico {} cm"),
)


def text(chart: Chart, visit: Visit) -> str:
    """The note: reason, examination, analysis and plan."""
    person = chart.person
    age = person.age(visit.at.date())
    adult = "Paciente" if age >= 18 else "Niña" if person.sex == "female" else "Niño"
    born = "de pocos meses" if age == 0 else f"de {age} año{'s' if age > 1 else ''}"
    complaint = _COMPLAINTS.get(visit.reason, _COMPLAINTS["control"])
    measured = [shown.format(visit.measured[key]) for key, shown in _MEASURES if key in visit.measured]
    if "systolic" in visit.measured:
        measured.insert(0, f"presión arterial {visit.measured['systolic']}/{visit.measured['diastolic']} mmHg")
    lines = [
        f"Motivo de consulta: {complaint}.",
        f"Enfermedad actual: {adult} {born} que consulta por {complaint}.",
        f"Examen físico: {', '.join(measured) or 'sin alteraciones'}.",
    ]
    if visit.findings:
        lines.append("Resultados: " + " ".join(visit.findings))
    if visit.problems:
        lines.append("Análisis: " + "; ".join(dict.fromkeys(name for _, name in visit.problems)) + ".")
    if chart.allergies:
        lines.append("Antecedente de alergia a medicamentos; se verifica antes de formular.")
    lines.append("Plan: " + ("; ".join(visit.orders) or "recomendaciones generales y control") + ".")
    return "\n".join([*lines, "", f"{visit.staff.name}"])


def write(chart: Chart, visit: Visit, kind: str = "progress", ended: timedelta = timedelta(minutes=25)) -> Resource:
    """Write the DocumentReference of the visit."""
    code, display, title = KINDS[kind]
    content, at = text(chart, visit).encode(), visit.at + ended
    attachment = {
        "contentType": "text/plain",
        "language": "es-CO",
        "data": b64encode(content).decode(),
        "size": len(content),
        "hash": b64encode(sha1(content, usedforsecurity=False).digest()).decode(),
        "title": title,
        "creation": instant(at),
    }
    return chart.add("DocumentReference", at, {
        "identifier": [{"system": IDENTIFIER + "document", "value": f"N{chart.dice.digits(9)}"}],
        "status": "current",
        "docStatus": "amended" if chart.dice.chance(0.02) else "final",
        "type": concept(title, coding(LOINC, code, display)),
        "category": [concept("Nota clínica", coding(LOINC, "34109-9", "Note"))],
        "subject": chart.subject(),
        "date": instant(at),
        "author": [visit.staff.reference()],
        "custodian": visit.site.reference(),
        "content": [{"attachment": attachment,
                     "format": coding("urn:oid:1.3.6.1.4.1.19376.1.2.3", "urn:ihe:iti:xds:2017:mimeTypeSufficient",
                                      "mimeType Sufficient")}],
        "context": {"encounter": [reference(visit.encounter)], "period": period(visit.at, at)},
    })  # fmt: skip
