"""What the laboratory measures: LOINC codes, UCUM units, reference ranges, and values that hang together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from .chart import Chart
from .elements import LOINC, Resource, coding, concept, decimal
from .vitals import judge as judge_range


@dataclass(frozen=True, slots=True)
class Analyte:
    """Names and unit, digits after the point, ranges ("low-high", either may be empty), usual mean and spread."""

    loinc: str
    display: str
    text: str
    unit: str
    code: str
    digits: int
    women: str
    men: str
    mean: float
    spread: float
    floor: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """A group of analytes that is ordered together."""

    loinc: str
    display: str
    text: str
    specimen: str
    analytes: tuple[str, ...]

    def concept(self) -> Resource:
        """The code of the order and of the report."""
        return concept(self.text, coding(LOINC, self.loinc, self.display))


def _same(loinc: str, display: str, text: str, unit: str, code: str, digits: int, limits: str, mean: float,
          spread: float, floor: str = "") -> Analyte:  # fmt: skip
    return Analyte(loinc, display, text, unit, code, digits, limits, limits, mean, spread, floor)


_MG = ("mg/dL", "mg/dL")
ANALYTES = {
    "glucose": _same("1558-6", "Fasting glucose [Mass/volume] in Serum or Plasma", "Glucosa en ayunas", *_MG, 0,
                     "70-99", 88, 6),
    "hba1c": _same("4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood", "Hemoglobina glicosilada (HbA1c)", "%", "%",
                   2,
                   "4.00-5.69", 5.3, 0.22),
    "creatinine": Analyte("2160-0", "Creatinine [Mass/volume] in Serum or Plasma", "Creatinina", *_MG, 2, "0.50-1.10",
                          "0.70-1.30", 0.82, 0.11),
    "egfr": _same("98979-8",
                  "Glomerular filtration rate/1.73 sq M.predicted by Creatinine-based formula (CKD-EPI 2021)",
                  "Tasa de filtración glomerular estimada", "mL/min/1,73 m2", "mL/min/{1.73_m2}", 0, "60-", 95, 10),
    "urea-nitrogen": _same("3094-0", "Urea nitrogen [Mass/volume] in Serum or Plasma", "Nitrógeno ureico", *_MG, 1,
                           "7.0-20.0", 13, 2.6),
    "potassium": _same("2823-3", "Potassium [Moles/volume] in Serum or Plasma", "Potasio", "mmol/L", "mmol/L", 2,
                       "3.50-5.10", 4.3, 0.3),
    "sodium": _same("2951-2", "Sodium [Moles/volume] in Serum or Plasma", "Sodio", "mmol/L", "mmol/L", 0, "136-145",
                    140, 1.9),
    "cholesterol": _same("2093-3", "Cholesterol [Mass/volume] in Serum or Plasma", "Colesterol total", *_MG, 0,
                         "-199", 178, 18),
    "hdl": Analyte("2085-9", "Cholesterol in HDL [Mass/volume] in Serum or Plasma", "Colesterol HDL", *_MG, 0, "50-",
                   "40-", 54, 8),
    "triglycerides": _same("2571-8", "Triglyceride [Mass/volume] in Serum or Plasma", "Triglicéridos", *_MG, 0,
                           "-149", 112, 27),
    "ldl": _same("13457-7", "Cholesterol in LDL [Mass/volume] in Serum or Plasma by calculation",
                 "Colesterol LDL (calculado)",
                 *_MG, 0, "-129", 105, 18),
    "hemoglobin": Analyte("718-7", "Hemoglobin [Mass/volume] in Blood", "Hemoglobina", "g/dL", "g/dL", 1, "12.0-16.0",
                          "13.5-17.5", 13.8, 0.7),
    "hematocrit": Analyte("4544-3", "Hematocrit [Volume Fraction] of Blood by Automated count", "Hematocrito", "%",
                          "%", 1,
                          "36.0-48.0", "40.0-53.0", 41.5, 2),
    "red-cells": Analyte("789-8", "Erythrocytes [#/volume] in Blood by Automated count", "Eritrocitos", "10^6/µL",
                         "10*6/uL", 2,
                         "4.00-5.40", "4.50-6.00", 4.7, 0.25),
    "mcv": _same("787-2", "MCV [Entitic volume] by Automated count", "Volumen corpuscular medio", "fL", "fL", 1,
                 "80.0-99.9", 89.5, 2.8),
    "white-cells": _same("6690-2", "Leukocytes [#/volume] in Blood by Automated count", "Leucocitos", "10^3/µL",
                         "10*3/uL", 2,
                         "4.50-11.00", 7.1, 1.1),
    "neutrophils": _same("770-8", "Neutrophils/100 leukocytes in Blood by Automated count", "Neutrófilos", "%", "%",
                         1,
                         "40.0-74.0", 58, 6),
    "lymphocytes": _same("736-9", "Lymphocytes/100 leukocytes in Blood by Automated count", "Linfocitos", "%", "%", 1,
                         "19.0-48.0", 32, 5),
    "platelets": _same("777-3", "Platelets [#/volume] in Blood by Automated count", "Plaquetas", "10^3/µL",
                       "10*3/uL", 0,
                       "150-450", 262, 45),
    "tsh": _same("3016-3", "Thyrotropin [Units/volume] in Serum or Plasma",
                 "Hormona estimulante de la tiroides (TSH)", "mUI/L",
                 "m[IU]/L", 2, "0.40-4.50", 2.1, 0.6, "0.05"),
    "free-t4": _same("3024-7", "Thyroxine (T4) free [Mass/volume] in Serum or Plasma", "T4 libre", "ng/dL", "ng/dL",
                     2,
                     "0.80-1.80", 1.2, 0.13),
    "psa": _same("2857-1", "Prostate specific Ag [Mass/volume] in Serum or Plasma", "Antígeno prostático específico",
                 "ng/mL",
                 "ng/mL", 2, "-4.00", 1.6, 1.1, "0.10"),
    "ferritin": Analyte("2276-4", "Ferritin [Mass/volume] in Serum or Plasma", "Ferritina", "ng/mL", "ng/mL", 1,
                        "13.0-150.0",
                        "30.0-400.0", 74, 17),
    "albumin-creatinine": _same("9318-7", "Albumin/Creatinine [Mass Ratio] in Urine",
                                "Relación albúmina/creatinina en orina",
                                "mg/g", "mg/g", 1, "-29.9", 11, 7, "5.0"),
    "urine-ph": _same("5803-2", "pH of Urine by Test strip", "pH urinario", "[pH]", "[pH]", 1, "5.0-8.0", 6.1, 0.4),
    "urine-density": _same("5811-5", "Specific gravity of Urine by Test strip", "Densidad urinaria", "(relativa)",
                           "{ratio}", 3,
                           "1.005-1.030", 1.016, 0.004),
    "nitrite": _same("5802-4", "Nitrite [Presence] in Urine by Test strip", "Nitritos", "", "", 0, "-", 0, 0),
    "leukocyte-esterase": _same("5799-2", "Leukocyte esterase [Presence] in Urine by Test strip",
                                "Esterasa leucocitaria",
                                "", "", 0, "-", 0, 0),
    "dengue-ns1": _same("75377-2", "Dengue virus NS1 Ag [Presence] in Serum, Plasma or Blood by Rapid immunoassay",
                        "Antígeno NS1 de dengue", "", "", 0, "-", 0, 0),
    "covid-antigen": _same("94558-4",
                           "SARS-CoV-2 (COVID-19) Ag [Presence] in Respiratory system specimen by Rapid immunoassay",
                           "Antígeno de SARS-CoV-2", "", "", 0, "-", 0, 0),
    "c-reactive": _same("1988-5", "C reactive protein [Mass/volume] in Serum or Plasma", "Proteína C reactiva",
                        "mg/L", "mg/L", 1,
                        "-5.0", 2, 1.1, "0.5"),
    "troponin": _same("10839-9", "Troponin I.cardiac [Mass/volume] in Serum or Plasma", "Troponina I", "ng/mL",
                      "ng/mL", 2,
                      "-0.04", 0.02, 0.01, "0.01"),
}  # fmt: skip
PANELS = {
    "glycemia": Panel("1558-6", "Fasting glucose [Mass/volume] in Serum or Plasma",
                      "Glucosa y hemoglobina glicosilada", "blood",
                      ("glucose", "hba1c")),
    "renal": Panel("24362-6", "Renal function 2000 panel - Serum or Plasma", "Función renal", "blood",
                   ("creatinine", "egfr", "urea-nitrogen", "potassium", "sodium")),
    "lipids": Panel("24331-1", "Lipid 1996 panel - Serum or Plasma", "Perfil lipídico", "blood",
                    ("cholesterol", "hdl", "triglycerides", "ldl")),
    "count": Panel("58410-2", "CBC panel - Blood by Automated count", "Cuadro hemático", "blood",
                   ("hemoglobin", "hematocrit", "red-cells", "mcv", "white-cells", "neutrophils", "lymphocytes",
                    "platelets")),
    "thyroid": Panel("55204-3", "Thyroid function panel - Serum or Plasma", "Función tiroidea", "blood", ("tsh",
                     "free-t4")),
    "psa": Panel("2857-1", "Prostate specific Ag [Mass/volume] in Serum or Plasma", "Antígeno prostático específico",
                 "blood", ("psa",)),
    "iron": Panel("2276-4", "Ferritin [Mass/volume] in Serum or Plasma", "Ferritina", "blood", ("ferritin",)),
    "albuminuria": Panel("9318-7", "Albumin/Creatinine [Mass Ratio] in Urine", "Microalbuminuria", "urine",
                         ("albumin-creatinine",)),
    "urinalysis": Panel("24356-8", "Urinalysis complete panel - Urine", "Uroanálisis", "urine",
                        ("urine-density", "urine-ph", "nitrite", "leukocyte-esterase")),
    "dengue": Panel("75377-2", "Dengue virus NS1 Ag [Presence] in Serum, Plasma or Blood by Rapid immunoassay",
                    "Prueba rápida de dengue", "blood", ("dengue-ns1",)),
    "covid": Panel("94558-4",
                   "SARS-CoV-2 (COVID-19) Ag [Presence] in Respiratory system specimen by Rapid immunoassay",
                   "Prueba de antígeno para COVID-19", "swab", ("covid-antigen",)),
    "inflammation": Panel("1988-5", "C reactive protein [Mass/volume] in Serum or Plasma", "Proteína C reactiva",
                          "blood",
                          ("c-reactive",)),
    "troponin": Panel("10839-9", "Troponin I.cardiac [Mass/volume] in Serum or Plasma", "Troponina", "blood",
                      ("troponin",)),
}  # fmt: skip
_POSITIVE = {
    "nitrite": {"urinary-infection": 0.75},
    "leukocyte-esterase": {"urinary-infection": 0.95, "pregnancy": 0.05},
    "dengue-ns1": {"dengue": 0.8},
    "covid-antigen": {"covid": 1.0},
}
_BACTERIAL = {"pneumonia", "appendicitis", "urinary-infection"}


def judge(value: Decimal, low: Decimal | None, high: Decimal | None) -> str:
    """N, L, H, or LL and HH where it is far outside the range."""
    code = judge_range(value, low, high)
    if code == "H" and high and value > high * 3:
        return "HH"
    return "LL" if code == "L" and low and value < low / 2 else code


def draw(chart: Chart, panel: Panel, at: date, reason: str) -> dict[str, Decimal | str]:
    """Values of a panel by analyte; presence tests give "negative" or "positive"."""
    values: dict[str, Decimal | str] = {}
    raw = {name: chart.dice.normal(ANALYTES[name].mean, ANALYTES[name].spread) for name in panel.analytes}
    _metabolism(chart, raw, at)
    _kidney(chart, raw, at)
    _lipids(chart, raw, at)
    _blood(chart, raw, at, reason)
    for name in panel.analytes:
        if ANALYTES[name].women == "-":
            share = _POSITIVE[name].get(reason, 0.01)
            values[name] = "positive" if chart.dice.chance(share) else "negative"
        else:
            values[name] = decimal(max(0.001, raw[name]), ANALYTES[name].digits)
    return values


def _metabolism(chart: Chart, raw: dict[str, float], at: date) -> None:
    dice = chart.dice
    if "hba1c" in raw:
        if chart.has("diabetes", at):
            raw["hba1c"] = max(5.8, dice.normal(7.1, 0.6) if chart.treated("diabetes", at) else dice.normal(9.2, 0.9))
        if "glucose" in raw:
            raw["glucose"] = 28.7 * raw["hba1c"] - 46.7 - 16 + dice.normal(0, 5)
    if "tsh" in raw and chart.has("hypothyroidism", at):
        treated = chart.treated("hypothyroidism", at)
        raw["tsh"] = dice.normal(2.9, 1.1) if treated else dice.normal(13.5, 3.5)
        if "free-t4" in raw and not treated:
            raw["free-t4"] = dice.normal(0.65, 0.08)
    if "psa" in raw and chart.has("prostate", at):
        raw["psa"] = max(0.3, dice.normal(3.4, 1.4))
    if "albumin-creatinine" in raw and (chart.has("kidney-disease", at) or chart.treated("diabetes", at)):
        raw["albumin-creatinine"] *= 7 if chart.has("kidney-disease", at) else 1.9


def _kidney(chart: Chart, raw: dict[str, float], at: date) -> None:
    if "creatinine" not in raw:
        return
    woman, age = chart.person.sex == "female", chart.person.age(at)
    creatinine = raw["creatinine"] * (0.9 if woman else 1.15) * (0.55 if age < 12 else 1)
    if chart.has("kidney-disease", at):
        creatinine *= 1.75
        raw["urea-nitrogen"] *= 1.8
        raw["potassium"] += 0.45
    raw["creatinine"] = round(creatinine, 2)
    # CKD-EPI 2021, https://doi.org/10.1056/NEJMoa2102953
    ratio = raw["creatinine"] / (0.7 if woman else 0.9)
    power = (-0.241 if woman else -0.302) if ratio <= 1 else -1.2
    raw["egfr"] = 142 * ratio**power * 0.9938 ** max(age, 18) * (1.012 if woman else 1)


def _lipids(chart: Chart, raw: dict[str, float], at: date) -> None:
    if "cholesterol" not in raw:
        return
    if chart.has("dyslipidemia", at):
        calm = chart.treated("dyslipidemia", at)
        raw["cholesterol"] += 8 if calm else 68
        raw["triglycerides"] += 35 if calm else 92
        raw["hdl"] -= 8
    if chart.person.sex == "male":
        raw["hdl"] -= 7
    for name in ("cholesterol", "hdl", "triglycerides"):
        raw[name] = round(raw[name])
    raw["ldl"] = raw["cholesterol"] - raw["hdl"] - raw["triglycerides"] / 5


def _blood(chart: Chart, raw: dict[str, float], at: date, reason: str) -> None:
    dice = chart.dice
    if "c-reactive" in raw and reason in _BACTERIAL:
        raw["c-reactive"] = dice.normal(86, 28)
    if "troponin" in raw and reason == "infarction":
        raw["troponin"] = dice.normal(2.8, 0.7)
    if "ferritin" in raw and reason == "anemia":
        raw["ferritin"] = dice.normal(7.5, 1.6)
    if "hemoglobin" not in raw:
        return
    if chart.person.sex == "male" and chart.person.age(at) > 14:
        raw["hemoglobin"] += 1.5
    if reason == "anemia":
        raw["hemoglobin"], raw["mcv"] = dice.normal(9.9, 0.6), dice.normal(73, 2)
    elif chart.has("kidney-disease", at) or reason == "pregnancy":
        raw["hemoglobin"] -= 1.6
    if reason in _BACTERIAL:
        raw["white-cells"], raw["neutrophils"] = dice.normal(15.6, 1.7), dice.normal(82, 3)
    elif reason == "dengue":
        raw["white-cells"], raw["platelets"] = dice.normal(3.2, 0.4), dice.normal(98, 18)
    raw["lymphocytes"] = max(6.0, 93 - raw["neutrophils"] + dice.normal(0, 1.5))
    raw["hematocrit"] = round(raw["hemoglobin"] * 2.98, 1)
    raw["red-cells"] = raw["hematocrit"] * 10 / raw["mcv"]
