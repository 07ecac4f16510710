"""Prescriptions (https://hl7.org/fhir/R4/medicationrequest.html): what is given for which problem."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from .chart import Chart, Visit
from .elements import ATC, SNOMED, TERMINOLOGY, Resource, coding, concept, instant, quantity, reference


@dataclass(frozen=True, slots=True)
class Drug:
    """ATC code, name and strength; the dose, how often a day, for how many days (None: always)."""

    atc: str
    name: str
    form: str
    dose: str
    unit: str
    daily: int
    days: int | None
    route: str = "oral"
    group: str = ""
    as_needed: bool = False


ROUTES = {
    "oral": ("26643006", "Oral route", "Vía oral"),
    "inhaled": ("447694001", "Respiratory tract route", "Vía inhalatoria"),
    "subcutaneous": ("34206005", "Subcutaneous route", "Vía subcutánea"),
    "intramuscular": ("78421000", "Intramuscular route", "Vía intramuscular"),
    "intravenous": ("47625008", "Intravenous route", "Vía intravenosa"),
    "topical": ("6064005", "Topical route", "Vía tópica"),
}
DRUGS = {
    "losartan": Drug("C09CA01", "Losartán 50 mg", "tableta", "50", "mg", 1, None),
    "enalapril": Drug("C09AA02", "Enalapril 20 mg", "tableta", "20", "mg", 1, None),
    "amlodipine": Drug("C08CA01", "Amlodipino 5 mg", "tableta", "5", "mg", 1, None),
    "hydrochlorothiazide": Drug("C03AA03", "Hidroclorotiazida 25 mg", "tableta", "25", "mg", 1, None),
    "metformin": Drug("A10BA02", "Metformina 850 mg", "tableta", "850", "mg", 2, None),
    "empagliflozin": Drug("A10BK03", "Empagliflozina 10 mg", "tableta", "10", "mg", 1, None),
    "glargine": Drug("A10AE04", "Insulina glargina 100 UI/mL", "solución inyectable", "18", "[iU]", 1, None,
                     "subcutaneous"),
    "atorvastatin": Drug("C10AA05", "Atorvastatina 20 mg", "tableta", "20", "mg", 1, None),
    "levothyroxine": Drug("H03AA01", "Levotiroxina 75 mcg", "tableta", "75", "ug", 1, None),
    "salbutamol": Drug("R03AC02", "Salbutamol 100 mcg/dosis", "inhalador", "200", "ug", 4, None, "inhaled", "", True),
    "beclomethasone": Drug("R03BA01", "Beclometasona 250 mcg/dosis", "inhalador", "250", "ug", 2, None, "inhaled"),
    "tiotropium": Drug("R03BB04", "Tiotropio 18 mcg", "cápsula para inhalar", "18", "ug", 1, None, "inhaled"),
    "sertraline": Drug("N06AB06", "Sertralina 50 mg", "tableta", "50", "mg", 1, None),
    "fluoxetine": Drug("N06AB03", "Fluoxetina 20 mg", "cápsula", "20", "mg", 1, None),
    "sumatriptan": Drug("N02CC01", "Sumatriptán 50 mg", "tableta", "50", "mg", 1, None, "oral", "", True),
    "omeprazole": Drug("A02BC01", "Omeprazol 20 mg", "cápsula", "20", "mg", 1, None),
    "aspirin": Drug("B01AC06", "Ácido acetilsalicílico 100 mg", "tableta", "100", "mg", 1, None, "oral", "nsaid"),
    "clopidogrel": Drug("B01AC04", "Clopidogrel 75 mg", "tableta", "75", "mg", 1, None),
    "metoprolol": Drug("C07AB02", "Metoprolol tartrato 50 mg", "tableta", "50", "mg", 2, None),
    "carvedilol": Drug("C07AG02", "Carvedilol 6.25 mg", "tableta", "6.25", "mg", 2, None),
    "furosemide": Drug("C03CA01", "Furosemida 40 mg", "tableta", "40", "mg", 1, None),
    "apixaban": Drug("B01AF02", "Apixabán 5 mg", "tableta", "5", "mg", 2, None),
    "alendronate": Drug("M05BA04", "Ácido alendrónico 70 mg", "tableta", "70", "mg", 1, None),
    "calcium": Drug("A12AX", "Carbonato de calcio 600 mg + vitamina D 200 UI", "tableta", "600", "mg", 2, None),
    "tamsulosin": Drug("G04CA02", "Tamsulosina 0.4 mg", "cápsula", "0.4", "mg", 1, None),
    "chloroquine": Drug("P01BA01", "Cloroquina 250 mg", "tableta", "250", "mg", 1, None),
    "loratadine": Drug("R06AX13", "Loratadina 10 mg", "tableta", "10", "mg", 1, 30),
    "hydrocortisone": Drug("D07AA02", "Hidrocortisona 1 %", "crema", "1", "g", 2, 10, "topical"),
    "acetaminophen": Drug("N02BE01", "Acetaminofén 500 mg", "tableta", "1000", "mg", 3, 5, "oral", "", True),
    "acetaminophen-child": Drug("N02BE01", "Acetaminofén 150 mg/5 mL", "jarabe", "7.5", "mL", 4, 4, "oral", "", True),
    "naproxen": Drug("M01AE02", "Naproxeno 250 mg", "tableta", "250", "mg", 2, 5, "oral", "nsaid"),
    "diclofenac": Drug("M01AB05", "Diclofenaco 75 mg/3 mL", "solución inyectable", "75", "mg", 1, 1, "intramuscular",
                       "nsaid"),
    "amoxicillin": Drug("J01CA04", "Amoxicilina 500 mg", "cápsula", "500", "mg", 3, 7, "oral", "penicillin"),
    "amoxicillin-child": Drug("J01CA04", "Amoxicilina 250 mg/5 mL", "suspensión", "7.5", "mL", 3, 7, "oral",
                              "penicillin"),
    "azithromycin": Drug("J01FA10", "Azitromicina 500 mg", "tableta", "500", "mg", 1, 3),
    "nitrofurantoin": Drug("J01XE01", "Nitrofurantoína 100 mg", "cápsula", "100", "mg", 4, 7),
    "ampicillin-sulbactam": Drug("J01CR01", "Ampicilina/sulbactam 1.5 g", "polvo para inyección", "3", "g", 4, 7,
                                 "intravenous", "penicillin"),
    "clarithromycin": Drug("J01FA09", "Claritromicina 500 mg", "polvo para inyección", "500", "mg", 2, 7,
                           "intravenous"),
    "cephalexin": Drug("J01DB01", "Cefalexina 500 mg", "cápsula", "500", "mg", 4, 7),
    "oral-salts": Drug("A07CA", "Sales de rehidratación oral", "polvo", "250", "mL", 4, 3),
    "zinc": Drug("A12CB01", "Sulfato de zinc 2 mg/mL", "jarabe", "10", "mL", 1, 14),
    "ferrous-sulfate": Drug("B03AA07", "Sulfato ferroso 300 mg", "tableta", "300", "mg", 1, 90),
    "folic-acid": Drug("B03BB01", "Ácido fólico 1 mg", "tableta", "1", "mg", 1, 180),
    "prednisolone": Drug("H02AB06", "Prednisolona 5 mg", "tableta", "40", "mg", 1, 5),
}  # fmt: skip
FIRST = {
    "hypertension": (("losartan", 0.55), ("enalapril", 0.3), ("amlodipine", 0.15)),
    "diabetes": (("metformin", 1.0),),
    "dyslipidemia": (("atorvastatin", 1.0),),
    "hypothyroidism": (("levothyroxine", 1.0),),
    "asthma": (("beclomethasone", 1.0),),
    "copd": (("tiotropium", 1.0),),
    "depression": (("sertraline", 0.6), ("fluoxetine", 0.4)),
    "anxiety": (("sertraline", 1.0),),
    "migraine": (("sumatriptan", 1.0),),
    "reflux": (("omeprazole", 1.0),),
    "coronary": (("aspirin", 1.0),),
    "heart-failure": (("carvedilol", 1.0),),
    "atrial-fibrillation": (("apixaban", 1.0),),
    "osteoporosis": (("alendronate", 1.0),),
    "prostate": (("tamsulosin", 1.0),),
    "arthritis": (("chloroquine", 1.0),),
    "dermatitis": (("hydrocortisone", 1.0),),
    "rhinitis": (("loratadine", 1.0),),
    "osteoarthritis": (("acetaminophen", 1.0),),
}
ADDED = {
    "hypertension": ("hydrochlorothiazide", 0.35),
    "diabetes": ("empagliflozin", 0.35),
    "asthma": ("salbutamol", 0.9),
    "copd": ("salbutamol", 0.7),
    "coronary": ("metoprolol", 0.7),
    "heart-failure": ("furosemide", 0.8),
    "osteoporosis": ("calcium", 0.8),
}
ACUTE = {
    "pharyngitis": ("acetaminophen",),
    "cold": ("acetaminophen",),
    "otitis": ("amoxicillin", "acetaminophen"),
    "bronchitis": ("acetaminophen",),
    "gastroenteritis": ("oral-salts",),
    "urinary-infection": ("nitrofurantoin",),
    "dengue": ("acetaminophen", "oral-salts"),
    "back-pain": ("naproxen",),
    "ankle-sprain": ("naproxen",),
    "headache": ("acetaminophen",),
    "covid": ("acetaminophen",),
    "varicella": ("acetaminophen",),
    "hand-wound": ("cephalexin",),
    "asthma-crisis": ("prednisolone",),
    "anemia": ("ferrous-sulfate",),
    "pneumonia": ("ampicillin-sulbactam",),
    "appendicitis": ("acetaminophen",),
    "gallstones": ("acetaminophen",),
    "pregnancy": ("folic-acid", "ferrous-sulfate"),
    "infarction": ("clopidogrel",),
    "stroke": ("aspirin",),
}
_CHILD = {"acetaminophen": "acetaminophen-child", "amoxicillin": "amoxicillin-child"}
_INSTEAD = {"penicillin": {"ampicillin-sulbactam": "clarithromycin"}, "nsaid": {"aspirin": "clopidogrel"}}
_UNITS = {"[iU]": "UI", "ug": "mcg"}
_PACKED = {"tableta": "{tableta}", "cápsula": "{capsula}"}


def suitable(chart: Chart, key: str, age: int) -> str:
    """The drug itself, or what this patient can take instead."""
    group = DRUGS[key].group
    if group and group in chart.allergies:
        return _INSTEAD[group].get(key, "azithromycin" if group == "penicillin" else "acetaminophen")
    if age >= 12:
        return key
    if key == "prednisolone":
        return "beclomethasone"
    return _CHILD.get(key, "acetaminophen-child" if DRUGS[key].group == "nsaid" else key)


def _dosage(drug: Drug, rate: str | None = None) -> Resource:
    code, display, text = ROUTES[drug.route]
    unit = _UNITS.get(drug.unit, drug.unit)
    repeat: Resource = {"frequency": drug.daily, "period": 1, "periodUnit": "d"}
    often = "una vez al día" if drug.daily == 1 else f"cada {24 // drug.daily} horas"
    if drug.atc == "M05BA04":
        repeat["periodUnit"], often = "wk", "una vez por semana"
    if drug.days:
        repeat["boundsDuration"] = quantity(Decimal(drug.days), "días", "d")
        often += f" por {drug.days} día{'s' if drug.days > 1 else ''}"
    needed = ", si lo necesita" if drug.as_needed else ""
    dosage: Resource = {
        "text": f"{drug.dose} {unit} por {text.lower()} {often}{needed}".replace("por vía", "vía"),
        "timing": {"repeat": repeat},
        "asNeededBoolean": drug.as_needed,
        "route": concept(text, coding(SNOMED, code, display)),
        "doseAndRate": [{"doseQuantity": quantity(Decimal(drug.dose), unit, drug.unit)}],
    }
    return dosage


def _dispense(drug: Drug, visit: Visit) -> Resource:
    days = drug.days or 30
    end = visit.at + timedelta(days=days if drug.days else 180)
    supply: Resource = {
        "validityPeriod": {"start": instant(visit.at), "end": instant(end)},
        "numberOfRepeatsAllowed": 0 if drug.days else 5,
        "expectedSupplyDuration": quantity(Decimal(days), "días", "d"),
    }
    if drug.form in _PACKED:
        supply["quantity"] = quantity(Decimal(drug.daily * days), drug.form + "s", _PACKED[drug.form])
    return supply


def prescribe(chart: Chart, visit: Visit, key: str, condition: Resource, previous: Resource | None = None) -> Resource:
    """Write the MedicationRequest of a drug for that condition."""
    drug = DRUGS[key]
    named = concept(f"{drug.name} ({drug.form})", coding(ATC, drug.atc, drug.name.split()[0]))
    contained = None
    medicine: Resource = {"medicationCodeableConcept": named}
    if drug.route in ("subcutaneous", "intravenous"):
        contained = [{"resourceType": "Medication", "id": "med", "code": named, "form": {"text": drug.form}}]
        medicine = {"medicationReference": {"reference": "#med", "display": drug.name}}
    over = drug.days is not None and (chart.person.last_day - visit.at.date()).days > drug.days
    request = chart.add("MedicationRequest", visit.at, {
        "contained": contained,
        "status": "completed" if over or chart.person.died else "active",
        "intent": "order",
        "category": [concept(None, coding(
            TERMINOLOGY + "medicationrequest-category", "inpatient" if visit.kind == "hospital" else "outpatient"))],
        **medicine,
        "subject": chart.subject(),
        "encounter": visit.reference(),
        "authoredOn": instant(visit.at),
        "requester": visit.staff.reference(),
        "reasonReference": [reference(condition)] if "code" in condition else None,
        "courseOfTherapyType": concept(None, coding(
            TERMINOLOGY + "medicationrequest-course-of-therapy", "acute" if drug.days else "continuous")),
        "dosageInstruction": [_dosage(drug)],
        "dispenseRequest": _dispense(drug, visit),
        "priorPrescription": reference(previous) if previous else None,
    })  # fmt: skip
    visit.orders.append(f"{drug.name}: {request['dosageInstruction'][0]['text']}")
    if drug.days is None:
        chart.treatment[key] = request
    return request


def treat_acute(chart: Chart, visit: Visit, problem: str, condition: Resource) -> None:
    """The usual prescriptions of an acute problem."""
    age = chart.person.age(visit.at.date())
    for key in dict.fromkeys(suitable(chart, drug, age) for drug in ACUTE.get(problem, ())):
        if key not in chart.treatment:
            prescribe(chart, visit, key, condition)
    if problem == "gastroenteritis" and age < 5:
        prescribe(chart, visit, "zinc", condition)


def begin(chart: Chart, visit: Visit, problem: str, condition: Resource) -> None:
    """The first treatment of a chronic problem."""
    age = chart.person.age(visit.at.date())
    if problem not in FIRST:
        return
    first = suitable(chart, chart.dice.weighted(FIRST[problem]), age)
    if first not in chart.treatment:
        prescribe(chart, visit, first, condition)
    added, share = ADDED.get(problem, ("", 0.0))
    if added and age >= 5 and added not in chart.treatment and chart.dice.chance(share):
        prescribe(chart, visit, added, condition)


def stop(request: Resource, reason: str, status: str = "stopped") -> None:
    """End a prescription that was written before."""
    request["status"] = status
    request["statusReason"] = {"text": reason}


def review(chart: Chart, visit: Visit, problem: str) -> None:
    """At a later visit: change what is not tolerated, add what is missing, renew what runs out."""
    condition, age = chart.conditions[problem], chart.person.age(visit.at.date())
    codes = {drug for drug, _ in FIRST.get(problem, ())}
    for key in [drug for drug in chart.treatment if drug in codes]:
        request = chart.treatment[key]
        if problem == "hypertension" and key == "enalapril" and chart.dice.chance(0.25):
            stop(request, "Tos seca persistente con el inhibidor de la ECA")
            del chart.treatment[key]
            if "losartan" not in chart.treatment:
                prescribe(chart, visit, "losartan", condition)
        elif chart.dice.chance(0.4) and (visit.at.isoformat() > request["authoredOn"]):
            request["status"] = "completed"
            prescribe(chart, visit, key, condition, previous=request)
    if problem == "diabetes" and "glargine" not in chart.treatment and age > 45 and chart.dice.chance(0.08):
        prescribe(chart, visit, "glargine", condition)
