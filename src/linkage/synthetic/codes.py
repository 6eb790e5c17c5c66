"""The clinical and drug code lists that GP records refer to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from linkage.synthetic.conditions import CONDITIONS
from linkage.synthetic.draws import Ints

DISSENT, WITHDRAWAL = 827241000000103, 827261000000102


@dataclass(frozen=True)
class Finding:
    """One code that a GP record may hold; a finding with a unit has a value between low and high."""

    term: str
    snomed: int
    well: float = 0.0  # how often it is recorded of people without a long-term condition
    ill: float = 0.0  # and of people with one
    unit: str | None = None
    low: float = 0.0
    high: float = 0.0
    category: str = "Observation"


FINDINGS: tuple[Finding, ...] = (
    Finding("Systolic blood pressure", 271649006, 10, 20, "mm[Hg]", 95, 185),
    Finding("Diastolic blood pressure", 271650006, 10, 20, "mm[Hg]", 55, 105),
    Finding("Body mass index", 60621009, 5, 8, "kg/m2", 17, 46),
    Finding("Body weight", 27113001, 6, 8, "kg", 42, 130),
    Finding("Body height", 50373000, 4, 4, "cm", 145, 198),
    Finding("Haemoglobin A1c level", 999791000000106, 3, 10, "mmol/mol", 28, 105),
    Finding("Serum cholesterol level", 1005671000000105, 3, 7, "mmol/L", 2.6, 8.2),
    Finding("Estimated glomerular filtration rate", 1011481000000105, 3, 9, "mL/min", 18, 95),
    Finding("Haemoglobin concentration", 1022431000000105, 4, 6, "g/L", 85, 175),
    Finding("Serum creatinine level", 1000731000000107, 3, 8, "umol/L", 45, 260),
    Finding("Pulse rate", 78564009, 3, 4, "/min", 48, 120),
    Finding("Smoker", 77176002, 2, 2),
    Finding("Ex-smoker", 8517006, 3, 5),
    Finding("Never smoked tobacco", 266919005, 6, 5),
    Finding("Seasonal influenza vaccination", 822851000000102, 4, 7, category="Immunisation"),
    Finding("Medication review done", 314530002, 2, 10),
    Finding("Cough", 49727002, 6, 4),
    Finding("Sore throat", 162397003, 5, 2),
    Finding("Abdominal pain", 21522001, 4, 3),
    Finding("Low back pain", 279039007, 4, 4),
    Finding("Headache", 25064002, 3, 2),
    Finding("Breathlessness", 267036007, 1, 4),
    Finding("Tired", 224960004, 3, 3),
    Finding("Rash", 271807003, 4, 2),
    Finding("Urinary tract infectious disease", 68566005, 2, 3),
    Finding("Telephone encounter", 185317003, 6, 8),
    Finding("Did not attend", 281399006, 2, 2),
)

# Every code of the list in the order of its positions: findings, conditions, then the opt-out codes.
_CONCEPTS = (
    *((finding.term, finding.snomed) for finding in FINDINGS),
    *((condition.term, condition.snomed) for condition in CONDITIONS),
    ("Dissent from secondary use of general practitioner patient identifiable data", DISSENT),
    ("Dissent withdrawn for secondary use of general practitioner patient identifiable data", WITHDRAWAL),
)
FIRST_CONDITION = len(FINDINGS)
DISSENT_POSITION = len(_CONCEPTS) - 2
WITHDRAWAL_POSITION = len(_CONCEPTS) - 1

TERMS = tuple(term for term, _ in _CONCEPTS)
DRUGS = tuple(condition.drug for condition in CONDITIONS)
WELL = tuple(finding.well for finding in FINDINGS)
ILL = tuple(finding.ill for finding in FINDINGS)


def clinical_code_ids(position: Ints) -> Ints:
    """EMIS CodeId of positions in the clinical code list."""
    return position * 37 + 5_100_001


def drug_code_ids(condition: Ints) -> Ints:
    """EMIS CodeId of the drug given for a condition."""
    return condition * 53 + 8_200_003


def snomed_codes(position: Ints) -> pl.Series:
    """SNOMED CT concepts of positions in the clinical code list."""
    return pl.Series(np.array([snomed for _, snomed in _CONCEPTS], dtype=np.int64)[position])


def ctv3_codes(position: Ints) -> pl.Series:
    """CTV3 codes of positions in the clinical code list: made up, but for those of opt-outs."""
    made_up = [f"Xzz{place:02d}" for place in range(len(_CONCEPTS) - 2)]
    return pl.Series([*made_up, "XaZ89", "XaZ8A"], dtype=pl.String).gather(position)


def dmd_codes(condition: Ints) -> Ints:
    """Made-up dm+d identifiers of the drug given for a condition."""
    return (condition + 99_000_001) * 100_000 + 11


def clinical_codes() -> pl.DataFrame:
    """The table Coding_ClinicalCode."""
    position = np.arange(len(_CONCEPTS), dtype=np.int64)
    return pl.DataFrame(
        {
            "CodeId": clinical_code_ids(position),
            "Term": [term for term, _ in _CONCEPTS],
            "ReadTermId": None,
            "SnomedCTConceptId": [snomed for _, snomed in _CONCEPTS],
            "SnomedCTDescriptionId": (position + 9_000_000_001) * 10 + 1,
            "NationalCode": None,
            "NationalCodeCategory": None,
            "NationalDescription": None,
            "EmisCodeCategoryDescription": "Clinical",
            "ProcessingId": 4711,
        }
    )


def drug_codes() -> pl.DataFrame:
    """The table Coding_DrugCode; the dm+d identifiers are made up."""
    position = np.arange(len(CONDITIONS), dtype=np.int64)
    return pl.DataFrame(
        {
            "CodeId": drug_code_ids(position),
            "Term": [condition.drug for condition in CONDITIONS],
            "DmdProductCodeId": dmd_codes(position),
            "ProcessingId": 4711,
        }
    )
