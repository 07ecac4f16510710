"""Laboratory: orders, specimens, results with reference ranges, and their reports.

https://hl7.org/fhir/R4/diagnosticreport.html, observation.html, specimen.html, servicerequest.html
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

from . import analytes
from .analytes import ANALYTES, PANELS, Analyte, Panel
from .chart import Chart, Visit
from .elements import (
    IDENTIFIER,
    LOINC,
    SNOMED,
    TERMINOLOGY,
    Resource,
    coding,
    concept,
    hl7,
    instant,
    quantity,
    reference,
)
from .facilities import Staff
from .vitals import interpretation

_SPECIMENS = {"blood": ("119297000", "Blood specimen", "Sangre venosa"),
              "urine": ("122575003", "Urine specimen", "Orina"),
              "swab": ("258500001", "Nasopharyngeal swab", "Hisopado nasofaríngeo")}  # fmt: skip
_ANSWERS = {"negative": ("260385009", "Negative", "Negativo", "NEG"),
            "positive": ("10828004", "Positive", "Positivo", "POS")}  # fmt: skip


def run(chart: Chart, visit: Visit, key: str, reason: str = "") -> dict[str, Decimal | str]:
    """Order a panel, take the specimen, write the results and their report. Gives the values by analyte."""
    panel = PANELS[key]
    values = analytes.draw(chart, panel, visit.at.date(), reason or visit.reason)
    technician = chart.staff(visit.site, "laboratory")
    order = _order(chart, visit, panel)
    specimen = _specimen(chart, visit, panel, technician, order)
    results = [_result(chart, visit, name, values[name], specimen, technician) for name in panel.analytes]
    _report(chart, visit, panel, order, specimen, results, technician)
    _tell(visit, panel, values, results)
    return values


def _order(chart: Chart, visit: Visit, panel: Panel) -> Resource:
    return chart.add("ServiceRequest", visit.at, {
        "status": "completed",
        "intent": "order",
        "category": [concept("Laboratorio", coding(SNOMED, "108252007", "Laboratory procedure"))],
        "priority": "urgent" if visit.kind in ("emergency", "hospital") else "routine",
        "code": panel.concept(),
        "subject": chart.subject(),
        "encounter": visit.reference(),
        "authoredOn": instant(visit.at),
        "requester": visit.staff.reference(),
        "reasonReference": [reference(condition) for condition, _ in visit.problems[:1]] or None,
    })  # fmt: skip


def _specimen(chart: Chart, visit: Visit, panel: Panel, technician: Staff, order: Resource) -> Resource:
    code, display, text = _SPECIMENS[panel.specimen]
    return chart.add("Specimen", visit.at, {
        "accessionIdentifier": {"system": IDENTIFIER + "specimen", "value": f"M{chart.dice.digits(8)}"},
        "status": "available",
        "type": concept(text, coding(SNOMED, code, display)),
        "subject": chart.subject(),
        "receivedTime": instant(visit.at + timedelta(minutes=55)),
        "request": [reference(order)],
        "collection": {"collector": technician.reference(),
                       "collectedDateTime": instant(visit.at + timedelta(minutes=25))},
    })  # fmt: skip


def _limits(analyte: Analyte, sex: str) -> tuple[Decimal | None, Decimal | None]:
    low, high = (analyte.women if sex == "female" else analyte.men).split("-")
    return (Decimal(low) if low else None, Decimal(high) if high else None)


def _measured(analyte: Analyte, value: Decimal, sex: str) -> Resource:
    low, high = _limits(analyte, sex)
    amount = quantity(value, analyte.unit, analyte.code)
    if analyte.floor and value < Decimal(analyte.floor):
        amount = {
            "value": Decimal(analyte.floor),
            "comparator": "<",
            **{k: amount[k] for k in ("unit", "system", "code")},
        }
    limits: Resource = {}
    if low is not None:
        limits["low"] = quantity(low, analyte.unit, analyte.code)
    if high is not None:
        limits["high"] = quantity(high, analyte.unit, analyte.code)
    if analyte.women != analyte.men:
        limits["text"] = "Mujeres" if sex == "female" else "Hombres"
    return {
        "valueQuantity": amount,
        "interpretation": interpretation(analytes.judge(value, low, high)),
        "referenceRange": [limits],
    }


def _result(
    chart: Chart, visit: Visit, name: str, value: Decimal | str, specimen: Resource, technician: Staff
) -> Resource:
    analyte = ANALYTES[name]
    if isinstance(value, str):
        code, display, text, flag = _ANSWERS[value]
        content: Resource = {
            "valueCodeableConcept": concept(text, coding(SNOMED, code, display)),
            "interpretation": interpretation(flag),
        }
    else:
        content = _measured(analyte, value, chart.person.sex)
    return chart.add("Observation", visit.at, {
        "status": chart.dice.weighted((("final", 970), ("corrected", 15), ("amended", 10), ("preliminary", 5))),
        "category": [hl7("observation-category", "laboratory", "Laboratory")],
        "code": concept(analyte.text, coding(LOINC, analyte.loinc, analyte.display)),
        "subject": chart.subject(),
        "encounter": visit.reference(),
        "effectiveDateTime": instant(visit.at + timedelta(minutes=25)),
        "issued": instant(visit.at + timedelta(hours=5)),
        "performer": [technician.reference()],
        **content,
        "specimen": reference(specimen),
    })  # fmt: skip


def _flag(result: Resource) -> str:
    code: str = result["interpretation"][0]["coding"][0]["code"]
    return code


def _report(
    chart: Chart,
    visit: Visit,
    panel: Panel,
    order: Resource,
    specimen: Resource,
    results: list[Resource],
    technician: Staff,
) -> None:
    odd = [result["code"]["text"] for result in results if _flag(result) not in ("N", "NEG")]
    verdict = f"Fuera del rango de referencia: {', '.join(odd)}." if odd else "Resultados dentro de lo esperado."
    chart.add("DiagnosticReport", visit.at, {
        "identifier": [{"system": IDENTIFIER + "report", "value": f"L{chart.dice.digits(9)}"}],
        "basedOn": [reference(order)],
        "status": "final",
        "category": [concept("Laboratorio", coding(TERMINOLOGY + "v2-0074", "LAB", "Laboratory"))],
        "code": panel.concept(),
        "subject": chart.subject(),
        "encounter": visit.reference(),
        "effectiveDateTime": instant(visit.at + timedelta(minutes=25)),
        "issued": instant(visit.at + timedelta(hours=5)),
        "performer": [visit.site.reference()],
        "resultsInterpreter": [technician.reference()],
        "specimen": [reference(specimen)],
        "result": [reference(result, result["code"]["text"]) for result in results],
        "conclusion": verdict,
    })  # fmt: skip


def _tell(visit: Visit, panel: Panel, values: dict[str, Decimal | str], results: list[Resource]) -> None:
    shown = []
    for name, result in zip(panel.analytes, results, strict=True):
        value, analyte = values[name], ANALYTES[name]
        if isinstance(value, str):
            shown.append(f"{analyte.text.lower()} {_ANSWERS[value][2].lower()}")
        elif _flag(result) != "N" or len(results) < 5:
            shown.append(f"{analyte.text} {value} {analyte.unit}")
    visit.findings.append(f"{panel.text}: {'; '.join(shown) or 'sin alteraciones'}.")


def panels_for(chart: Chart, at: date) -> list[str]:
    """Panels that follow-up of the known problems asks for."""
    wanted = []
    if chart.has("diabetes", at):
        wanted += ["glycemia", "renal"]
    elif chart.has("hypertension", at) or chart.has("kidney-disease", at):
        wanted.append("renal")
    if any(chart.has(problem, at) for problem in ("dyslipidemia", "coronary", "hypertension")):
        wanted.append("lipids")
    if chart.has("hypothyroidism", at):
        wanted.append("thyroid")
    if chart.has("prostate", at):
        wanted.append("psa")
    if chart.has("arthritis", at):
        wanted.append("count")
    return wanted
