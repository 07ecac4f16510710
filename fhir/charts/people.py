"""The person behind a chart: Patient, RelatedPerson and Coverage.

https://hl7.org/fhir/R4/patient.html, relatedperson.html, coverage.html
"""

from __future__ import annotations

from datetime import date, timedelta

from .chart import Chart, Person
from .elements import (
    IDENTIFIER,
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
    years,
)
from .facilities import street_address
from .names import BIRTHPLACES, MAIL_HOSTS, MEN, SURNAMES, WOMEN

AGE_BANDS = (((0, 1), 4), ((1, 5), 9), ((5, 17), 10), ((18, 39), 27), ((40, 59), 25), ((60, 79), 19), ((80, 96), 6))
DOCUMENTS = {
    "RC": ("rc", "Registro civil de nacimiento"),
    "TI": ("ti", "Tarjeta de identidad"),
    "CC": ("cc", "Cédula de ciudadanía"),
    "CE": ("ce", "Cédula de extranjería"),
    "PT": ("ppt", "Permiso por protección temporal"),
    "PA": ("passport", "Pasaporte"),
}
SMOKING = (("never", 70), ("former", 19), ("current", 11))
MARITAL = (("S", "Never Married"), ("M", "Married"), ("T", "Domestic partner"), ("D", "Divorced"), ("W", "Widowed"))
MARITAL_TEXT = {"S": "Soltero(a)", "M": "Casado(a)", "T": "Unión libre", "D": "Divorciado(a)", "W": "Viudo(a)"}
RELATIVES = {
    "MTH": ("mother", "Madre"),
    "FTH": ("father", "Padre"),
    "SPS": ("spouse", "Cónyuge"),
    "CHILD": ("child", "Hijo(a)"),
    "SIB": ("sibling", "Hermano(a)"),
}
_FATHERS = "http://hl7.org/fhir/StructureDefinition/humanname-fathers-family"
_MOTHERS = "http://hl7.org/fhir/StructureDefinition/humanname-mothers-family"
_BIRTHPLACE = "http://hl7.org/fhir/StructureDefinition/patient-birthPlace"
_BIRTHTIME = "http://hl7.org/fhir/StructureDefinition/patient-birthTime"


def draw(chart: Chart) -> None:
    """Decide who the patient is, and write Patient, RelatedPerson and Coverage."""
    chart.person = _person(chart)
    chart.patient = _patient(chart)
    _relatives(chart)
    _coverage(chart)


def _person(chart: Chart) -> Person:
    dice = chart.dice
    first, last = (52, 58) if chart.index == 0 else dice.weighted(AGE_BANDS)
    born = dice.day(date(UNTIL.year - last - 1, 11, 1), add_months(UNTIL, -12 * first) - timedelta(days=20))
    sex = "female" if chart.index == 0 or dice.chance(0.53) else "male"
    given = " ".join(dice.sample(WOMEN if sex == "female" else MEN, 2 if dice.chance(0.6) else 1))
    surnames = (dice.pick(SURNAMES), dice.pick(SURNAMES))
    age = years(born, UNTIL)
    first_day = max(born, add_months(UNTIL, -dice.between(38, 100)))
    died = None
    if chart.index and dice.chance(0.008 if age < 60 else 0.13 if age < 80 else 0.34):
        died = dice.day(min(UNTIL, add_months(first_day, 14)), UNTIL - timedelta(days=3))
    return Person(
        sex=sex,
        born=born,
        given=given,
        surnames=surnames,
        died=died,
        first_day=first_day,
        height_factor=dice.normal(0.972, 0.03),
        build=dice.normal(26.2, 3.8),
        systolic=dice.normal(0, 6),
        diastolic=dice.normal(0, 4),
        smoker=dice.weighted(SMOKING) if age >= 18 else "never",
    )


def _document(chart: Chart, age: int) -> str:
    if age < 7:
        return "RC"
    if age < 18:
        return "TI"
    return chart.dice.weighted((("CC", 93), ("CE", 2.5), ("PT", 3), ("PA", 1.5)))


