"""Follow-up of chronic problems: Goal, CarePlan, CareTeam, Appointment, and what runs in the family.

https://hl7.org/fhir/R4/careplan.html, goal.html, careteam.html, appointment.html, familymemberhistory.html
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from .chart import Chart, Visit
from .conditions import CHRONIC
from .elements import (
    LOINC,
    SNOMED,
    TERMINOLOGY,
    UNTIL,
    Resource,
    at_hour,
    coding,
    concept,
    hl7,
    instant,
    period,
    quantity,
    reference,
)

# problem: LOINC code of the measure, its name, comparator of the target, value, unit, code, what to do
_TARGETS = {
    "diabetes": (("4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood"), "Hemoglobina glicosilada menor de 7 %",
                 "high",
                 ("7.0", "%", "%"), ("Plan de alimentación saludable", "Actividad física 150 minutos por semana")),
    "hypertension": (("8480-6", "Systolic blood pressure"), "Presión sistólica menor de 140 mmHg", "high",
                     ("140", "mmHg", "mm[Hg]"), ("Dieta baja en sal", "Toma de presión arterial en casa")),
}  # fmt: skip
_RELATIVES = (
    ("MTH", "mother", "Madre"),
    ("FTH", "father", "Padre"),
    ("SIS", "sister", "Hermana"),
    ("BRO", "brother", "Hermano"),
)
_INHERITED = ("hypertension", "diabetes", "coronary", "asthma", "hypothyroidism")


def follow(chart: Chart, visit: Visit, problem: str) -> None:
    """Goal, plan and team for a problem that has a target."""
    if problem not in _TARGETS or any(resource["resourceType"] == "CarePlan" for resource in chart.resources):
        return
    goal, team = _goal(chart, visit, problem), _team(chart, visit)
    activities = _TARGETS[problem][4]
    ended = chart.person.died is not None
    chart.add("CarePlan", visit.at, {
        "status": "completed" if ended else "active",
        "intent": "plan",
        "category": [concept("Programa de riesgo cardiovascular", coding(SNOMED, "734163000", "Care plan"))],
        "title": f"Plan de manejo: {CHRONIC[problem].text.lower()}",
        "subject": chart.subject(),
        "encounter": visit.reference(),
        "period": period(visit.at.date(), chart.person.died),
        "created": instant(visit.at),
        "author": visit.staff.reference(),
        "careTeam": [reference(team)],
        "addresses": [reference(chart.conditions[problem], CHRONIC[problem].text)],
        "goal": [reference(goal)],
        "activity": [{"detail": {"status": "completed" if ended else "in-progress", "description": activity}}
                     for activity in activities],
    })  # fmt: skip


def _goal(chart: Chart, visit: Visit, problem: str) -> Resource:
    measure, text, side, (value, unit, code), _ = _TARGETS[problem]
    limit = {side: quantity(Decimal(value), unit, code)}
    return chart.add("Goal", visit.at, {
        "lifecycleStatus": "completed" if chart.person.died else "active",
        "achievementStatus": hl7("goal-achievement", chart.dice.pick(("in-progress", "improving", "achieved"))),
        "description": concept(text),
        "subject": chart.subject(),
        "startDate": visit.at.date().isoformat(),
        "target": [{"measure": concept(None, coding(LOINC, *measure)), "detailRange": limit,
                    "dueDate": (visit.at.date() + timedelta(days=365)).isoformat()}],
        "expressedBy": visit.staff.reference(),
        "addresses": [reference(chart.conditions[problem])],
    })  # fmt: skip


def _team(chart: Chart, visit: Visit) -> Resource:
    nurse = chart.staff(chart.clinic, "nursing")
    return chart.add("CareTeam", visit.at, {
        "status": "inactive" if chart.person.died else "active",
        "name": "Equipo de riesgo cardiovascular",
        "subject": chart.subject(),
        "period": period(visit.at.date(), chart.person.died),
        "participant": [
            {"role": [concept("Paciente", coding(SNOMED, "116154003", "Patient"))], "member": chart.subject()},
            {"role": [concept("Médico tratante", coding(SNOMED, "59058001", "General physician"))],
             "member": visit.staff.reference(), "onBehalfOf": visit.site.reference()},
            {"role": [concept("Enfermería", coding(SNOMED, "224535009", "Registered nurse"))],
             "member": nurse.reference()},
        ],
        "managingOrganization": [chart.clinic.reference()],
    })  # fmt: skip


def family_history(chart: Chart, visit: Visit) -> None:
    """A relative with a problem that runs in families."""
    dice = chart.dice
    code, display, text = dice.pick(_RELATIVES)
    problem = CHRONIC[dice.pick(_INHERITED)]
    dead = dice.chance(0.25)
    gap = {"MTH": 26, "FTH": 28}.get(code, 1)
    chart.add("FamilyMemberHistory", visit.at, {
        "status": "completed",
        "patient": chart.subject(),
        "date": instant(visit.at),
        "relationship": concept(text, coding(TERMINOLOGY + "v3-RoleCode", code, display)),
        "sex": concept(None, coding("http://hl7.org/fhir/administrative-gender",
                                    "female" if code in ("MTH", "SIS") else "male")),
        "bornDate": str(chart.person.born.year - gap),
        "deceasedBoolean": dead,
        "condition": [{"code": problem.concept(), "contributedToDeath": dice.chance(0.4) if dead else None}
                      if dead else {"code": problem.concept()}],
    })  # fmt: skip


def appointment(chart: Chart) -> None:
    """The next visit of somebody in follow-up, after the last day of the charts."""
    dice = chart.dice
    doctor, place = chart.staff(chart.clinic, "family"), dice.pick(chart.clinic.places["office"])
    start = at_hour(UNTIL + timedelta(days=dice.between(5, 120)), dice.between(7, 15), dice.pick((0, 20, 40)))
    chart.add("Appointment", at_hour(UNTIL, 9), {
        "status": "booked",
        "appointmentType": hl7("v2-0276", "FOLLOWUP", "A follow up visit from a previous appointment"),
        "description": "Control de programa",
        "start": instant(start),
        "end": instant(start + timedelta(minutes=20)),
        "minutesDuration": 20,
        "created": instant(at_hour(UNTIL, 9)),
        "participant": [
            {"actor": chart.subject(), "required": "required", "status": "accepted"},
            {"actor": doctor.reference(), "required": "required", "status": "accepted"},
            {"actor": place.reference(), "required": "information-only", "status": "accepted"},
        ],
    })  # fmt: skip
