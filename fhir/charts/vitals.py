"""Vital signs (https://hl7.org/fhir/R4/observation-vitalsigns.html) with their reference ranges."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from . import physiology
from .chart import Chart, Visit
from .elements import LOINC, SNOMED, TERMINOLOGY, Resource, coding, concept, decimal, hl7, instant, quantity


@dataclass(frozen=True, slots=True)
class Vital:
    """LOINC code, names, unit, and the usual range of an adult where one is printed."""

    loinc: str
    display: str
    text: str
    unit: str
    code: str
    low: str | None = None
    high: str | None = None


VITALS = {
    "systolic": Vital("8480-6", "Systolic blood pressure", "Presión sistólica", "mmHg", "mm[Hg]", "90", "139"),
    "diastolic": Vital("8462-4", "Diastolic blood pressure", "Presión diastólica", "mmHg", "mm[Hg]", "60", "89"),
    "weight": Vital("29463-7", "Body weight", "Peso", "kg", "kg"),
    "height": Vital("8302-2", "Body height", "Talla", "cm", "cm"),
    "bmi": Vital("39156-5", "Body mass index (BMI) [Ratio]", "Índice de masa corporal", "kg/m2", "kg/m2", "18.5",
                 "24.9"),
    "pulse": Vital("8867-4", "Heart rate", "Frecuencia cardíaca", "latidos/min", "/min", "60", "100"),
    "breaths": Vital("9279-1", "Respiratory rate", "Frecuencia respiratoria", "resp/min", "/min", "12", "20"),
    "temperature": Vital("8310-5", "Body temperature", "Temperatura corporal", "°C", "Cel", "36.0", "37.5"),
    "saturation": Vital("2708-6", "Oxygen saturation in Arterial blood", "Saturación de oxígeno", "%", "%", "90",
                        "100"),
    "head": Vital("9843-4", "Head Occipital-frontal circumference", "Perímetro cefálico", "cm", "cm"),
}  # fmt: skip
INTERPRETATION = {"N": "Normal", "H": "High", "L": "Low", "HH": "Critical high", "LL": "Critical low",
                  "NEG": "Negative", "POS": "Positive"}  # fmt: skip
_PULSE_OXIMETRY = ("59408-5", "Oxygen saturation in Arterial blood by Pulse oximetry")
_ARMS = (("368208006", "Left upper arm structure", "Brazo izquierdo"),
         ("368209003", "Right upper arm structure", "Brazo derecho"))  # fmt: skip
_SMOKING = {"never": ("266919005", "Never smoked tobacco", "Nunca ha fumado"),
            "former": ("8517006", "Ex-smoker", "Exfumador"),
            "current": ("77176002", "Smoker", "Fumador")}  # fmt: skip


def interpretation(code: str) -> list[Resource]:
    """Observation.interpretation."""
    return [hl7("v3-ObservationInterpretation", code, INTERPRETATION[code])]


def judge(value: Decimal, low: Decimal | None, high: Decimal | None) -> str:
    """N, L or H against a range."""
    if low is not None and value < low:
        return "L"
    return "H" if high is not None and value > high else "N"


def _range(vital: Vital, value: Decimal) -> Resource:
    if vital.low is None or vital.high is None:
        return {}
    low, high = Decimal(vital.low), Decimal(vital.high)
    limits = {"low": quantity(low, vital.unit, vital.code), "high": quantity(high, vital.unit, vital.code)}
    return {"interpretation": interpretation(judge(value, low, high)), "referenceRange": [limits]}


def observation(chart: Chart, visit: Visit, elements: Resource, category: str = "vital-signs") -> Resource:
    """Write an Observation of this visit."""
    return chart.add("Observation", visit.at, {
        "status": "final",
        "category": [hl7("observation-category", category)],
        **elements,
        "subject": chart.subject(),
        "encounter": visit.reference(),
        "effectiveDateTime": instant(visit.at),
        "issued": instant(visit.at + timedelta(minutes=10)),
        "performer": [visit.staff.reference()],
    })  # fmt: skip


def _single(chart: Chart, visit: Visit, key: str, value: Decimal) -> None:
    if chart.dice.chance(0.004):
        _mistyped(chart, visit, key, value)
    visit.measured[key] = value
    observation(chart, visit, _content(chart, visit, key, value))


def _content(chart: Chart, visit: Visit, key: str, value: Decimal) -> Resource:
    vital = VITALS[key]
    codings = [coding(LOINC, vital.loinc, vital.display)]
    if key == "saturation":
        codings.append(coding(LOINC, *_PULSE_OXIMETRY))
    adult = chart.person.age(visit.at.date()) >= 16
    return {
        "code": concept(vital.text, *codings),
        "valueQuantity": quantity(value, vital.unit, vital.code),
        **(_range(vital, value) if adult or key in ("temperature", "saturation") else {}),
    }


def _mistyped(chart: Chart, visit: Visit, key: str, value: Decimal) -> None:
    """A value with a digit too many, marked as a mistake; the right one follows."""
    content = _content(chart, visit, key, value * 10)
    note = [{"text": "Valor anulado: error de digitación."}]
    observation(chart, visit, {**content, "status": "entered-in-error", "note": note})


def _component(chart: Chart, key: str, value: Decimal) -> Resource:
    vital = VITALS[key]
    return {
        "code": concept(vital.text, coding(LOINC, vital.loinc, vital.display)),
        "valueQuantity": quantity(value, vital.unit, vital.code),
    }


def _pressure(chart: Chart, visit: Visit) -> None:
    systolic, diastolic = (Decimal(value) for value in physiology.pressure(chart, visit.at.date()))
    visit.measured["systolic"], visit.measured["diastolic"] = systolic, diastolic
    code, display, text = chart.dice.pick(_ARMS)
    elements: Resource = {
        "code": concept(
            "Presión arterial", coding(LOINC, "85354-9", "Blood pressure panel with all children optional")
        ),
        "bodySite": concept(text, coding(SNOMED, code, display)),
        "component": [_component(chart, "systolic", systolic), _component(chart, "diastolic", diastolic)],
    }
    if chart.person.age(visit.at.date()) >= 16:
        high = systolic >= 140 or diastolic >= 90
        elements["interpretation"] = interpretation("H" if high else "L" if systolic < 90 else "N")
    observation(chart, visit, elements)


def _size(chart: Chart, visit: Visit, with_height: bool) -> None:
    day = visit.at.date()
    weight = decimal(physiology.weight(chart, day), 1 if chart.person.age(day) >= 2 else 2)
    centimetres = decimal(physiology.height(chart, day), 1)
    _single(chart, visit, "weight", weight)
    if with_height:
        _single(chart, visit, "height", centimetres)
        if chart.person.age(day) >= 2:
            _single(chart, visit, "bmi", decimal(float(weight) / (float(centimetres) / 100) ** 2, 1))


def take(chart: Chart, visit: Visit) -> None:
    """Measure what such a visit measures."""
    dice, day = chart.dice, visit.at.date()
    age, ill = chart.person.age(day), visit.kind in ("illness", "hospital", "emergency")
    if age >= 3:
        _pressure(chart, visit)
    warm = decimal(physiology.temperature(chart, visit.reason), 1)
    _single(chart, visit, "pulse", Decimal(physiology.pulse(chart, day, warm >= Decimal("37.6"))))
    if not ill or age < 12 or dice.chance(0.4):
        _size(chart, visit, with_height=age < 18 or visit.kind == "checkup" or dice.chance(0.3))
    if age < 3 and visit.kind == "growth":
        _single(chart, visit, "head", decimal(physiology.head(chart, day), 1))
    if ill or dice.chance(0.25):
        _single(chart, visit, "temperature", warm)
        _single(chart, visit, "breaths", Decimal(physiology.breaths(chart, day, visit.reason)))
        _oxygen(chart, visit)


def _oxygen(chart: Chart, visit: Visit) -> None:
    if chart.person.age(visit.at.date()) < 3 and chart.dice.chance(0.15):
        vital = VITALS["saturation"]
        observation(chart, visit, {
            "code": concept(vital.text, coding(LOINC, vital.loinc, vital.display), coding(LOINC, *_PULSE_OXIMETRY)),
            "dataAbsentReason": concept("El paciente no toleró el sensor", coding(
                TERMINOLOGY + "data-absent-reason", "not-performed", "Not Performed")),
        })  # fmt: skip
        return
    _single(chart, visit, "saturation", Decimal(physiology.saturation(chart, visit.at.date(), visit.reason)))


def take_smoking(chart: Chart, visit: Visit) -> None:
    """Smoking status, as social history."""
    code, display, text = _SMOKING[chart.person.smoker]
    visit.findings.append(f"Tabaquismo: {text.lower()}.")
    observation(chart, visit, {
        "code": concept("Hábito de fumar", coding(LOINC, "72166-2", "Tobacco smoking status")),
        "valueCodeableConcept": concept(text, coding(SNOMED, code, display)),
    }, "social-history")  # fmt: skip
