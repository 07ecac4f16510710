"""Vaccines given by age (https://hl7.org/fhir/R4/immunization.html), after the Colombian schedule in outline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from .chart import Chart
from .elements import CVX, SNOMED, TERMINOLOGY, UNTIL, Resource, add_months, at_hour, coding, concept, instant, quantity


@dataclass(frozen=True, slots=True)
class Vaccine:
    """CVX code, names, millilitres, route and site codes of HL7, and the diseases that it prevents."""

    cvx: str
    display: str
    text: str
    dose: str
    route: str
    diseases: tuple[str, ...]


_DISEASES = {
    "tuberculosis": ("56717001", "Tuberculosis"),
    "hepatitis-b": ("66071002", "Type B viral hepatitis"),
    "hepatitis-a": ("40468003", "Viral hepatitis, type A"),
    "diphtheria": ("397430003", "Diphtheria caused by Corynebacterium diphtheriae"),
    "tetanus": ("76902006", "Tetanus"),
    "pertussis": ("27836007", "Pertussis"),
    "polio": ("398102009", "Acute poliomyelitis"),
    "rotavirus": ("18624000", "Disease caused by Rotavirus"),
    "pneumococcus": ("16814004", "Pneumococcal infectious disease"),
    "influenza": ("6142004", "Influenza"),
    "measles": ("14189004", "Measles"),
    "rubella": ("36653000", "Rubella"),
    "mumps": ("36989005", "Mumps"),
    "varicella": ("38907003", "Varicella"),
    "yellow-fever": ("16541001", "Yellow fever"),
    "papilloma": ("240532009", "Human papillomavirus infection"),
    "covid": ("840539006", "COVID-19"),
}
VACCINES = {
    "bcg": Vaccine("19", "BCG", "BCG", "0.05", "IDINJ", ("tuberculosis",)),
    "hepatitis-b": Vaccine("08", "Hep B, adolescent or pediatric", "Hepatitis B pediátrica", "0.5", "IM",
                           ("hepatitis-b",)),
    "pentavalent": Vaccine("102", "DTP- Hib-Hep B", "Pentavalente (DPT, Hib, hepatitis B)", "0.5", "IM",
                           ("diphtheria", "tetanus", "pertussis", "hepatitis-b")),
    "polio": Vaccine("10", "IPV", "Polio inactivada", "0.5", "IM", ("polio",)),
    "rotavirus": Vaccine("119", "rotavirus, monovalent", "Rotavirus", "1.5", "PO", ("rotavirus",)),
    "pneumococcus": Vaccine("133", "Pneumococcal conjugate PCV 13", "Neumococo conjugada", "0.5", "IM",
                            ("pneumococcus",)),
    "influenza": Vaccine("141", "Influenza, seasonal, injectable", "Influenza estacional", "0.5", "IM",
                         ("influenza",)),
    "measles": Vaccine("03", "MMR", "Triple viral (sarampión, rubéola, parotiditis)", "0.5", "SQ", ("measles",
                       "rubella", "mumps")),
    "varicella": Vaccine("21", "varicella", "Varicela", "0.5", "SQ", ("varicella",)),
    "hepatitis-a": Vaccine("83", "Hep A, ped/adol, 2 dose", "Hepatitis A pediátrica", "0.5", "IM", ("hepatitis-a",)),
    "yellow-fever": Vaccine("37", "yellow fever", "Fiebre amarilla", "0.5", "SQ", ("yellow-fever",)),
    "dpt": Vaccine("01", "DTP", "DPT", "0.5", "IM", ("diphtheria", "tetanus", "pertussis")),
    "papilloma": Vaccine("62", "HPV, quadrivalent", "Virus del papiloma humano", "0.5", "IM", ("papilloma",)),
    "tetanus": Vaccine("09", "Td (adult)", "Tétanos y difteria (Td)", "0.5", "IM", ("tetanus", "diphtheria")),
    "tdap": Vaccine("115", "Tdap", "Tdap acelular de la gestante", "0.5", "IM", ("tetanus", "diphtheria",
                    "pertussis")),
    "covid": Vaccine("208", "COVID-19, mRNA, LNP-S, PF, 30 mcg/0.3 mL dose", "COVID-19 (ARNm)", "0.3", "IM",
                     ("covid",)),
}  # fmt: skip
# vaccine: ages in months at each dose
SCHEDULE = {
    "bcg": (0,),
    "hepatitis-b": (0,),
    "pentavalent": (2, 4, 6),
    "polio": (2, 4, 6, 18, 60),
    "rotavirus": (2, 4),
    "pneumococcus": (2, 4, 12),
    "influenza": (6, 7, 18),
    "measles": (12, 18),
    "varicella": (12, 60),
    "hepatitis-a": (12,),
    "yellow-fever": (18,),
    "dpt": (18, 60),
}
_ROUTES = {"IM": "Injection, intramuscular", "SQ": "Injection, subcutaneous", "IDINJ": "Injection, intradermal",
           "PO": "Swallow, oral"}  # fmt: skip
_SITES = {"LA": "left arm", "RA": "right arm", "LT": "left thigh", "RT": "right thigh"}


def due(chart: Chart) -> Iterator[tuple[date, str, int]]:
    """(day, vaccine, number of the dose) of the doses that fall into the life and the records of this person."""
    person, dice = chart.person, chart.dice
    late = {
        age: dice.between(0, 12 if age else 1) for age in sorted({age for ages in SCHEDULE.values() for age in ages})
    }
    for key, ages in SCHEDULE.items():
        for number, age in enumerate(ages, 1):
            yield add_months(person.born, age) + timedelta(days=late[age]), key, number
    if person.sex == "female" or person.born.year >= 2014:
        yield add_months(person.born, 9 * 12 + dice.between(0, 10)), "papilloma", 1
    if person.born.year <= 2010 and dice.chance(0.82):
        first = date(2021, 3 if person.age(date(2021, 3, 1)) >= 60 else 7, dice.between(1, 28))
        for number, gap in enumerate(range(dice.weighted(((2, 5), (3, 4), (1, 1)))), 1):
            yield first + timedelta(days=gap * dice.between(28, 150)), "covid", number
    if person.age(person.last_day) >= 60:
        for year in range(person.first_day.year + 1, person.last_day.year + 1):
            if dice.chance(0.5):
                yield date(year, 5, dice.between(1, 30)), "influenza", 1
    elif person.age(person.last_day) >= 18 and dice.chance(0.35):
        yield dice.day(person.first_day, person.last_day), "tetanus", 1


def write(chart: Chart) -> None:
    """Write the doses, given or refused, by date."""
    person = chart.person
    remembered = person.first_day if person.age(person.first_day) >= 6 else person.born
    first = min(remembered, date(2021, 3, 1)) if person.age(UNTIL) >= 18 else remembered
    for day, key, number in sorted(due(chart)):
        if first <= day <= min(person.last_day, UNTIL):
            give(chart, day, key, number)


def give(chart: Chart, day: date, key: str, number: int) -> None:
    """Write one Immunization."""
    dice, vaccine = chart.dice, VACCINES[key]
    at = at_hour(day, dice.between(8, 15), dice.between(0, 59))
    elements: Resource = {
        "status": "completed",
        "vaccineCode": concept(vaccine.text, coding(CVX, vaccine.cvx, vaccine.display)),
        "patient": chart.subject(),
        "occurrenceDateTime": instant(at),
        "primarySource": True,
        "location": dice.pick(chart.clinic.places["vaccination"]).reference(),
    }
    kind = dice.weighted((("given", 95), ("refused", 2), ("remembered", 3)))
    if kind == "refused":
        elements["status"] = "not-done"
        elements["statusReason"] = concept(
            "El acudiente no autoriza" if chart.person.age(day) < 18 else "El paciente no autoriza",
            coding(TERMINOLOGY + "v3-ActReason", "PATOBJ", "patient objection"),
        )
    elif kind == "remembered":
        elements.update(_remembered(day, dice.chance(0.5)))
    else:
        elements.update(_given(chart, vaccine, at.date(), number))
    chart.add("Immunization", max(at, at_hour(chart.person.first_day)), elements)


def _remembered(day: date, vague: bool) -> Resource:
    origin = coding(TERMINOLOGY + "immunization-origin", "record", "Other Record")
    return {
        "occurrenceDateTime": day.isoformat()[: 4 if vague else 7],
        "primarySource": False,
        "reportOrigin": concept("Carné de vacunación", origin),
    }


def _given(chart: Chart, vaccine: Vaccine, day: date, number: int) -> Resource:
    dice = chart.dice
    child = chart.person.age(day) < 2
    site = dice.pick(("LT", "RT") if child else ("LA", "RA"))
    oral = vaccine.route == "PO"
    diseases = [concept(None, coding(SNOMED, *_DISEASES[disease])) for disease in vaccine.diseases]
    return {
        "lotNumber": f"{dice.pick('ABCDEFGHKM')}{dice.digits(5)}",
        "expirationDate": (day + timedelta(days=dice.between(90, 500))).isoformat(),
        "site": None if oral else concept(None, coding(TERMINOLOGY + "v3-ActSite", site, _SITES[site])),
        "route": concept(None, coding(TERMINOLOGY + "v3-RouteOfAdministration", vaccine.route, _ROUTES[vaccine.route])),
        "doseQuantity": quantity(Decimal(vaccine.dose), "mL"),
        "performer": [{"actor": chart.staff(chart.clinic, "nursing").reference()}],
        "protocolApplied": [{"targetDisease": diseases, "doseNumberPositiveInt": number}],
    }
