"""A life told visit by visit: each draws on what is known so far and adds to it."""

from __future__ import annotations

from datetime import date, timedelta

from . import (
    allergies,
    conditions,
    immunizations,
    laboratory,
    medications,
    notes,
    people,
    plans,
    procedures,
    visits,
    vitals,
)
from .chart import Chart, Visit

# problem: (panels, studies that show it, operations) of the first contact
_WORKUP: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "dengue": (("count",), (), ()),
    "covid": (("covid",), (), ()),
    "urinary-infection": (("urinalysis",), (), ()),
    "anemia": (("count", "iron"), (), ()),
    "pneumonia": (("count", "inflammation"), ("chest",), ()),
    "appendicitis": (("count", "inflammation"), (), ("appendectomy",)),
    "gallstones": (("count",), ("abdomen",), ("cholecystectomy",)),
    "infarction": (("troponin",), ("ecg",), ("angioplasty",)),
    "stroke": (("renal",), ("ecg",), ()),
    "ankle-sprain": ((), ("ankle",), ()),
    "hand-wound": ((), (), ("suture",)),
    "asthma-crisis": ((), (), ("nebulization",)),
}
_SHOWN = {"pneumonia", "gallstones"}
_DIAGNOSTIC = {
    "hypertension": ("renal",),
    "diabetes": ("glycemia", "albuminuria"),
    "dyslipidemia": ("lipids",),
    "hypothyroidism": ("thyroid",),
    "prostate": ("psa",),
    "arthritis": ("count",),
}


def tell(chart: Chart) -> None:
    """Write everything."""
    people.draw(chart)
    conditions.draw_chronic(chart)
    planned = visits.plan(chart)
    immunizations.write(chart)
    mistaken = chart.dice.between(1, 25)
    for number, coming in enumerate(planned):
        visit = visits.begin(chart, coming)
        _see(chart, visit, first=number == 0)
        if number == mistaken:
            conditions.record_mistake(chart, visit)
    if chart.dice.chance(0.15) and (chart.person.last_day - chart.person.first_day).days > 60:
        visits.cancelled(chart)
    if chart.chronic and chart.person.died is None and chart.dice.chance(0.6):
        plans.appointment(chart)


def _see(chart: Chart, visit: Visit, first: bool) -> None:
    if first:
        allergies.write(chart, visit)
        if chart.person.age(visit.at.date()) >= 18:
            vitals.take_smoking(chart, visit)
        if chart.dice.chance(0.35):
            plans.family_history(chart, visit)
    if visit.kind != "telehealth":
        vitals.take(chart, visit)
    _VISITS[visit.kind](chart, visit)
    if visit.kind not in ("emergency", "telehealth"):
        _diagnose(chart, visit)
    _write_note(chart, visit)
    visits.finish(visit)


def _write_note(chart: Chart, visit: Visit) -> None:
    if visit.kind == "hospital":
        notes.write(chart, visit, "history", timedelta(minutes=50))
        if "end" in visit.encounter["period"]:
            days = visit.encounter["length"]["value"]
            notes.write(chart, visit, "discharge", timedelta(days=days, hours=1))
    elif visit.kind != "growth" or chart.dice.chance(0.5):
        notes.write(chart, visit)


def _diagnose(chart: Chart, visit: Visit) -> None:
    """Name the chronic problems that have begun and are not in the chart yet."""
    for problem, since in chart.chronic.items():
        if since > visit.at.date() or problem in chart.conditions:
            continue
        condition = conditions.record(chart, visit, problem)
        if not chart.treated(problem, visit.at.date()):
            for panel in _DIAGNOSTIC.get(problem, ()):
                laboratory.run(chart, visit, panel)
        if condition["clinicalStatus"]["coding"][0]["code"] == "active":
            medications.begin(chart, visit, problem, condition)
        if problem in ("asthma", "copd") and chart.person.age(visit.at.date()) > 6:
            procedures.perform(chart, visit, "spirometry", condition)
        plans.follow(chart, visit, problem)


def _control(chart: Chart, visit: Visit) -> None:
    known = [problem for problem in chart.chronic if problem in chart.conditions and problem in medications.FIRST]
    for problem in known:
        visit.problems.append((chart.conditions[problem], conditions.PROBLEMS[problem].text))
    if known and chart.dice.chance(0.5):
        for panel in laboratory.panels_for(chart, visit.at.date()):
            laboratory.run(chart, visit, panel)
    for problem in known:
        if chart.conditions[problem]["clinicalStatus"]["coding"][0]["code"] == "active":
            medications.review(chart, visit, problem)
    if "diabetes" in known and chart.dice.chance(0.3):
        procedures.perform(chart, visit, "foot-examination", chart.conditions["diabetes"])
    if "hypertension" in known and chart.dice.chance(0.15):
        procedures.study(chart, visit, "ecg", odd=chart.dice.chance(0.3))


