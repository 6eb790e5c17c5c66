"""What hospitals, councils and call centres write about a person beside the NHS number."""

from __future__ import annotations

import numpy as np
import polars as pl

from linkage.synthetic.columns import dates, labels, where
from linkage.synthetic.draws import Draws, Flags, Ints
from linkage.synthetic.people import ETHNICITIES, NEVER
from linkage.synthetic.places import NO_PRACTICE
from linkage.synthetic.world import World


def gender(world: World, owner: Ints) -> pl.Series:
    """Person gender code: 1 male, 2 female, 9 indeterminate, 0 not known."""
    return labels(world.population.sex[owner], ("1", "2", "9", "0"))


def ethnicity(world: World, owner: Ints) -> pl.Series:
    """Ethnic category 2001."""
    return labels(world.population.ethnicity[owner], ETHNICITIES)


def practice(world: World, owner: Ints) -> pl.Series:
    """ODS code of the GP practice, or the code for none."""
    return labels(world.population.practice[owner], world.places.practices).fill_null(NO_PRACTICE)


def postcode(world: World, owner: Ints) -> pl.Series:
    """Postcode of residence, with a space."""
    return world.places.postcodes.gather(world.population.postcode[owner])


def old_postcode(world: World, owner: Ints) -> pl.Series:
    """A postcode in another area."""
    return world.places.postcodes.gather(world.population.old_postcode[owner])


def birth_date(world: World, owner: Ints) -> pl.Series:
    """Date of birth."""
    return dates(world.population.birth_day[owner])


def death_date(world: World, owner: Ints) -> pl.Series:
    """Date of death, null for the living."""
    day = world.population.death_day[owner]
    return dates(day, day < NEVER)


def age_on(world: World, owner: Ints, day: Ints) -> Ints:
    """Age in completed years."""
    return (day - world.population.birth_day[owner]) * 100 // 36_525


def withheld(draws: Draws, eligible: Flags, floor: int) -> Flags:
    """Rows whose sender says that the person's identity is withheld, for example in sexual health."""
    rows = np.zeros(len(eligible), dtype=np.bool_)
    rows[draws.some(eligible, 0.001, floor)] = True
    return rows


def withheld_reason(owner: Ints, rows: Flags) -> pl.Series:
    """The withheld identity reason, for those rows."""
    return where(rows, labels(owner % 3, ("03", "04", "05")))
