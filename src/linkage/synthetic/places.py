"""Made-up places: small areas with their deprivation, postcodes, GP practices, and the other providers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from linkage.synthetic.draws import Draws, Flags, Ints

HOSPITALS = ("ZT1", "ZT2", "ZT3")
COMMUNITY = ("ZC1", "ZC2")
MENTAL_HEALTH = "ZM1"
COUNCILS = ("990", "991")
COMMISSIONER = "Z9A"
NO_PRACTICE = "V81999"  # what a provider writes when it knows of no GP practice
DISABLED_PRACTICE = 2  # position of the practice whose EMIS sharing agreement is disabled
LISTED_PRACTICE = 5  # position of the practice on the ICS's own list

_PEOPLE_PER_AREA = 1_700
_PEOPLE_PER_POSTCODE = 60
_PEOPLE_PER_PRACTICE = 9_000
_LETTERS = np.array(list("ABDEFGHJLNPQRSTUWXYZ"))
_PER_DISTRICT = 4_000  # ten sectors of twenty by twenty letters
_SPREAD = 1_237  # has no factor in common with 4,000, so that neighbours do not get neighbouring postcodes


@dataclass(frozen=True)
class Places:
    """Where people live and are registered; arrays are indexed by area, postcode or practice position."""

    lsoas: pl.Series  # text, one for each area
    deciles: Ints  # deprivation decile of each area, 1 the most deprived
    postcodes: pl.Series  # text with a space, one for each postcode
    postcodes_per_area: int  # the postcodes of area i are i * this to (i + 1) * this - 1
    practices: tuple[str, ...]  # ODS codes

    def area_of(self, postcode: Ints) -> Ints:
        """The area of each postcode position."""
        return postcode // self.postcodes_per_area

    def shares(self, practice: Ints) -> Ints:
        """1 where a practice shares, else 0; 0 for nobody's practice (-1)."""
        out = (practice == DISABLED_PRACTICE) | (practice == LISTED_PRACTICE) | (practice < 0)
        return np.asarray(~out, dtype=np.int64)

    def uses_tpp(self, practice: Ints) -> Flags:
        """Whether each practice keeps its records in TPP's system; the others use EMIS. Among them is the listed one."""
        return np.asarray((practice % 3 == 1) | (practice == LISTED_PRACTICE), dtype=np.bool_)

    def reference(self) -> pl.DataFrame:
        """The postcode directory: pcds, lsoa11, lsoa21, imd (decile)."""
        area = self.area_of(np.arange(len(self.postcodes), dtype=np.int64))
        lsoa = self.lsoas.gather(area)
        return pl.DataFrame({"pcds": self.postcodes, "lsoa11": lsoa, "lsoa21": lsoa, "imd": self.deciles[area]})


def make_places(draws: Draws, people: int) -> Places:
    """Areas of about 1,700 people, several postcodes in each, and a practice for about 9,000 people."""
    areas = max(4, round(people / _PEOPLE_PER_AREA))
    per_area = max(6, round(people / areas / _PEOPLE_PER_POSTCODE))
    deciles = (np.arange(areas, dtype=np.int64) * 10 // areas + 1)[draws.shuffled(areas)]
    return Places(
        lsoas=pl.Series([f"E0190{number:04d}" for number in range(1, areas + 1)]),
        deciles=deciles,
        postcodes=_postcodes(areas * per_area),
        postcodes_per_area=per_area,
        practices=tuple(f"Z99{i:03d}" for i in range(1, max(8, round(people / _PEOPLE_PER_PRACTICE)) + 1)),
    )


def _postcodes(count: int) -> pl.Series:
    position = np.arange(count, dtype=np.int64)
    within = position % _PER_DISTRICT * _SPREAD % _PER_DISTRICT
    frame = pl.DataFrame(
        {
            "district": position // _PER_DISTRICT + 1,
            "sector": within // 400,
            "first": pl.Series(_LETTERS[within // 20 % 20]),
            "second": pl.Series(_LETTERS[within % 20]),
        }
    )
    return frame.select(pl.format("QX{} {}{}{}", "district", "sector", "first", "second")).to_series()


def practice_near(draws: Draws, area: Ints, areas: int, practices: int) -> Ints:
    """A practice for each person: mostly the one of the person's area, sometimes a neighbour.

    The practices that do not share are small, as they tend to be.
    """
    home = area * practices // areas
    step = np.array([0, 1, -1, 2])[draws.pick(len(area), (0.7, 0.15, 0.1, 0.05))]
    practice = (home + step) % practices
    small = (practice == DISABLED_PRACTICE) | (practice == LISTED_PRACTICE)
    leaves = small & draws.chance(len(area), 0.7)
    return np.asarray((practice + leaves) % practices, dtype=np.int64)
