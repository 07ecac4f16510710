"""When somebody comes, and the Encounter of each visit (https://hl7.org/fhir/R4/encounter.html)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from .chart import Chart, Visit
from .conditions import ACUTE, likely_illnesses
from .elements import (
    IDENTIFIER,
    SNOMED,
    TERMINOLOGY,
    UNTIL,
    Resource,
    add_months,
    at_hour,
    coding,
    concept,
    hl7,
    instant,
    period,
    reference,
)
from .medications import FIRST

MOST_VISITS = 9
MOST_CHILD_VISITS = 13


@dataclass(frozen=True, slots=True, order=True)
class Planned:
    """A visit to come: the day, its kind, and the problem or occasion that it is for."""

    day: date
    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class Kind:
    """Encounter class and type of a kind of visit, how long it lasts, who sees the patient and where."""

    code: str
    snomed: str
    display: str
    text: str
    minutes: int
    specialties: tuple[str, ...]
    place: str


_CLASSES = {"AMB": "ambulatory", "EMER": "emergency", "IMP": "inpatient encounter", "VR": "virtual"}
KINDS = {
    "checkup": Kind("AMB", "185349003", "Encounter for check up", "Consulta de medicina general", 30, ("general",
                    "family"), "office"),
    "control": Kind("AMB", "390906007", "Follow-up encounter", "Consulta de control", 25, ("family", "general"),
                    "office"),
    "illness": Kind("AMB", "185347001", "Encounter for problem", "Consulta por morbilidad", 20, ("general",),
                    "office"),
    "telehealth": Kind("VR", "448337001", "Telemedicine consultation with patient", "Teleconsulta", 15, ("general",),
                       "office"),
    "growth": Kind("AMB", "410620009", "Well child visit", "Control de crecimiento y desarrollo", 30, ("pediatrics",
                   "nursing"), "office"),
    "prenatal": Kind("AMB", "424441002", "Prenatal initial visit", "Control prenatal", 30, ("family", "general"),
                     "office"),
    "emergency": Kind("EMER", "50849002", "Emergency room admission", "Atención de urgencias", 240, ("emergency",),
                      "emergency"),
    "hospital": Kind("IMP", "32485007", "Hospital admission", "Hospitalización", 0, ("internal",), "ward"),
}  # fmt: skip
_PLACES = {"AMB": "illness", "EMER": "emergency", "IMP": "hospital"}
_GROWTH = (0, 2, 4, 6, 9, 12, 18, 24, 36, 48, 60)
_SPECIAL = {"appendicitis": "surgery", "gallstones": "surgery", "infarction": "cardiology", "pregnancy": "gynecology"}


def plan(chart: Chart) -> list[Planned]:
    """The visits of this person in the window of the records, by date, at most one a day."""
    person, dice = chart.person, chart.dice
    found = _growth(chart) if person.age(person.first_day) < 16 else []
    if not found:
        found.append(Planned(person.first_day + timedelta(days=dice.between(0, 20)), "checkup", "checkup"))
    found += _follow_up(chart) + _illnesses(chart) + _pregnancy(chart)
    most = MOST_VISITS if person.age(person.last_day) >= 18 else MOST_CHILD_VISITS
    spare = [visit for visit in found[1:] if visit.reason != "pregnancy"]
    for visit in dice.sample(spare, len(found) - most):
        found.remove(visit)
    if person.age(person.last_day) >= 18 and len(found) < 5:
        found += [Planned(_day(chart), "checkup", "checkup") for _ in range(5 - len(found))]
    if person.died:
        cause = "stroke" if person.age(person.died) > 45 and dice.chance(0.35) else "pneumonia"
        found.append(Planned(person.died - timedelta(days=dice.between(2, 6)), "hospital", cause))
    by_day = {visit.day: visit for visit in found if person.first_day <= visit.day < person.last_day}
    return [by_day[day] for day in sorted(by_day)]


def _day(chart: Chart) -> date:
    return chart.dice.day(chart.person.first_day + timedelta(days=20), chart.person.last_day - timedelta(days=8))


def _growth(chart: Chart) -> list[Planned]:
    person, dice = chart.person, chart.dice
    ages = [*_GROWTH, *(age for age in range(72, 216, 12) if dice.chance(0.5))]
    days = [add_months(person.born, age) + timedelta(days=dice.between(1, 14)) for age in ages]
    kept = [day for day in days if day >= person.first_day]
    return [Planned(day, "growth", "growth") for day in kept]


def _follow_up(chart: Chart) -> list[Planned]:
    """A visit on the day of each diagnosis, and controls while there is something to control."""
    person, dice = chart.person, chart.dice
    visits = [Planned(since, "control", "control") for since in chart.chronic.values() if since > person.first_day]
    followed = [since for problem, since in chart.chronic.items() if problem in FIRST]
    if followed:
        day = max(person.first_day, min(followed)) + timedelta(days=dice.between(60, 130))
        while day < person.last_day:
            visits.append(Planned(day, "control", "control"))
            day += timedelta(days=dice.between(120, 260))
    return visits


def _illnesses(chart: Chart) -> list[Planned]:
    person, dice = chart.person, chart.dice
    window = (person.last_day - person.first_day).days / 365
    count = round(dice.uniform(0.25, 0.85) * window) + (1 if person.age(person.first_day) > 65 else 0)
    visits = []
    for _ in range(count):
        day = _day(chart)
        options = likely_illnesses(chart, day)
        if not options:
            continue
        key = dice.weighted(options)
        kind = _PLACES[ACUTE[key].place]
        if kind == "illness" and key in ("cold", "covid", "headache") and dice.chance(0.2):
            kind = "telehealth"
        visits.append(Planned(day, kind, key))
    return visits


def _pregnancy(chart: Chart) -> list[Planned]:
    """Prenatal visits and the birth, counted from the last period."""
    person, dice = chart.person, chart.dice
    if person.sex == "male" or person.died or {"hypertension", "diabetes", "dyslipidemia"} & set(chart.chronic):
        return []
    start = _day(chart)
    if not 18 <= person.age(start) <= 40 or not dice.chance(0.3):
        return []
    chart.last_period = start
    days = [start + timedelta(days=gap + dice.between(0, 9)) for gap in (56, 112, 178, 240)]
    birth = start + timedelta(days=dice.between(266, 279))
    return [*(Planned(day, "prenatal", "pregnancy") for day in days), Planned(birth, "hospital", "pregnancy")]


def begin(chart: Chart, planned: Planned) -> Visit:
    """Write the Encounter of a planned visit; what it found is added by `finish`."""
    dice, kind = chart.dice, KINDS[planned.kind]
    at = at_hour(planned.day, dice.between(7, 15), dice.pick((0, 10, 20, 30, 40, 50)))
    site = chart.hospital if kind.code in ("EMER", "IMP") else chart.clinic
    special = (_SPECIAL[planned.reason],) if planned.reason in _SPECIAL else ()
    staff = (
        chart.staff(site, *special, *kind.specialties) if kind.code == "IMP" else chart.staff(site, *kind.specialties)
    )
    place = dice.pick(site.places[kind.place])
    doctor = {"type": [hl7("v3-ParticipationType", "ATND", "attender")], "individual": staff.reference()}
    encounter = chart.add("Encounter", at, {
        "identifier": [{"system": IDENTIFIER + "encounter", "value": f"E{dice.digits(9)}"}],
        "status": "finished",
        "class": coding(TERMINOLOGY + "v3-ActCode", kind.code, _CLASSES[kind.code]),
        "type": [concept(kind.text, coding(SNOMED, kind.snomed, kind.display))],
        "subject": chart.subject(),
        "participant": [doctor],
        "period": period(at, at + timedelta(minutes=kind.minutes + dice.between(-5, 15))),
        "location": [{"location": place.reference(), "status": "completed"}] if kind.code != "VR" else None,
        "serviceProvider": site.reference(),
    })  # fmt: skip
    return Visit(at, planned.kind, planned.reason, site, staff, place, encounter)


def stay(chart: Chart, visit: Visit, days: int, disposition: tuple[str, str]) -> None:
    """Make it a hospital stay of that many days, or one that still goes on."""
    end = visit.at + timedelta(days=days, hours=chart.dice.between(2, 8))
    if disposition[0] == "exp" and chart.person.died:
        end = at_hour(chart.person.died, 19)
    if end.date() > UNTIL:
        visit.encounter.update(status="in-progress", period=period(visit.at))
        visit.encounter["location"][0]["status"] = "active"
        return
    visit.encounter["period"] = period(visit.at, end)
    visit.encounter["length"] = {"value": (end.date() - visit.at.date()).days, "unit": "días",
                                 "system": "http://unitsofmeasure.org", "code": "d"}  # fmt: skip
    visit.encounter["hospitalization"] = {"dischargeDisposition": hl7("discharge-disposition", *disposition)}


def finish(visit: Visit) -> None:
    """Say in the Encounter what it was for and what was found."""
    encounter = visit.encounter
    if not visit.problems:
        encounter["reasonCode"] = [{"text": KINDS[visit.kind].text}]
        return
    seen: dict[str, Resource] = {condition["id"]: condition for condition, _ in visit.problems}
    encounter["reasonReference"] = [reference(visit.problems[0][0])]
    use = ("DD", "Discharge diagnosis") if visit.kind == "hospital" else ("CC", "Chief complaint")
    encounter["diagnosis"] = [
        {"condition": reference(condition), "use": hl7("diagnosis-role", *use), "rank": rank}
        for rank, condition in enumerate(seen.values(), 1)
    ]


def cancelled(chart: Chart) -> None:
    """A visit that did not happen."""
    visit = begin(chart, Planned(_day(chart), "control", "control"))
    visit.encounter["status"] = "cancelled"
    visit.encounter["reasonCode"] = [{"text": "El paciente no asistió"}]
    visit.encounter["period"] = {"start": instant(visit.at)}
    visit.encounter.pop("location", None)
