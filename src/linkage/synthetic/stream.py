"""A made-up ICS that goes on: its history in several files, and what people decide on the nights after it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from linkage.synthetic.draws import Draws, Flags, Ints
from linkage.synthetic.people import NEVER, WINDOW_DAYS, Population
from linkage.synthetic.roles import PatientRow, Resent, Type1
from linkage.synthetic.world import CHUNK, World

NIGHTS = 30  # people's decisions are drawn for so many nights
_NEWCOMERS, _OPT_OUTS, _MERGED = 5e-5, 1e-5, 2e-6  # of the people, each night; one of each at least


@dataclass(frozen=True)
class Stream:
    """How the history of a made-up ICS is delivered whose nights follow; it has no truth beside it.

    Attributes:
        days: How far back events go; at 730 there are some 26 rows a person.
        people_a_file: Tables come in one file for so many people.
        typed: Whether the history of GP records comes as Parquet; everything else is CSV.
    """

    days: int = WINDOW_DAYS
    people_a_file: int = 500_000
    typed: bool = False


@dataclass(frozen=True)
class Decisions:
    """On which night something happens to each person, 0 for never.

    Attributes:
        arrives: Is first heard of: nothing of them is in the history.
        national: Opts out nationally.
        back: Takes a national opt-out back.
        dissent: Has a type 1 opt-out recorded.
        withdrawal: Has it taken back.
        merged: The person's number is replaced by that of `into`.
        into: Positions of people; -1 where `merged` is 0.
    """

    arrives: Ints
    national: Ints
    back: Ints
    dissent: Ints
    withdrawal: Ints
    merged: Ints
    into: Ints

    def asked(self, people: Population, night: int) -> Flags:
        """Who the national service was asked about by a night: whoever came is asked about on the night after."""
        old = people.asked | (night > 0)
        return np.asarray(old & (self.arrives < max(night, 1)), dtype=np.bool_)

    def national_out(self, people: Population, night: int) -> Flags:
        """Who the service does not return by a night."""
        said, took_back = _happened(self.national, night), _happened(self.back, night)
        return np.asarray((people.national_out | said) & ~took_back, dtype=np.bool_)


def decide(world: World) -> Decisions:
    """Draw every night's decisions; nobody has more than one."""
    people, size = world.population, world.people
    plain = _plain(people)
    free = plain & ~people.national_out
    draws = Draws(world.seed, "decisions")
    arrives = np.zeros(size, dtype=np.int64)
    chunks = -(-size // CHUNK)
    for week in range(-(-NIGHTS // 7)):
        # A week's newcomers are of one chunk, whose history has to be made again for them.
        here = np.arange(size) // CHUNK == week % chunks
        nights = np.arange(week * 7, min(week * 7 + 7, NIGHTS + 1))
        _deal(draws, arrives, free & here & (arrives == 0), nights[nights > 0], _NEWCOMERS)
    every = np.arange(1, NIGHTS + 1)
    free = free & (arrives == 0)
    national, dissent, merged = (np.zeros(size, dtype=np.int64) for _ in range(3))
    for taken, rate in ((national, _OPT_OUTS), (dissent, _OPT_OUTS), (merged, _MERGED)):
        _deal(draws, taken, free, every, rate)
        free = free & (taken == 0)
    back, withdrawal = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
    _deal(draws, back, plain & people.national_out, every, _OPT_OUTS / 2)
    _deal(draws, withdrawal, people.roles.type1 == Type1.DISSENT, every, _OPT_OUTS / 2)
    gone, kept = np.flatnonzero(merged), np.flatnonzero(free)
    into = np.full(size, -1, dtype=np.int64)
    into[gone] = kept[draws.shuffled(len(kept))][: len(gone)]
    return Decisions(arrives, national, back, dissent, withdrawal, merged, into)


def _deal(draws: Draws, nights: Ints, eligible: Flags, which: Ints, rate: float) -> None:
    """Give some eligible people each of some nights."""
    people = np.flatnonzero(eligible)
    count = max(round(rate * len(eligible)), 1)
    dealt = people[draws.shuffled(len(people))][: count * len(which)]
    nights[dealt] = np.repeat(which, count)[: len(dealt)]


def _happened(nights: Ints, until: int) -> Flags:
    return np.asarray((nights > 0) & (nights <= until), dtype=np.bool_)


def _plain(people: Population) -> Flags:
    """People who stand for no special case, and are alive."""
    roles = people.roles
    special = (
        (roles.patient_row != PatientRow.NORMAL) | (roles.resent != Resent.NO) | (roles.type1 != Type1.NONE)
    )  # fmt: skip
    special = special | roles.sensitive | roles.late | roles.moved_practice | (roles.replaced > 0) | people.foreign
    parent = (people.mother >= 0) | (people.gives_birth < NEVER)
    return np.asarray(~special & ~parent & (people.practice >= 0) & (people.death_day == NEVER), dtype=np.bool_)