def _identifier(kind: str, value: str, use: str = "official") -> Resource:
    system, text = DOCUMENTS[kind]
    code = ("PPN", "Passport number") if kind == "PA" else ("NI", "National unique individual identifier")
    return {
        "use": use,
        "type": concept(text, coding(TERMINOLOGY + "v2-0203", *code)),
        "system": IDENTIFIER + system,
        "value": value,
    }


def _identifiers(chart: Chart) -> list[Resource]:
    dice, person = chart.dice, chart.person
    kind = _document(chart, person.age(person.last_day))
    number = dice.digits(6) if kind in ("CE", "PT") else "AV" + dice.digits(6) if kind == "PA" else "1" + dice.digits(9)
    if kind == "CC" and person.born.year < 1985:
        number = dice.digits(8)
    found = [_identifier(kind, number)]
    if kind == "TI" and person.born.year > 2004:
        found.append(_identifier("RC", number, "old") | {"period": {"end": str(person.born.year + 7)}})
    record = f"HC-{chart.seed % 1000:03d}{chart.index:07d}"
    found.append(
        {
            "use": "usual",
            "type": hl7("v2-0203", "MR", "Medical record number"),
            "system": IDENTIFIER + "medical-record",
            "value": record,
            "assigner": chart.clinic.reference(),
        }
    )
    return found


def _name(chart: Chart) -> list[Resource]:
    person = chart.person
    father, mother = person.surnames
    name: Resource = {
        "use": "official",
        "text": person.name,
        "family": f"{father} {mother}",
        "given": person.given.split(),
    }
    if chart.dice.chance(0.5):
        name["_family"] = {
            "extension": [{"url": _FATHERS, "valueString": father}, {"url": _MOTHERS, "valueString": mother}]
        }
    names = [name]
    if chart.dice.chance(0.12):
        names.append({"use": "nickname", "text": f"{person.given[:3]}i", "given": [f"{person.given[:3]}i"]})
    return names


def _telecom(chart: Chart) -> list[Resource]:
    dice, person = chart.dice, chart.person
    found = [{"system": "phone", "value": f"+57 3{dice.between(0, 2)}{dice.digits(8)}", "use": "mobile", "rank": 1}]
    if dice.chance(0.35):
        found.append({"system": "phone", "value": f"+57 {chart.clinic.city.prefix} {dice.digits(7)}", "use": "home"})
    if person.age(UNTIL) >= 16 and dice.chance(0.55):
        user = f"{person.given[0]}{person.surnames[0]}{dice.between(1, 99)}".lower()
        plain = user.translate(str.maketrans("áéíóúñü", "aeiounu"))
        found.append({"system": "email", "value": f"{plain}@{dice.pick(MAIL_HOSTS)}", "use": "home"})
    return found


def _birth(chart: Chart) -> Resource:
    """birthDate, of the precision that is known, with the hour of birth where the birth is recent."""
    person, dice = chart.person, chart.dice
    if person.age(UNTIL) > 75 and dice.chance(0.2):
        return {"birthDate": person.born.isoformat()[: dice.pick((4, 7))]}
    birth: Resource = {"birthDate": person.born.isoformat()}
    if person.born > date(2018, 1, 1):
        at = at_hour(person.born, dice.between(0, 23), dice.between(0, 59))
        birth["_birthDate"] = {"extension": [{"url": _BIRTHTIME, "valueDateTime": instant(at)}]}
    return birth


def _deceased(chart: Chart) -> Resource:
    person, dice = chart.person, chart.dice
    if person.died is None:
        return {"deceasedBoolean": False} if dice.chance(0.1) else {}
    if dice.chance(0.1):
        return {"deceasedDateTime": person.died.isoformat()}
    return {"deceasedDateTime": instant(at_hour(person.died, 19, dice.between(0, 59)))}


def _marital(chart: Chart, age: int) -> Resource | None:
    if age < 18:
        return None
    weights = (60, 8, 30, 2, 0.1) if age < 30 else (22, 38, 28, 9, 3) if age < 65 else (12, 44, 10, 8, 26)
    code, display = chart.dice.weighted(tuple(zip(MARITAL, weights, strict=True)))
    return concept(MARITAL_TEXT[code], coding(TERMINOLOGY + "v3-MaritalStatus", code, display))


