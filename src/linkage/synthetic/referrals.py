"""What community and mental health services have in common: people, their referrals and their contacts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from linkage.synthetic import marks
from linkage.synthetic.draws import Draws, Flags, Ints
from linkage.synthetic.marks import Marks
from linkage.synthetic.world import MAIN_AGE, Chunk


@dataclass(frozen=True)
class Caseload:
    """The people a service knows (``person``), and which of them each referral and contact belongs to."""

    person: Ints  # positions in the population
    referral_of: Ints  # position in ``person``, one entry a referral
    received: Ints  # day
    closed: Ints  # day; in the future for those still open
    contact_of: Ints  # position among the referrals, one entry a contact
    contact_day: Ints


def make_caseload(chunk: Chunk, draws: Draws, known: Flags, contacts: float, at_least: Ints) -> Caseload:
    """Draw referrals and contacts of the people of the chunk whom the service knows.

    ``contacts`` is the mean for a referral, ``at_least`` the least for each person of the chunk.
    """
    person = chunk.everyone[known]
    referral_of = np.repeat(np.arange(len(person), dtype=np.int64), 1 + draws.pick(len(person), (83, 15, 2)))
    owner = person[referral_of]
    received = chunk.working_days(draws, owner, newest=MAIN_AGE + 10)
    newest = np.minimum(chunk.world.population.death_day[owner], chunk.world.today - MAIN_AGE - 1)
    last = np.maximum(np.minimum(received + 150, newest), received)
    counts = np.maximum(draws.counts(np.full(len(owner), contacts)), at_least[owner - chunk.start])
    contact_of = np.repeat(np.arange(len(owner), dtype=np.int64), counts)
    return Caseload(
        person=person,
        referral_of=referral_of,
        received=received,
        closed=last + draws.whole(len(owner), 0, 40),
        contact_of=contact_of,
        contact_day=draws.between(received[contact_of], last[contact_of]),
    )


def inherited(people: pl.DataFrame, parent: Ints, plain: Flags | None = None) -> Marks:
    """The marks of rows that find their person through the service's own person row."""
    return Marks(
        owner=people[marks.OWNER].to_numpy()[parent],
        reason=people[marks.REASON].to_numpy()[parent],
        plain=plain,
    )


def seconds_of_day(draws: Draws, rows: int) -> Ints:
    """Appointment times between 8:00 and 18:00, on the quarter hour."""
    return draws.whole(rows, 32, 72) * 900
