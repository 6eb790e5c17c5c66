"""Who is admitted to hospital, when, why and for how long."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from linkage.synthetic.draws import Draws, Flags, Ints
from linkage.synthetic.journeys import Journeys
from linkage.synthetic.people import NEVER
from linkage.synthetic.world import Chunk

PLANNED, EMERGENCY, BIRTH, DELIVERY = range(4)

_EMERGENCY_NIGHTS = np.array([0, 1, 2, 3, 5, 9, 16, 34])
_EMERGENCY_WEIGHTS = (30, 20, 13, 10, 10, 9, 6, 2)
_PLANNED_NIGHTS = np.array([0, 1, 2, 4, 8])
_PLANNED_WEIGHTS = (80, 9, 5, 4, 2)


@dataclass(frozen=True)
class Admissions:
    """One entry a spell in each array; days since 1970, seconds since midnight."""

    owner: Ints
    kind: Ints  # PLANNED, EMERGENCY, BIRTH (the baby) or DELIVERY (the mother)
    day: Ints
    second: Ints
    discharge: Ints
    dies: Flags
    hospital: Ints


def make_admissions(chunk: Chunk, journeys: Journeys) -> Admissions:
    """Emergency admissions follow attendances; births are in the records of both baby and mother."""
    draws, people = chunk.draws("admissions"), chunk.world.population
    planned = chunk.owners(draws.counts(chunk.world.rates.planned_spells[chunk.start : chunk.stop]))
    admitted = np.flatnonzero(journeys.admitted)
    babies = chunk.everyone[people.mother[chunk.everyone] >= 0]
    mothers = chunk.everyone[people.gives_birth[chunk.everyone] < NEVER]
    groups = (planned, journeys.owner[admitted], babies, mothers)
    owner, kind = np.concatenate(groups), np.repeat(np.arange(4), [len(one) for one in groups])
    days = (
        chunk.working_days(draws, planned),
        journeys.day[admitted],
        people.birth_day[babies],
        people.gives_birth[mothers],
    )
    seconds = (draws.whole(len(planned), 7 * 3600, 11 * 3600), journeys.second[admitted])
    born = draws.whole(len(babies) + len(mothers), 0, 86_399)
    day = np.concatenate(days)
    leaves = day + _nights(draws, kind)
    death = people.death_day[owner]
    hospital = draws.pick(len(owner), (5, 3, 2))
    hospital[kind == EMERGENCY] = journeys.hospital[admitted]
    return Admissions(
        owner=owner,
        kind=kind,
        day=day,
        second=np.concatenate([*seconds, born]),
        discharge=np.minimum(leaves, np.maximum(death, day)),
        dies=death <= leaves,
        hospital=hospital,
    )


def _nights(draws: Draws, kind: Ints) -> Ints:
    rows = len(kind)
    emergency = _EMERGENCY_NIGHTS[draws.pick(rows, _EMERGENCY_WEIGHTS)]
    planned = _PLANNED_NIGHTS[draws.pick(rows, _PLANNED_WEIGHTS)]
    birth = draws.pick(rows, (2, 6, 2))
    return np.where(kind == EMERGENCY, emergency, np.where(kind == PLANNED, planned, birth))