def _patient(chart: Chart) -> Resource:
    dice, person = chart.dice, chart.person
    age = person.age(person.last_day)
    doctor = chart.staff(chart.clinic, "pediatrics" if age < 15 else "family")
    birth = _birth(chart)
    return chart.add("Patient", person.first_day, {
        "extension": [{"url": _BIRTHPLACE, "valueAddress": {"city": dice.pick(BIRTHPLACES), "country": "CO"}}]
        if dice.chance(0.4) else None,
        "identifier": _identifiers(chart),
        "active": True,
        "name": _name(chart),
        "telecom": _telecom(chart),
        "gender": person.sex,
        **birth,
        **_deceased(chart),
        "address": [street_address(dice, chart.clinic.city, "home")],
        "maritalStatus": _marital(chart, age),
        "multipleBirthInteger": dice.between(1, 2) if dice.chance(0.02) else None,
        "communication": [{"language": concept("Español", coding("urn:ietf:bcp:47", "es-CO", "Spanish (Colombia)")),
                           "preferred": True}],
        "generalPractitioner": [doctor.reference()],
        "managingOrganization": chart.clinic.reference(),
    })  # fmt: skip


def _relative(chart: Chart, code: str) -> Resource:
    dice, person = chart.dice, chart.person
    display, text = RELATIVES[code]
    woman = code == "MTH" or (code != "FTH" and dice.chance(0.5))
    if code == "SPS":
        woman = person.sex == "male"
    inherited = {"MTH": person.surnames[1], "FTH": person.surnames[0], "SIB": person.surnames[0]}.get(code)
    family = f"{inherited or dice.pick(SURNAMES)} {dice.pick(SURNAMES)}"
    given = dice.pick(WOMEN if woman else MEN)
    gap = {"MTH": -26, "FTH": -29, "SPS": 0, "CHILD": 27, "SIB": 2}[code] + dice.between(-4, 4)
    return chart.add("RelatedPerson", person.first_day, {
        "active": True,
        "patient": chart.subject(),
        "relationship": [concept(text, coding(TERMINOLOGY + "v3-RoleCode", code, display))],
        "name": [{"use": "official", "text": f"{given} {family}", "family": family, "given": [given]}],
        "telecom": [{"system": "phone", "value": f"+57 31{dice.digits(8)}", "use": "mobile"}],
        "gender": "female" if woman else "male",
        "birthDate": str(person.born.year + gap),
        "address": [dict(chart.patient["address"][0])],
    })  # fmt: skip


def _relatives(chart: Chart) -> None:
    dice, age = chart.dice, chart.person.age(UNTIL)
    if age < 18:
        chosen = ["MTH", "FTH"] if dice.chance(0.55) else ["MTH"]
    else:
        chosen = [dice.pick(("SPS", "SIB") if age < 50 else ("SPS", "CHILD", "CHILD"))] if dice.chance(0.6) else []
    for code in chosen:
        relative = _relative(chart, code)
        contact = {name: relative[name] for name in ("relationship", "telecom", "gender")}
        contact["name"] = relative["name"][0]
        chart.patient.setdefault("contact", []).append(contact)


def _coverage(chart: Chart) -> None:
    dice = chart.dice
    insurer = dice.pick(chart.facility.insurers)
    regime = "Régimen contributivo" if dice.chance(0.55) else "Régimen subsidiado"
    child = chart.person.age(UNTIL) < 18
    chart.add("Coverage", chart.person.first_day, {
        "identifier": [{"system": IDENTIFIER + "policy", "value": dice.digits(10)}],
        "status": "cancelled" if chart.person.died else "active",
        "type": concept(regime, coding(TERMINOLOGY + "v3-ActCode", "PUBLICPOL", "public healthcare")),
        "subscriberId": dice.digits(10),
        "beneficiary": chart.subject(),
        "relationship": hl7("subscriber-relationship", "child" if child else "self"),
        "period": period(chart.person.first_day, chart.person.died),
        "payor": [reference(insurer, insurer["name"])],
    })  # fmt: skip
