"""Long-term conditions: who has them, their codes in each setting, and the medicine given for them.

Prevalence rises with age and deprivation, and a person's frailty multiplies all of them at once, so that
conditions cluster in the same people.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linkage.synthetic.draws import Draws, Flags, Floats, Ints

AGE_EDGES = np.array([18, 40, 55, 65, 75, 85])  # years; seven bands
FRAILTIES = np.array([0.35, 0.55, 0.8, 1.0, 1.3, 2.0])  # mean one


@dataclass(frozen=True)
class Condition:
    """One condition: its codes, its percentage in each of the seven age bands, and its medicine."""

    term: str
    snomed: int
    icd: str
    drug: str
    percent: tuple[float, float, float, float, float, float, float]
    deprivation: float  # extra share in the most deprived tenth over the least, 0.5 = half as many again


CONDITIONS: tuple[Condition, ...] = (
    Condition("Essential hypertension", 59621000, "I10X", "Amlodipine 5mg tablets", (0, 2, 14, 28, 42, 52, 55), 0.2),
    Condition("Type 2 diabetes mellitus", 44054006, "E119", "Metformin 500mg tablets", (0, 1, 6, 12, 17, 19, 17), 0.8),
    Condition("Asthma", 195967001, "J459", "Salbutamol 100microgram inhaler", (8, 7, 7, 7, 7, 6, 5), 0.3),
    Condition("Chronic obstructive lung disease", 13645005, "J449", "Tiotropium 18microgram capsules",
              (0, 0.1, 1, 4, 7, 8, 7), 1.8),
    Condition("Coronary arteriosclerosis", 53741008, "I251", "Atorvastatin 20mg tablets", (0, 0.1, 2, 6, 12, 18, 22), 0.6),
    Condition("Atrial fibrillation", 49436004, "I489", "Apixaban 5mg tablets", (0, 0.1, 0.6, 2.5, 7, 14, 22), 0.1),
    Condition("Heart failure", 84114007, "I500", "Bisoprolol 2.5mg tablets", (0, 0.1, 0.3, 1, 3, 7, 14), 0.6),
    Condition("Cerebrovascular accident", 230690007, "I64X", "Clopidogrel 75mg tablets", (0, 0.1, 0.8, 2.5, 5, 9, 13), 0.5),
    Condition("Chronic kidney disease", 709044004, "N183", "Ramipril 5mg capsules", (0, 0.2, 1, 4, 12, 24, 38), 0.3),
    Condition("Depressive disorder", 35489007, "F329", "Sertraline 50mg tablets", (1, 12, 14, 12, 9, 8, 8), 0.8),
    Condition("Anxiety disorder", 197480006, "F419", "Propranolol 40mg tablets", (2, 10, 9, 7, 6, 5, 5), 0.6),
    Condition("Dementia", 52448006, "F03X", "Donepezil 10mg tablets", (0, 0, 0, 0.3, 1.5, 6, 18), 0.2),
    Condition("Malignant neoplastic disease", 363346000, "C80X", "Anastrozole 1mg tablets", (0.1, 0.4, 2, 5, 9, 13, 15), 0.0),
    Condition("Epilepsy", 84757009, "G409", "Levetiracetam 500mg tablets", (0.5, 0.8, 0.9, 1, 1.1, 1.1, 1), 0.6),
    Condition("Osteoarthritis", 396275006, "M199", "Paracetamol 500mg tablets", (0, 0.6, 5, 14, 22, 28, 32), 0.3),
    Condition("Schizophrenia", 58214004, "F209", "Olanzapine 10mg tablets", (0, 0.7, 1, 1, 0.9, 0.8, 0.6), 1.6),
    Condition("Intellectual disability", 110359009, "F799", "Melatonin 2mg tablets", (0.7, 0.7, 0.5, 0.4, 0.3, 0.2, 0.1), 0.7),
    Condition("Obesity", 414916001, "E669", "Orlistat 120mg capsules", (1, 8, 14, 15, 13, 8, 4), 0.9),
    Condition("Hypothyroidism", 40930008, "E039", "Levothyroxine 50microgram tablets", (0.1, 2, 4, 6, 8, 9, 10), 0.0),
)  # fmt: skip

DEPRESSION, ANXIETY, DEMENTIA, SCHIZOPHRENIA, DISABILITY = 9, 10, 11, 15, 16
MENTAL = (DEPRESSION, ANXIETY, DEMENTIA, SCHIZOPHRENIA, DISABILITY)

_PERCENT: npt.NDArray[np.float64] = np.array([condition.percent for condition in CONDITIONS])


def age_band(age: Ints) -> Ints:
    """The age band, 0 to 6, of ages in years."""
    return np.searchsorted(AGE_EDGES, age, side="right").astype(np.int64)


def draw_conditions(draws: Draws, age: Ints, decile: Ints, frailty: Floats) -> Ints:
    """A bit mask of conditions for each person: bit i is ``CONDITIONS[i]``."""
    mask = np.zeros(len(age), dtype=np.int64)
    band = age_band(age)
    poverty = (10 - decile) / 9.0  # 1 in the most deprived tenth, 0 in the least
    for bit, condition in enumerate(CONDITIONS):
        chance = _PERCENT[bit][band] / 100 * frailty * (1 + condition.deprivation * (poverty - 0.5))
        mask |= draws.chance(len(age), np.minimum(chance, 0.95)).astype(np.int64) << bit
    return mask


def has(mask: Ints, bit: int) -> Flags:
    """Whether each person has condition ``bit``."""
    return np.asarray((mask >> bit) & 1, dtype=np.bool_)


def how_many(mask: Ints) -> Ints:
    """The number of conditions of each person."""
    return np.bitwise_count(mask).astype(np.int64)
