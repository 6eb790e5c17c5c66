"""Everything that is settled before the first row is written, and the chunks of people that rows are made for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from linkage.synthetic.activity import Rates, make_rates
from linkage.synthetic.draws import Draws, Flags, Ints
from linkage.synthetic.people import WINDOW_DAYS, Population, make_people
from linkage.synthetic.places import Places, make_places

CHUNK = 50_000  # people; part of what the bytes depend on
BULK_AGE, MAIN_AGE, LATER_AGE, DELTA_AGE = 30, 20, 2, 1  # deliveries, in days before as_of
_IDS_PER_PERSON = 64


@dataclass(frozen=True)
class World:
    """The population and its places; ``floor`` is how often each special case occurs at least."""

    seed: int
    as_of: dt.date
    people: int
    floor: int
    places: Places
    population: Population
    rates: Rates
    flat: bool = False  # whether the third hospital's extracts are flat
    days: int = WINDOW_DAYS  # how far back events go

    @property
    def today(self) -> int:
        """``as_of`` in days since 1970."""
        return (self.as_of - dt.date(1970, 1, 1)).days

    def keeps_out(self, owner: Ints, practice: Ints) -> Flags:
        """Whether a practice's record of each owner stays out: it does not share, or the owner's present practice does not."""
        places = self.places
        return np.asarray(places.shares(practice) * places.shares(self.population.practice[owner]) == 0)

    def chunks(self) -> Iterator[Chunk]:
        """The population in runs of 50,000 people."""
        for index, start in enumerate(range(0, self.people, CHUNK)):
            yield Chunk(self, index, start, min(start + CHUNK, self.people))


@dataclass(frozen=True)
class Chunk:
    """The people ``start`` to ``stop`` - 1."""

    world: World
    index: int
    start: int
    stop: int

    @property
    def size(self) -> int:
        """How many people."""
        return self.stop - self.start

    @property
    def floor(self) -> int:
        """How often each kind of defect must be planted at least: only the first chunk has to."""
        return self.world.floor if self.index == 0 else 0

    @property
    def everyone(self) -> Ints:
        """The positions of the people in the population."""
        return np.arange(self.start, self.stop, dtype=np.int64)

    def draws(self, name: str) -> Draws:
        """A stream of random columns of this chunk."""
        return Draws(self.world.seed, name, self.index)

    def owners(self, counts: Ints) -> Ints:
        """Each person as often as ``counts`` says."""
        return np.repeat(self.everyone, counts)

    def ids(self, count: int) -> Ints:
        """``count`` whole numbers that no other chunk uses."""
        if count > _IDS_PER_PERSON * self.size:
            raise ValueError("a chunk of people has more rows of one table than identifiers")
        return np.arange(count, dtype=np.int64) + self.start * _IDS_PER_PERSON + 1

    def event_days(self, draws: Draws, owner: Ints, newest: int = MAIN_AGE + 1) -> Ints:
        """A day for an event of each owner, inside the window and inside the owner's life."""
        low, high = self._window(owner, newest)
        return draws.between(low, high)

    def working_days(self, draws: Draws, owner: Ints, newest: int = MAIN_AGE + 1) -> Ints:
        """The same, moved from a weekend to the Friday before where the person was alive then."""
        low, high = self._window(owner, newest)
        days = draws.between(low, high)
        weekday = (days + 3) % 7  # 0 = Monday: the first of January 1970 was a Thursday
        return np.maximum(days - np.maximum(weekday - 4, 0), low)

    def _window(self, owner: Ints, newest: int) -> tuple[Ints, Ints]:
        people, today = self.world.population, self.world.today
        low = np.maximum(people.birth_day[owner], today - self.world.days)
        high = np.minimum(people.death_day[owner], today - newest)
        return np.minimum(low, high), high


def make_world(people: int, seed: int, as_of: dt.date, flat: bool = False, days: int = WINDOW_DAYS) -> World:
    """Draw the places, the population and how much care each person uses."""
    floor = 3 if people >= 2_000 else 1
    today = (as_of - dt.date(1970, 1, 1)).days
    places = make_places(Draws(seed, "places"), people)
    population = make_people(seed, people, today, places, floor)
    return World(seed, as_of, people, floor, places, population, make_rates(population, today, days), flat, days)
