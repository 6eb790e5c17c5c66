"""Urgent journeys: a 111 call may send an ambulance, which may bring the person to a hospital that admits them.

They are drawn once for a chunk of people, so that 111, 999, emergency care and admissions agree with each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from linkage.synthetic.columns import prefixed
from linkage.synthetic.conditions import age_band
from linkage.synthetic.draws import Draws, Flags, Ints
from linkage.synthetic.world import Chunk

_ADMITTED_WALKING = np.array([0.05, 0.06, 0.09, 0.14, 0.2, 0.28, 0.33])  # by age band
_ADMITTED_BY_AMBULANCE = np.array([0.2, 0.22, 0.3, 0.42, 0.5, 0.58, 0.62])
_LATEST_START = 86_400 - 4 * 3_600  # seconds: an ambulance journey ends on the day on which it starts
_ATTENDANCES_OF_FOREIGNERS = 6


@dataclass(frozen=True)
class Journeys:
    """Ambulance calls and emergency attendances of one chunk; times in seconds since midnight."""

    call_owner: Ints
    call_day: Ints
    call_second: Ints
    call_from_111: Flags
    call_conveyed: Flags
    call_number: Ints
    owner: Ints  # of each attendance
    day: Ints
    second: Ints
    call: Ints  # position of the ambulance call that brought the person, else -1
    admitted: Flags
    hospital: Ints  # position in places.HOSPITALS


def make_journeys(chunk: Chunk) -> Journeys:
    """Draw the calls, then the attendances that follow from them, then those of people who walk in."""
    draws, rates = chunk.draws("journeys"), chunk.world.rates
    call_owner = chunk.owners(draws.counts(rates.ambulances[chunk.start : chunk.stop]))
    calls = len(call_owner)
    call_day, call_second = chunk.event_days(draws, call_owner), draws.whole(calls, 0, _LATEST_START)
    from_111, conveyed = draws.chance(calls, 0.22), draws.chance(calls, 0.6)
    brought = np.flatnonzero(conveyed)

    walking = chunk.owners(_walk_ins(chunk, draws))
    owner = np.concatenate([call_owner[brought], walking])
    by_ambulance = np.arange(len(owner)) < len(brought)
    second = np.concatenate([call_second[brought] + 3_600, draws.whole(len(walking), 0, 86_399)])
    band = age_band(chunk.world.population.age[owner])
    chance = np.where(by_ambulance, _ADMITTED_BY_AMBULANCE[band], _ADMITTED_WALKING[band])
    return Journeys(
        call_owner=call_owner,
        call_day=call_day,
        call_second=call_second,
        call_from_111=from_111,
        call_conveyed=conveyed,
        call_number=chunk.ids(calls),
        owner=owner,
        day=np.concatenate([call_day[brought], chunk.event_days(draws, walking)]),
        second=second,
        call=np.concatenate([brought, np.full(len(walking), -1, dtype=np.int64)]),
        admitted=draws.chance(len(owner), chance) & ~chunk.world.population.foreign[owner],
        hospital=draws.pick(len(owner), (5, 3, 2)),
    )


def _walk_ins(chunk: Chunk, draws: Draws) -> Ints:
    counts = draws.counts(chunk.world.rates.walk_ins[chunk.start : chunk.stop])
    counts[chunk.world.population.foreign[chunk.everyone]] = _ATTENDANCES_OF_FOREIGNERS
    return counts


def call_numbers(journeys: Journeys, call: Ints) -> pl.Series:
    """The ambulance service's number of each call position."""
    return prefixed("ZA", journeys.call_number[call], 10)
