"""Allergies (https://hl7.org/fhir/R4/allergyintolerance.html)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from .chart import Chart, Visit
from .elements import SNOMED, Resource, coding, concept, hl7, instant


@dataclass(frozen=True, slots=True)
class Allergen:
    """Substance, category, kind, how often against the others, usual reactions, group of drugs to avoid."""

    snomed: str
    display: str
    text: str
    category: str
    kind: str
    weight: float
    reactions: tuple[str, ...]
    group: str = ""


ALLERGENS = (
    Allergen("764146007", "Penicillin", "Penicilinas", "medication", "allergy", 6, ("urticaria", "anaphylaxis"),
             "penicillin"),
    Allergen("372665008", "Non-steroidal anti-inflammatory agent", "Antiinflamatorios no esteroideos", "medication",
             "intolerance", 4, ("gastritis", "urticaria"), "nsaid"),
    Allergen("387406002", "Sulfonamide", "Sulfonamidas", "medication", "allergy", 2, ("rash",)),
    Allergen("762952008", "Peanut", "Maní", "food", "allergy", 1.5, ("urticaria", "anaphylaxis")),
    Allergen("735029006", "Shellfish", "Mariscos", "food", "allergy", 3, ("urticaria", "rash")),
    Allergen("3718001", "Cow's milk", "Leche de vaca", "food", "intolerance", 2, ("vomiting", "rash")),
    Allergen("260147004", "House dust mite", "Ácaros del polvo", "environment", "allergy", 5, ("sneezing",
             "wheezing")),
    Allergen("256277009", "Grass pollen", "Polen de gramíneas", "environment", "allergy", 2, ("sneezing",)),
    Allergen("111088007", "Latex", "Látex", "environment", "allergy", 1, ("itching", "rash")),
)  # fmt: skip
REACTIONS = {
    "urticaria": ("126485001", "Urticaria", "Urticaria"),
    "anaphylaxis": ("39579001", "Anaphylaxis", "Anafilaxia"),
    "rash": ("271807003", "Eruption of skin", "Erupción cutánea"),
    "itching": ("418363000", "Itching of skin", "Prurito"),
    "gastritis": ("4556007", "Gastritis", "Gastritis"),
    "vomiting": ("422400008", "Vomiting", "Vómito"),
    "sneezing": ("162367006", "Sneezing", "Estornudos"),
    "wheezing": ("56018004", "Wheezing", "Sibilancias"),
}
_NONE = ("716186003", "No known allergy", "Sin alergias conocidas")


def write(chart: Chart, visit: Visit) -> None:
    """Ask about allergies at the first visit."""
    dice = chart.dice
    atopic = any(problem in chart.chronic for problem in ("asthma", "rhinitis", "dermatitis"))
    if dice.chance(0.55 if atopic else 0.2):
        chosen = [dice.weighted([(allergen, allergen.weight) for allergen in ALLERGENS])]
        if dice.chance(0.2):
            chosen = dice.sample(ALLERGENS, 2)
        for allergen in chosen:
            _allergy(chart, visit, allergen)
    elif dice.chance(0.4):
        _none_known(chart, visit)


def _common(chart: Chart, visit: Visit) -> Resource:
    return {
        "patient": chart.subject(),
        "encounter": visit.reference(),
        "recordedDate": instant(visit.at),
        "recorder": visit.staff.reference(),
    }


def _allergy(chart: Chart, visit: Visit, allergen: Allergen) -> None:
    dice, person = chart.dice, chart.person
    mistaken = dice.chance(0.03)
    resolved = allergen.category == "food" and not mistaken and dice.chance(0.15)
    if allergen.group and not mistaken:
        chart.allergies.add(allergen.group)
    verified = "entered-in-error" if mistaken else dice.weighted((("confirmed", 70), ("unconfirmed", 30)))
    begun = dice.day(date(max(person.born.year, visit.at.year - 15), person.born.month, 1), visit.at.date())
    begun = max(begun, person.born)
    severe = "anaphylaxis" in allergen.reactions and dice.chance(0.35)
    chart.add("AllergyIntolerance", visit.at, {
        "clinicalStatus": None if mistaken else hl7("allergyintolerance-clinical",
                                                    "resolved" if resolved else "active"),
        "verificationStatus": hl7("allergyintolerance-verification", verified),
        "type": allergen.kind,
        "category": [allergen.category],
        "criticality": "high" if severe else dice.pick(("low", "low", "unable-to-assess")),
        "code": concept(allergen.text, coding(SNOMED, allergen.snomed, allergen.display)),
        **_common(chart, visit),
        "onsetDateTime": begun.isoformat()[: dice.pick((4, 7))] if dice.chance(0.6) else None,
        "asserter": chart.subject() if dice.chance(0.4) else None,
        "reaction": [_reaction(chart, allergen, severe)],
    })  # fmt: skip


def _reaction(chart: Chart, allergen: Allergen, severe: bool) -> Resource:
    key = "anaphylaxis" if severe else chart.dice.pick([name for name in allergen.reactions if name != "anaphylaxis"])
    code, display, text = REACTIONS[key]
    return {
        "manifestation": [concept(text, coding(SNOMED, code, display))],
        "severity": "severe" if severe else chart.dice.pick(("mild", "moderate")),
    }


def _none_known(chart: Chart, visit: Visit) -> None:
    code, display, text = _NONE
    chart.add("AllergyIntolerance", visit.at, {
        "clinicalStatus": hl7("allergyintolerance-clinical", "active"),
        "verificationStatus": hl7("allergyintolerance-verification", "confirmed"),
        "code": concept(text, coding(SNOMED, code, display)),
        **_common(chart, visit),
    })  # fmt: skip
