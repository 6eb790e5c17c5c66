"""The made-up people: the same from the same seed, with valid numbers of their own and plausible lives."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise

import numpy as np
import pytest

from linkage import nhs_number
from linkage.synthetic import conditions, numbers
from linkage.synthetic.world import World, make_world

AS_OF = dt.date(2026, 11, 24)


@pytest.fixture(scope="module")
def world() -> World:
    """Four thousand people."""
    return make_world(4_000, seed=3, as_of=AS_OF)


def test_the_same_seed_makes_the_same_people(world: World) -> None:
    """And another seed others."""
    again = make_world(4_000, seed=3, as_of=AS_OF).population
    other = make_world(4_000, seed=4, as_of=AS_OF).population
    assert np.array_equal(world.population.number, again.number)
    assert np.array_equal(world.population.conditions, again.conditions)
    assert not np.array_equal(world.population.number, other.number)


def test_every_number_is_valid_and_belongs_to_one_person(world: World) -> None:
    """Held against the library's own referee; English numbers are of the test range."""
    people = world.population
    everyone = np.concatenate([people.number, people.older[people.older > 0], people.oldest[people.oldest > 0]])
    assert len(set(everyone.tolist())) == len(everyone)
    assert all(nhs_number.reason(int(number)) is None for number in everyone)
    english = people.number[~people.foreign]
    assert english.min() >= 9_000_000_000
    assert set(people.number[people.foreign].tolist()) == {numbers.SCOTTISH, numbers.NORTHERN_IRISH}


def test_conditions_rise_with_age_and_cluster(world: World) -> None:
    """Older people have more, and some people of one age have far more than others."""
    people = world.population
    many, band = conditions.how_many(people.conditions), conditions.age_band(people.age)
    means = [many[band == each].mean() for each in range(6)]
    assert all(younger < older for younger, older in pairwise(means))
    old = many[band == 4]
    assert old.var() > 1.2 * old.mean() * (1 - old.mean() / len(conditions.CONDITIONS))


def test_older_people_use_more_care(world: World) -> None:
    """In GP records and ambulance calls alike."""
    people, rates = world.population, world.rates
    old, young = people.age >= 75, (people.age >= 18) & (people.age < 40)
    for rate in (rates.observations, rates.ambulances, rates.appointments):
        assert rate[old].mean() > 1.5 * rate[young].mean()


def test_every_special_case_has_somebody(world: World) -> None:
    """Opt-outs of each kind, replaced numbers, bad patient rows, people the national service was not asked about."""
    people = world.population
    assert people.national_out.sum() > 100
    assert people.type1_out.sum() > 50
    assert (people.oldest > 0).sum() >= 2
    assert (~people.asked).sum() >= 5
    for values in (people.roles.type1, people.roles.patient_row, people.roles.resent):
        assert set(np.unique(values)) == set(range(values.max() + 1))
