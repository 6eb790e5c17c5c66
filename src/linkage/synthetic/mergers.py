"""PDS: which NHS numbers were replaced by which."""

from __future__ import annotations

import numpy as np
import polars as pl

from linkage.synthetic.columns import dates
from linkage.synthetic.draws import Draws, Ints
from linkage.synthetic.world import World


def mergers(world: World) -> pl.DataFrame:
    """PDS_Person_Merger: one row for each replaced number; a number replaced twice makes a chain of two rows."""
    people = world.population
    once, twice = np.flatnonzero(people.older > 0), np.flatnonzero(people.oldest > 0)
    kept = np.concatenate([people.number[once], people.older[twice]])
    replaced = np.concatenate([people.older[once], people.oldest[twice]])
    draws = Draws(world.seed, "mergers")
    recent = draws.whole(len(once), world.today - 900, world.today - 400)
    long_ago = draws.whole(len(twice), world.today - 2_500, world.today - 1_200)
    order = draws.shuffled(len(kept))
    return merger_rows(0, kept[order], replaced[order], np.concatenate([recent, long_ago])[order])


def merger_rows(before: int, kept: Ints, replaced: Ints, day: Ints) -> pl.DataFrame:
    """Rows of PDS_Person_Merger, numbered after ``before``: numbers, those that they replace, and since when."""
    return pl.DataFrame(
        {
            "RowID": np.arange(len(kept), dtype=np.int64) + 1 + before,
            "NHS Number": pl.Series(kept).cast(pl.String).str.zfill(10),
            "Superseded NHS Number": pl.Series(replaced).cast(pl.String).str.zfill(10),
            "Person Merger Business Effective From Date": dates(day),
            "Person Merger Business Effective To Date": pl.repeat(None, len(kept), dtype=pl.Date, eager=True),
        }
    )