def _checkup(chart: Chart, visit: Visit) -> None:
    person, dice, day = chart.person, chart.dice, visit.at.date()
    age = person.age(day)
    if age >= 40 or "obesity" in chart.chronic or dice.chance(0.3):
        laboratory.run(chart, visit, "lipids")
        if not chart.has("diabetes", day):
            laboratory.run(chart, visit, "glycemia")
    if dice.chance(0.45):
        laboratory.run(chart, visit, "count")
    if person.sex == "female" and 50 <= age < 70 and dice.chance(0.6):
        procedures.study(chart, visit, "mammography", odd=dice.chance(0.06))
    if 50 <= age < 76 and dice.chance(0.12):
        procedures.perform(chart, visit, "colonoscopy")
    visit.orders.append("educación en hábitos saludables")


def _growth(chart: Chart, visit: Visit) -> None:
    visit.orders.append("continuar esquema de vacunación y control según la edad")
    age = chart.person.age(visit.at.date())
    if age in (1, 4, 9, 12) and chart.dice.chance(0.3):
        laboratory.run(chart, visit, "count")


def _illness(chart: Chart, visit: Visit) -> None:
    problem = visit.reason
    if problem == "dengue" and not _dengue(chart, visit):
        return
    panels, studies, operations = _WORKUP.get(problem, ((), (), ()))
    condition = conditions.record(chart, visit, problem)
    for panel in panels:
        laboratory.run(chart, visit, panel)
    for study in studies:
        procedures.study(chart, visit, study, odd=problem in _SHOWN)
    for operation in operations:
        procedures.perform(chart, visit, operation, condition)
    medications.treat_acute(chart, visit, problem, condition)


def _dengue(chart: Chart, visit: Visit) -> bool:
    """Test for dengue; where it is not dengue, say so in the chart and stop there."""
    truly = chart.dice.chance(0.75)
    result = laboratory.run(chart, visit, "dengue", "dengue" if truly else "cold")
    if truly or result["dengue-ns1"] == "positive":
        return True
    condition = conditions.record_refuted(chart, visit, "dengue")
    medications.treat_acute(chart, visit, "cold", condition)
    return False


def _prenatal(chart: Chart, visit: Visit) -> None:
    first = "pregnancy" not in chart.conditions
    condition = conditions.record(chart, visit, "pregnancy")
    if first:
        for panel in ("count", "urinalysis", "glycemia"):
            laboratory.run(chart, visit, panel)
        medications.treat_acute(chart, visit, "pregnancy", condition)
        return
    if 24 <= _weeks(chart, visit) < 30:
        laboratory.run(chart, visit, "urinalysis")
        immunizations.give(chart, visit.at.date(), "tdap", 1)
    visit.orders.append("signos de alarma y control en cuatro semanas")


def _weeks(chart: Chart, visit: Visit) -> int:
    begun = date.fromisoformat(chart.conditions["pregnancy"]["onsetDateTime"][:10])
    return (visit.at.date() - begun).days // 7


def _hospital(chart: Chart, visit: Visit) -> None:
    dying = chart.person.died is not None and (chart.person.died - visit.at.date()).days <= 7
    disposition = ("exp", "Expired") if dying else ("home", "Home")
    visits.stay(
        chart, visit, chart.dice.between(1, 3) if visit.reason == "pregnancy" else chart.dice.between(2, 7), disposition
    )
    if visit.reason != "pregnancy":
        _illness(chart, visit)
        return
    condition = conditions.record(chart, visit, "pregnancy")
    condition["clinicalStatus"]["coding"][0]["code"] = "resolved"
    condition["abatementDateTime"] = visit.at.date().isoformat()
    laboratory.run(chart, visit, "count")
    procedures.perform(chart, visit, "cesarean" if chart.dice.chance(0.42) else "delivery", condition)


_VISITS = {
    "checkup": _checkup,
    "control": _control,
    "illness": _illness,
    "telehealth": _illness,
    "emergency": _illness,
    "growth": _growth,
    "prenatal": _prenatal,
    "hospital": _hospital,
}
