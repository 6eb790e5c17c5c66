"""Who stands for which special case: opt-outs, replaced numbers, patients with a bad number, people who joined late."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from linkage.synthetic.draws import Draws, Flags, Ints


class PatientRow(IntEnum):
    """What is wrong with a person's row in the GP patient file."""

    NORMAL = 0
    TEST = 1
    BLANK = 2
    MALFORMED = 3
    CHECK_DIGIT = 4
    BLOCKED = 5
    AMBIGUOUS = 6


class Type1(IntEnum):
    """What the GP record says about the type 1 opt-out."""

    NONE = 0
    DISSENT = 1
    WITHDRAWN = 2  # dissent, later withdrawn: in
    RENEWED = 3  # withdrawal, later dissent: out
    SAME_DAY = 4  # both on one day: out
    UNDATED_THEN_WITHDRAWN = 5  # an undated dissent cannot be known to be withdrawn: out
    UNDATED = 6
    LATE_DISSENT = 7  # only in the second delivery: out
    LATE_WITHDRAWAL = 8  # dissent in the first delivery, withdrawal in the second: in
    DELETED = 9  # the dissent is marked deleted: in


TYPE1_OUT = (
    Type1.DISSENT,
    Type1.RENEWED,
    Type1.SAME_DAY,
    Type1.UNDATED_THEN_WITHDRAWN,
    Type1.UNDATED,
    Type1.LATE_DISSENT,
)


class Resent(IntEnum):
    """Whether the second GP delivery brings the patient row again."""

    NO = 0
    SAME = 1
    MOVED = 2  # with another postcode


_PATIENT_SHARES = (
    (PatientRow.TEST, 0.0005),
    (PatientRow.BLANK, 0.0015),
    (PatientRow.MALFORMED, 0.0005),
    (PatientRow.CHECK_DIGIT, 0.0005),
    (PatientRow.BLOCKED, 0.0005),
    (PatientRow.AMBIGUOUS, 0.001),
)
_TYPE1_SHARES = (
    (Type1.DISSENT, 0.0225),
    (Type1.WITHDRAWN, 0.002),
    (Type1.RENEWED, 0.001),
    (Type1.SAME_DAY, 0.0007),
    (Type1.UNDATED_THEN_WITHDRAWN, 0.0007),
    (Type1.UNDATED, 0.0007),
    (Type1.LATE_DISSENT, 0.001),
    (Type1.LATE_WITHDRAWAL, 0.001),
    (Type1.DELETED, 0.0005),
)


@dataclass(frozen=True)
class Roles:
    """One entry a person in each array."""

    patient_row: Ints  # PatientRow
    type1: Ints  # Type1
    resent: Ints  # Resent
    sensitive: Flags
    late: Flags  # joined after the national service was asked; GP rows only in the second delivery
    moved_practice: Flags  # has an older registration at another practice, under another key
    replaced: Ints  # how many older NHS numbers: 0, 1 or 2
    national_out: Flags


class _Dealer:
    """Hands out people, each of them once."""

    def __init__(self, draws: Draws, eligible: Flags, floor: int) -> None:
        people = np.flatnonzero(eligible)
        self._order = people[draws.shuffled(len(people))]
        self._floor = floor
        self._next = 0

    def deal(self, share: float, at_least: int | None = None) -> Ints:
        floor = self._floor if at_least is None else at_least
        count = max(round(share * len(self._order)), floor)
        dealt = self._order[self._next : self._next + count]
        self._next += count
        return dealt.astype(np.int64)


def draw_roles(draws: Draws, eligible: Flags, registered: Flags, floor: int) -> Roles:
    """Deal the roles; ``eligible`` people may stand for a special case, ``floor`` is how many of each at least."""
    size = len(eligible)
    dealer = _Dealer(draws, eligible, floor)
    patient_row, type1, replaced = (np.zeros(size, dtype=np.int64) for _ in range(3))
    sensitive, late = (np.zeros(size, dtype=np.bool_) for _ in range(2))
    for row, share in _PATIENT_SHARES:
        patient_row[dealer.deal(share)] = row
    sensitive[dealer.deal(0.001)] = True
    late[dealer.deal(0.0001, at_least=5)] = True
    once, twice = dealer.deal(0.0025), dealer.deal(0.0005, at_least=max(2, floor))
    replaced[once], replaced[twice] = 1, 2
    for case, share in _TYPE1_SHARES:
        type1[dealer.deal(share)] = case
    national = draws.chance(size, np.where(type1 > 0, 0.25, 0.0475)) & (patient_row != PatientRow.TEST) & ~late
    national[twice] = False  # so that some rows with a replaced number always go on
    national[once[:1]] = floor > 1  # and some never do

    usual = registered & (patient_row == PatientRow.NORMAL) & ~late
    second = _Dealer(draws, usual, floor)
    resent = np.zeros(size, dtype=np.int64)
    resent[second.deal(0.002)] = Resent.SAME
    resent[second.deal(0.008)] = Resent.MOVED
    resent[np.concatenate([once[1::2], twice[::2]])] = Resent.MOVED
    moved_practice = np.zeros(size, dtype=np.bool_)
    moved_practice[second.deal(0.012)] = True
    return Roles(patient_row, type1, resent, sensitive, late, moved_practice, replaced, national)
