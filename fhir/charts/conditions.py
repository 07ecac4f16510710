"""Problems and diagnoses (https://hl7.org/fhir/R4/condition.html), each with SNOMED CT and ICD-10."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from .chart import Chart, Person, Visit
from .elements import (
    ICD10,
    SNOMED,
    TERMINOLOGY,
    Resource,
    add_months,
    at_hour,
    coding,
    concept,
    hl7,
    instant,
)


@dataclass(frozen=True, slots=True)
class Problem:
    """Codes and Spanish name of a problem."""

    snomed: str
    display: str
    icd10: str
    text: str

    def concept(self) -> Resource:
        """Condition.code."""
        return concept(self.text, coding(SNOMED, self.snomed, self.display), coding(ICD10, self.icd10, self.text))


@dataclass(frozen=True, slots=True)
class Chronic(Problem):
    """How common: under 18, 18 to 39, 40 to 59, 60 and over; and the ages at which it begins."""

    shares: tuple[float, float, float, float]
    begins: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Acute(Problem):
    """The ages at which it happens, how often against the others, its length in days, where it is treated."""

    ages: tuple[int, int]
    weight: float
    days: tuple[int, int]
    place: str = "AMB"


CHRONIC = {
    "obesity": Chronic("414916001", "Obesity", "E66.9", "Obesidad", (0.04, 0.15, 0.25, 0.2), (8, 50)),
    "hypertension": Chronic(
        "59621000", "Essential hypertension", "I10", "Hipertensión arterial esencial", (0, 0.04, 0.27, 0.56), (30, 66)
    ),
    "diabetes": Chronic(
        "44054006", "Diabetes mellitus type 2", "E11.9", "Diabetes mellitus tipo 2", (0, 0.015, 0.11, 0.23), (33, 66)
    ),
    "dyslipidemia": Chronic(
        "55822004", "Hyperlipidemia", "E78.5", "Dislipidemia no especificada", (0, 0.04, 0.2, 0.32), (28, 66)
    ),
    "asthma": Chronic("195967001", "Asthma", "J45.9", "Asma", (0.1, 0.05, 0.04, 0.03), (3, 30)),
    "hypothyroidism": Chronic(
        "40930008", "Hypothyroidism", "E03.9", "Hipotiroidismo", (0.005, 0.03, 0.09, 0.14), (20, 60)
    ),
    "copd": Chronic(
        "13645005",
        "Chronic obstructive lung disease",
        "J44.9",
        "Enfermedad pulmonar obstructiva crónica",
        (0, 0, 0.03, 0.1),
        (48, 70),
    ),
    "kidney-disease": Chronic(
        "433144002",
        "Chronic kidney disease stage 3",
        "N18.3",
        "Enfermedad renal crónica, estadio 3",
        (0, 0, 0.01, 0.06),
        (50, 75),
    ),
    "depression": Chronic(
        "35489007", "Depressive disorder", "F32.9", "Episodio depresivo", (0.01, 0.07, 0.07, 0.06), (16, 60)
    ),
    "anxiety": Chronic(
        "197480006", "Anxiety disorder", "F41.9", "Trastorno de ansiedad", (0.01, 0.07, 0.06, 0.03), (16, 50)
    ),
    "migraine": Chronic("37796009", "Migraine", "G43.9", "Migraña", (0.02, 0.09, 0.07, 0.02), (14, 40)),
    "osteoarthritis": Chronic(
        "239873007", "Osteoarthritis of knee", "M17.9", "Gonartrosis", (0, 0, 0.06, 0.26), (46, 70)
    ),
    "reflux": Chronic(
        "235595009",
        "Gastroesophageal reflux disease",
        "K21.9",
        "Enfermedad por reflujo gastroesofágico",
        (0, 0.05, 0.1, 0.12),
        (22, 60),
    ),
    "coronary": Chronic(
        "53741008",
        "Coronary arteriosclerosis",
        "I25.1",
        "Enfermedad aterosclerótica del corazón",
        (0, 0, 0.02, 0.11),
        (48, 72),
    ),
    "heart-failure": Chronic(
        "42343007",
        "Congestive heart failure",
        "I50.0",
        "Insuficiencia cardíaca congestiva",
        (0, 0, 0.004, 0.06),
        (55, 80),
    ),
    "atrial-fibrillation": Chronic(
        "49436004", "Atrial fibrillation", "I48.9", "Fibrilación auricular", (0, 0, 0.005, 0.06), (55, 80)
    ),
    "osteoporosis": Chronic("64859006", "Osteoporosis", "M81.9", "Osteoporosis", (0, 0, 0.02, 0.16), (55, 75)),
    "prostate": Chronic(
        "266569009",
        "Benign prostatic hyperplasia",
        "N40",
        "Hiperplasia de la próstata",
        (0, 0, 0.06, 0.3),
        (50, 72),
    ),
    "arthritis": Chronic(
        "69896004", "Rheumatoid arthritis", "M06.9", "Artritis reumatoide", (0, 0.004, 0.012, 0.015), (28, 60)
    ),
    "dermatitis": Chronic(
        "24079001", "Atopic dermatitis", "L20.9", "Dermatitis atópica", (0.09, 0.02, 0.01, 0), (1, 20)
    ),
    "rhinitis": Chronic("61582004", "Allergic rhinitis", "J30.4", "Rinitis alérgica", (0.14, 0.1, 0.07, 0.04), (4, 35)),
}

ACUTE = {
    "pharyngitis": Acute(
        "195662009", "Acute viral pharyngitis", "J02.9", "Faringitis aguda", (2, 60), 10, (5, 9)
    ),
    "cold": Acute("82272006", "Common cold", "J00", "Rinofaringitis aguda (resfriado común)", (0, 90), 12, (4, 9)),
    "otitis": Acute("65363002", "Otitis media", "H66.9", "Otitis media", (0, 9), 9, (7, 12)),
    "bronchitis": Acute("10509002", "Acute bronchitis", "J20.9", "Bronquitis aguda", (2, 90), 5, (8, 16)),
    "gastroenteritis": Acute(
        "25374005", "Gastroenteritis", "A09", "Gastroenteritis de presunto origen infeccioso", (0, 80), 9, (3, 6)
    ),
    "urinary-infection": Acute(
        "68566005", "Urinary tract infectious disease", "N39.0", "Infección de vías urinarias", (16, 95), 7, (6, 10)
    ),
    "dengue": Acute("38362002", "Dengue", "A90", "Fiebre del dengue", (4, 70), 4, (7, 12), "EMER"),
    "back-pain": Acute("279039007", "Low back pain", "M54.5", "Lumbago no especificado", (20, 85), 8, (7, 30)),
    "ankle-sprain": Acute(
        "44465007", "Sprain of ankle", "S93.4", "Esguince de tobillo", (8, 55), 3, (14, 35), "EMER"
    ),
    "headache": Acute(
        "398057008", "Tension-type headache", "G44.2", "Cefalea debida a tensión", (12, 65), 4, (1, 4)
    ),
    "covid": Acute("840539006", "COVID-19", "U07.1", "COVID-19, virus identificado", (5, 90), 4, (8, 16)),
    "varicella": Acute("38907003", "Varicella", "B01.9", "Varicela sin complicaciones", (3, 12), 2, (7, 12)),
    "hand-wound": Acute("284549007", "Laceration of hand", "S61.9", "Herida de la mano", (6, 70), 3, (8, 15), "EMER"),
    "asthma-crisis": Acute(
        "708038006", "Acute exacerbation of asthma", "J45.9", "Crisis de asma", (3, 80), 0, (4, 9), "EMER"
    ),
    "anemia": Acute(
        "87522002", "Iron deficiency anemia", "D50.9", "Anemia por deficiencia de hierro", (14, 52), 4, (90, 150)
    ),
    "pneumonia": Acute("233604007", "Pneumonia", "J18.9", "Neumonía no especificada", (1, 95), 1.6, (12, 25), "IMP"),
    "appendicitis": Acute("74400008", "Appendicitis", "K35.8", "Apendicitis aguda", (9, 55), 1.2, (8, 14), "IMP"),
    "gallstones": Acute(
        "235919008", "Gallbladder calculus", "K80.2", "Cálculo de la vesícula biliar", (25, 80), 1.2, (12, 20), "IMP"
    ),
    "pregnancy": Acute("72892002", "Normal pregnancy", "Z34.9", "Supervisión de embarazo normal", (18, 41), 0,
                       (280, 280)),
    "infarction": Acute(
        "22298006", "Myocardial infarction", "I21.9", "Infarto agudo del miocardio", (45, 99), 0, (5, 10), "IMP"
    ),
    "stroke": Acute(
        "230690007", "Cerebrovascular accident", "I64", "Accidente vascular encefálico agudo", (45, 99), 0, (7, 20),
        "IMP"
    ),
}  # fmt: skip

PROBLEMS: dict[str, Problem] = {**CHRONIC, **ACUTE}
WOMEN_ONLY = {"pregnancy", "anemia"}
_WOMEN_MOSTLY = {"hypothyroidism", "osteoporosis", "urinary-infection", "migraine", "gallstones", "arthritis"}
_SEVERITY = {"mild": ("255604002", "Mild", "Leve"), "moderate": ("6736007", "Moderate", "Moderada")}


def _likely(person: Person, key: str, share: float, known: dict[str, date]) -> float:
    """How likely, knowing sex, habits and the problems already drawn."""
    if key == "prostate" and person.sex == "female":
        return 0
    if key in _WOMEN_MOSTLY:
        share *= 1.6 if person.sex == "female" else 0.4
    if key in ("diabetes", "hypertension", "dyslipidemia") and "obesity" in known:
        share *= 1.7
    if key in ("kidney-disease", "coronary", "heart-failure"):
        share *= 2.2 if {"diabetes", "hypertension"} & set(known) else 0.4
    if key in ("copd", "coronary"):
        share *= {"never": 0.5, "former": 2.5, "current": 4}[person.smoker]
    return share


def draw_chronic(chart: Chart) -> None:
    """Decide which chronic problems the person has, and since when."""
    person, dice = chart.person, chart.dice
    age = person.age(person.last_day)
    band = 0 if age < 18 else 1 if age < 40 else 2 if age < 60 else 3
    for key, problem in CHRONIC.items():
        certain = chart.index == 0 and key in ("hypertension", "diabetes", "dyslipidemia")
        if not (dice.chance(_likely(person, key, problem.shares[band], chart.chronic)) or certain):
            continue
        latest = min(problem.begins[1], age - 1)
        if latest >= problem.begins[0]:
            begins = dice.between(problem.begins[0], latest)
            since = add_months(person.born, 12 * begins + dice.between(0, 11))
            chart.chronic[key] = min(since, person.last_day - timedelta(days=60))


def record(chart: Chart, visit: Visit, key: str) -> Resource:
    """Write the Condition of a problem that is named at this visit, once."""
    if key in chart.conditions:
        condition = chart.conditions[key]
    else:
        elements = _chronic(chart, visit, key) if key in CHRONIC else _acute(chart, visit, key)
        condition = chart.add("Condition", visit.at, elements)
        if key in CHRONIC or key == "pregnancy":
            chart.conditions[key] = condition
    visit.problems.append((condition, PROBLEMS[key].text))
    return condition


def _common(chart: Chart, visit: Visit, key: str, status: str, verification: str, category: str) -> Resource:
    severity = chart.dice.pick(("mild", "moderate"))
    code, display, text = _SEVERITY[severity]
    erroneous = verification == "entered-in-error"
    return {
        "clinicalStatus": None if erroneous else hl7("condition-clinical", status),
        "verificationStatus": hl7("condition-ver-status", verification),
        "category": [concept(None, coding(TERMINOLOGY + "condition-category", category))],
        "severity": concept(text, coding(SNOMED, code, display)) if key not in ("pregnancy", "obesity") else None,
        "code": PROBLEMS[key].concept(),
        "subject": chart.subject(),
        "encounter": visit.reference(),
        "recordedDate": instant(visit.at),
        "recorder": visit.staff.reference(),
    }


def _chronic(chart: Chart, visit: Visit, key: str) -> Resource:
    dice, since = chart.dice, chart.chronic[key]
    remission = key in ("depression", "anxiety", "dermatitis") and dice.chance(0.3)
    elements = _common(
        chart, visit, key, "remission" if remission else "active", "confirmed", "problem-list-item"
    ) | _onset(chart, since, (visit.at.date() - since).days > 400)
    if remission and (chart.person.last_day - visit.at.date()).days > 400:
        elements["abatementDateTime"] = add_months(visit.at.date(), 12).isoformat()[:7]
    return elements


def _onset(chart: Chart, since: date, old: bool) -> Resource:
    """The onset with the precision that people remember."""
    style = chart.dice.pick(("year", "month", "age", "day")) if old else "day"
    if style == "age":
        years = {"value": chart.person.age(since), "unit": "años", "system": "http://unitsofmeasure.org", "code": "a"}
        return {"onsetAge": years}
    return {"onsetDateTime": since.isoformat()[: {"year": 4, "month": 7, "day": 10}[style]]}


def _acute(chart: Chart, visit: Visit, key: str) -> Resource:
    dice, problem = chart.dice, ACUTE[key]
    first = visit.at.date() - timedelta(days=dice.between(0, 3))
    if key == "pregnancy" and chart.last_period:
        first = chart.last_period
    over = first + timedelta(days=dice.between(*problem.days))
    over = max(over, visit.at.date())
    done = over < chart.person.last_day
    doubtful = problem.place == "EMER" and dice.chance(0.2)
    elements = _common(
        chart,
        visit,
        key,
        "resolved" if done else "active",
        "provisional" if doubtful else "confirmed",
        "encounter-diagnosis",
    )
    elements["onsetDateTime"] = instant(at_hour(first, 20)) if dice.chance(0.2) else first.isoformat()
    if elements["onsetDateTime"][:10] == visit.at.date().isoformat():
        elements["onsetDateTime"] = first.isoformat()
    if done:
        elements["abatementDateTime"] = over.isoformat()
    return elements


def record_mistake(chart: Chart, visit: Visit) -> None:
    """A diagnosis that was written into the wrong chart, and marked so."""
    key = chart.dice.pick(("migraine", "gallstones", "reflux"))
    elements = _common(chart, visit, key, "active", "entered-in-error", "encounter-diagnosis")
    elements["note"] = [{"text": "Registrado por error en la historia de este paciente."}]
    chart.add("Condition", visit.at, elements)


def record_refuted(chart: Chart, visit: Visit, key: str) -> Resource:
    """A suspicion that a test ruled out."""
    elements = _common(chart, visit, key, "inactive", "refuted", "encounter-diagnosis")
    elements.pop("severity")
    condition = chart.add("Condition", visit.at, elements)
    visit.problems.append((condition, f"{PROBLEMS[key].text} (descartado)"))
    return condition


def likely_illnesses(chart: Chart, at: date) -> list[tuple[str, float]]:
    """Acute problems that this person could have at that age, with weights."""
    person = chart.person
    age = person.age(at)
    found = []
    for key, problem in ACUTE.items():
        if not problem.weight or not problem.ages[0] <= age <= problem.ages[1]:
            continue
        if key in WOMEN_ONLY and person.sex == "male":
            continue
        if key == "covid" and not 2020 <= at.year <= 2023:
            continue
        if key == "dengue" and chart.clinic.city.metres > 2000:
            continue
        found.append((key, problem.weight * (1.5 if key in _WOMEN_MOSTLY and person.sex == "female" else 1)))
    if chart.has("asthma", at):
        found.append(("asthma-crisis", 6))
    return found
