"""How much care each person is expected to use, in each setting: more with age, conditions and frailty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linkage.synthetic import conditions
from linkage.synthetic.draws import Flags, Floats, Ints
from linkage.synthetic.people import WINDOW_DAYS, Population
from linkage.synthetic.roles import PatientRow

_FRAILTY = np.array([7, 11, 16, 20, 26, 40])  # conditions.FRAILTIES in twentieths: whole numbers add exactly

# Relative use by age band (under 18, 40, 55, 65, 75, 85, and over).
_GP = (5, 7, 9, 12, 15, 18, 20)
_CLINIC = (4, 6, 8, 11, 15, 17, 14)
_EMERGENCY = (10, 10, 8, 8, 9, 13, 20)
_AMBULANCE = (3, 6, 6, 7, 10, 20, 45)
_HELPLINE = (14, 10, 8, 7, 8, 12, 18)
_PLANNED = (2, 5, 7, 10, 14, 14, 9)
_HOME = (8, 2, 3, 5, 10, 25, 60)
_MENTAL = (8, 10, 8, 6, 5, 8, 14)
_SOCIAL = (0, 2, 3, 4, 7, 20, 60)


@dataclass(frozen=True)
class Rates:
    """Expected rows a person in the whole window; one entry a person in each array."""

    observations: Floats
    issues: Floats
    appointments: Floats
    walk_ins: Floats  # emergency attendances not brought by ambulance
    ambulances: Floats
    helpline: Floats  # 111 calls that do not send an ambulance
    planned_spells: Floats
    community: Floats  # chance to be known to community services
    mental_health: Floats
    social_care: Floats


def make_rates(people: Population, today: int, days: int = WINDOW_DAYS) -> Rates:
    """Rates whose means are the volumes of an English ICS; ``days`` is how far back events go."""
    window = _share_of_window(people, today, days)
    # Test patients have nothing but GP rows, and the two people from other nations are placed by hand.
    cared_for = ~people.foreign & (people.roles.patient_row != PatientRow.TEST)
    at_gp = people.practice >= 0
    ill = np.bitwise_count(people.conditions & sum(1 << bit for bit in conditions.MENTAL)).astype(np.int64)

    def rate(mean: float, by_age: tuple[int, ...], who: Flags, boost: Ints | int = 1) -> Floats:
        weight = _weight(people, by_age) * who * boost
        return np.asarray(mean * people.size * weight / max(int(weight.sum()), 1) * window, dtype=np.float64)

    medicated = conditions.how_many(people.conditions)
    return Rates(
        observations=rate(9.4, _GP, at_gp),
        issues=rate(4.2, _GP, at_gp, medicated),
        appointments=rate(1.04, _CLINIC, cared_for),
        walk_ins=rate(0.345, _EMERGENCY, cared_for),
        ambulances=rate(0.128, _AMBULANCE, cared_for),
        helpline=rate(0.178, _HELPLINE, cared_for),
        planned_spells=rate(0.145, _PLANNED, cared_for),
        community=rate(0.108, _HOME, cared_for),
        mental_health=rate(0.054, _MENTAL, cared_for, 1 + 8 * ill),
        social_care=rate(0.13, _SOCIAL, cared_for),
    )


def _weight(people: Population, by_age: tuple[int, ...]) -> Ints:
    table: npt.NDArray[np.int64] = np.array(by_age, dtype=np.int64)
    ill = conditions.how_many(people.conditions)
    weight = table[conditions.age_band(people.age)] * (2 + ill) * _FRAILTY[people.frailty]
    return np.asarray(weight, dtype=np.int64)


def _share_of_window(people: Population, today: int, days: int) -> Floats:
    born, died = np.maximum(people.birth_day, today - days), np.minimum(people.death_day, today)
    return np.asarray(np.maximum(died - born, 0) / WINDOW_DAYS, dtype=np.float64)
