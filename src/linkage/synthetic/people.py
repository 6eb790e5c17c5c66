"""The made-up population: one consistent set of people whom every feed describes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from linkage.synthetic import conditions, numbers
from linkage.synthetic.draws import Draws, Flags, Ints
from linkage.synthetic.names import GIVEN_NAMES, SURNAMES
from linkage.synthetic.places import Places, practice_near
from linkage.synthetic.roles import TYPE1_OUT, PatientRow, Roles, draw_roles

NEVER = 2_932_896  # 9999-12-31 in days since 1970: later than any other date
WINDOW_DAYS = 730
SEXES = ("M", "F", "I", "U")
ETHNICITIES = ("A", "B", "C", "D", "E", "F", "G", "H", "J", "K", "L", "M", "N", "P", "R", "S", "Z")
FOREIGNERS = 2  # the last two people: one with a Scottish number, one with a Northern Irish one
NUMBERS_OF_NOBODY = 25

# Percent of the population of England in five-year age bands, the last 90 and over.
_AGES = (5.4, 5.9, 6.0, 5.7, 6.0, 6.6, 7.0, 6.7, 6.3, 6.4, 6.9, 6.7, 5.8, 4.9, 5.0, 3.6, 2.5, 1.6, 0.9)
_FEMALE = np.array([0.49] * 5 + [0.50] * 9 + [0.52, 0.53, 0.56, 0.61, 0.68])
_DIES = np.array([0.001, 0.002, 0.006, 0.014, 0.031, 0.085, 0.27])  # in two years, by age band
_ETHNIC_WEIGHTS = (70.0, 1, 5.5, 0.8, 0.3, 0.8, 0.8, 3.3, 2.8, 1.1, 1.6, 1.1, 2.6, 0.5, 0.8, 1.6, 5)


@dataclass(frozen=True)
class Population:
    """Arrays with one entry a person; person ``i`` has the id ``i + 1``. Days are days since 1970."""

    birth_day: Ints
    death_day: Ints  # NEVER for the living
    age: Ints  # years, at the end of the window
    sex: Ints  # position in SEXES
    ethnicity: Ints  # position in ETHNICITIES
    decile: Ints
    postcode: Ints  # position in Places.postcodes
    old_postcode: Ints  # in another area; where the person lived before, if they moved
    practice: Ints  # position in Places.practices, -1 for none
    old_practice: Ints
    given: Ints
    surname: Ints
    number: Ints  # the current NHS number
    older: Ints  # the number before it, 0 for none
    oldest: Ints  # the number before that, 0 for none
    conditions: Ints  # bit mask
    frailty: Ints  # position in conditions.FRAILTIES
    carer: Flags
    mother: Ints  # of those born in the window: position of the mother, else -1
    gives_birth: Ints  # day on which the person gives birth in the window, else NEVER
    roles: Roles
    type1_out: Flags
    national_out: Flags
    asked: Flags
    nobodys_numbers: Ints  # valid numbers that belong to no person

    @property
    def size(self) -> int:
        """How many people."""
        return len(self.number)

    @property
    def foreign(self) -> Flags:
        """The people with a Scottish or a Northern Irish number."""
        return np.asarray(np.arange(self.size) >= self.size - FOREIGNERS, dtype=np.bool_)


@dataclass(frozen=True)
class _Lives:
    birth_day: Ints
    death_day: Ints
    age: Ints
    sex: Ints


def make_people(seed: int, people: int, today: int, places: Places, floor: int) -> Population:
    """Draw the whole population; ``today`` is in days since 1970, ``floor`` the least of each special role."""
    lives = _lives(Draws(seed, "lives"), people, today)
    draws = Draws(seed, "people")
    postcode = draws.whole(people, 0, len(places.postcodes) - 1)
    area = places.area_of(postcode)
    decile = places.deciles[area]
    frailty = draws.whole(people, 0, len(conditions.FRAILTIES) - 1)
    foreign = np.arange(people) >= people - FOREIGNERS
    registered = ~foreign & ~draws.chance(people, 0.005)
    practice = practice_near(draws, area, len(places.lsoas), len(places.practices))
    eligible = registered & (lives.death_day == NEVER) & (lives.age >= 3)
    roles = draw_roles(Draws(seed, "roles"), eligible, registered, floor)
    cared_for = registered & (roles.patient_row != PatientRow.TEST)
    number, older, oldest, spare = _numbers(Draws(seed, "numbers"), roles.replaced)
    mother, gives_birth = _mothers(Draws(seed, "mothers"), lives, cared_for, today)
    mask = conditions.draw_conditions(Draws(seed, "conditions"), lives.age, decile, conditions.FRAILTIES[frailty])
    northern_irish = np.arange(people) == people - 1
    return Population(
        birth_day=lives.birth_day, death_day=lives.death_day, age=lives.age, sex=lives.sex,
        ethnicity=draws.pick(people, _ETHNIC_WEIGHTS), decile=decile, postcode=postcode,
        old_postcode=_elsewhere(draws, area, places),
        practice=np.where(registered, practice, -1),
        old_practice=(practice + draws.whole(people, 1, len(places.practices) - 1)) % len(places.practices),
        given=draws.whole(people, 0, len(GIVEN_NAMES) - 1),
        surname=draws.whole(people, 0, len(SURNAMES) - 1),
        number=number, older=older, oldest=oldest, conditions=mask, frailty=frailty,
        carer=draws.chance(people, 0.08) & (lives.age >= 16), mother=mother, gives_birth=gives_birth, roles=roles,
        type1_out=np.isin(roles.type1, [int(case) for case in TYPE1_OUT]),
        national_out=(roles.national_out & ~foreign) | northern_irish,
        asked=~roles.late, nobodys_numbers=spare,
    )  # fmt: skip


def _lives(draws: Draws, people: int, today: int) -> _Lives:
    five_years = draws.pick(people, _AGES)
    days = np.floor((five_years * 5 + draws.uniform(people) * 5) * 365.25).astype(np.int64)
    days[-FOREIGNERS:] = (41 * 365, 67 * 365)
    birth = today - np.maximum(days, 60)
    age = (today - birth) * 100 // 36_525
    sex = draws.chance(people, _FEMALE[five_years]).astype(np.int64)
    sex[draws.chance(people, 0.0005)] = 2
    sex[draws.chance(people, 0.001)] = 3
    dies = draws.chance(people, _DIES[conditions.age_band(age)]) & (age >= 2)
    dies[-FOREIGNERS:] = False
    death = np.where(dies, today - draws.whole(people, 25, WINDOW_DAYS - 1), NEVER)
    return _Lives(birth, death, age, sex)


def _elsewhere(draws: Draws, area: Ints, places: Places) -> Ints:
    areas, per_area = len(places.lsoas), places.postcodes_per_area
    other = (area + draws.whole(len(area), 1, areas - 1)) % areas
    return other * per_area + draws.whole(len(area), 0, per_area - 1)


def _numbers(draws: Draws, replaced: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    people, once, twice = len(replaced), replaced >= 1, replaced >= 2
    pool = numbers.unused_numbers(draws, people + int(once.sum() + twice.sum()) + NUMBERS_OF_NOBODY)
    number, rest = pool[:people].copy(), pool[people:]
    number[-2:] = (numbers.SCOTTISH, numbers.NORTHERN_IRISH)
    older, oldest = np.zeros(people, dtype=np.int64), np.zeros(people, dtype=np.int64)
    older[once], rest = rest[: once.sum()], rest[once.sum() :]
    oldest[twice], rest = rest[: twice.sum()], rest[twice.sum() :]
    return number, older, oldest, rest


def _mothers(draws: Draws, lives: _Lives, women: Flags, today: int) -> tuple[Ints, Ints]:
    born = lives.birth_day >= today - WINDOW_DAYS + 2
    able = women & (lives.sex == 1) & (lives.age >= 18) & (lives.age <= 43) & (lives.death_day == NEVER)
    babies, mothers = np.flatnonzero(born), np.flatnonzero(able)
    mothers = mothers[draws.shuffled(len(mothers))][: len(babies)]
    babies = babies[: len(mothers)]
    mother = np.full(len(born), -1, dtype=np.int64)
    gives_birth = np.full(len(born), NEVER, dtype=np.int64)
    mother[babies] = mothers
    gives_birth[mothers] = lives.birth_day[babies]
    return mother, gives_birth
