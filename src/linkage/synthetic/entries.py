"""What practices write into GP records, in whichever system: readings, symptoms, diagnoses that go back years, opt-out codes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from linkage.synthetic import codes
from linkage.synthetic.conditions import CONDITIONS, has
from linkage.synthetic.draws import Draws, Flags, Ints
from linkage.synthetic.primary_care import registration_days
from linkage.synthetic.roles import Type1
from linkage.synthetic.world import BULK_AGE, DELTA_AGE, Chunk

_EARLY, _MIDDLE, _RECENT, _UNDATED = range(4)
_OPT_OUT_EVENTS = (  # case, withdrawal, when, deleted
    (Type1.DISSENT, False, _EARLY, False),
    (Type1.WITHDRAWN, False, _EARLY, False),
    (Type1.WITHDRAWN, True, _MIDDLE, False),
    (Type1.RENEWED, True, _EARLY, False),
    (Type1.RENEWED, False, _MIDDLE, False),
    (Type1.SAME_DAY, False, _MIDDLE, False),
    (Type1.SAME_DAY, True, _MIDDLE, False),
    (Type1.UNDATED_THEN_WITHDRAWN, False, _UNDATED, False),
    (Type1.UNDATED_THEN_WITHDRAWN, True, _MIDDLE, False),
    (Type1.UNDATED, False, _UNDATED, False),
    (Type1.LATE_DISSENT, False, _RECENT, False),
    (Type1.LATE_WITHDRAWAL, False, _EARLY, False),
    (Type1.LATE_WITHDRAWAL, True, _RECENT, False),
    (Type1.DELETED, False, _EARLY, True),
)


@dataclass(frozen=True)
class Entries:
    """Entries of GP records; one element an entry in each array."""

    owner: Ints
    day: Ints
    position: Ints  # in the clinical code list
    dated: Flags
    deleted: Flags
    plain: Flags

    def where(self, keep: Flags) -> Self:
        """Some of the entries."""
        return type(self)(*(getattr(self, field.name)[keep] for field in fields(self)))


@dataclass(frozen=True)
class Recorded:
    """Where entries were made: one element an entry in each array."""

    older: Flags  # at the person's older practice
    practice: Ints


def make_entries(chunk: Chunk) -> Entries:
    """Every entry of a chunk."""
    draws = chunk.draws("entries")
    return joined(routine(chunk, draws), _diagnoses(chunk, draws), _opt_outs(chunk))


def recorded(chunk: Chunk, owner: Ints, day: Ints) -> Recorded:
    """The practice with which each owner was registered on the day."""
    people = chunk.world.population
    older = people.roles.moved_practice[owner] & (day < registration_days(chunk)[owner - chunk.start])
    return Recorded(older, np.where(older, people.old_practice[owner], people.practice[owner]))


def joined(*parts: Entries) -> Entries:
    """Several lists of entries as one."""
    return Entries(
        owner=np.concatenate([part.owner for part in parts]),
        day=np.concatenate([part.day for part in parts]),
        position=np.concatenate([part.position for part in parts]),
        dated=np.concatenate([part.dated for part in parts]),
        deleted=np.concatenate([part.deleted for part in parts]),
        plain=np.concatenate([part.plain for part in parts]),
    )


def _ordinary(owner: Ints, day: Ints, position: Ints) -> Entries:
    true = np.ones(len(owner), dtype=np.bool_)
    return Entries(owner, day, position, true, ~true, true)


def routine(chunk: Chunk, draws: Draws) -> Entries:
    """Readings, symptoms and encounters."""
    owner = chunk.owners(draws.counts(chunk.world.rates.observations[chunk.start : chunk.stop]))
    day = chunk.working_days(draws, owner, newest=DELTA_AGE + 1)
    well, ill = draws.pick(len(owner), codes.WELL), draws.pick(len(owner), codes.ILL)
    return _ordinary(owner, day, np.where(chunk.world.population.conditions[owner] > 0, ill, well))


def _diagnoses(chunk: Chunk, draws: Draws) -> Entries:
    people, everyone = chunk.world.population, chunk.everyone
    known = everyone[people.practice[everyone] >= 0]
    found = [known[has(people.conditions[known], bit)] for bit in range(len(CONDITIONS))]
    owner = np.concatenate(found)
    bit = np.repeat(np.arange(len(CONDITIONS), dtype=np.int64), [len(one) for one in found])
    newest = np.minimum(people.death_day[owner], chunk.world.today - BULK_AGE - 1)
    day = draws.between(np.maximum(people.birth_day[owner], newest - 12 * 365), newest)
    return _ordinary(owner, day, codes.FIRST_CONDITION + bit)


def _opt_outs(chunk: Chunk) -> Entries:
    draws, today = chunk.draws("type1"), chunk.world.today
    case = chunk.world.population.roles.type1[chunk.start : chunk.stop]
    when = (
        draws.whole(chunk.size, today - 700, today - 400),
        draws.whole(chunk.size, today - 300, today - 60),
        draws.whole(chunk.size, today - 25, today - 3),
        np.full(chunk.size, today - 350, dtype=np.int64),
    )
    parts = []
    for one, withdrawal, period, deleted in _OPT_OUT_EVENTS:
        who = np.flatnonzero(case == one)
        position = codes.WITHDRAWAL_POSITION if withdrawal else codes.DISSENT_POSITION
        flags = np.ones(len(who), dtype=np.bool_)
        parts.append(
            Entries(
                owner=who + chunk.start,
                day=when[period][who],
                position=np.full(len(who), position, dtype=np.int64),
                dated=flags & (period != _UNDATED),
                deleted=flags & deleted,
                plain=~flags,
            )
        )
    return joined(*parts)
