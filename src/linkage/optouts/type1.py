"""Type 1 opt-outs: dissent recorded in a person's GP record.

The latest of dissent and withdrawal wins. On the same day dissent wins; a dissent without a readable date counts
whatever came later, since nobody can say that it came first.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import resources

import numpy as np
import polars as pl

from linkage.config import Type1
from linkage.optouts import ages
from linkage.optouts.registers import Numbers, Said, distinct
from linkage.reasons import Reason


@dataclass(frozen=True, slots=True)
class Codes:
    """Codes of dissent and of withdrawal, national and local."""

    dissent: frozenset[str]
    withdrawal: frozenset[str]

    def all(self) -> list[str]:
        """Every code, sorted."""
        return sorted(self.dissent | self.withdrawal)


def codes(rules: Type1) -> Codes:
    """The national codes with those of the configuration added."""
    text = (resources.files("linkage.optouts") / "type1_codes.toml").read_text(encoding="utf-8")
    national = tomllib.loads(text)
    return Codes(
        frozenset(national["dissent"]) | frozenset(rules.dissent),
        frozenset(national["withdrawal"]) | frozenset(rules.withdrawal),
    )


@dataclass(frozen=True, slots=True, repr=False)
class Type1Codes:
    """Dissents and withdrawals in the GP records of the flows.

    Attributes:
        records: One row for each code recorded, as `opted_out` takes them.
        newest: When each table that they come from was last delivered, UTC.
        max_age_days: How old that may be.
    """

    records: pl.DataFrame
    newest: Mapping[str, datetime]
    max_age_days: int

    def read(self, now: datetime) -> Said:
        """Who has a type 1 opt-out.

        Raises:
            PolicyError: The GP records are too old.
        """
        ages.check(self.newest, "type 1 opt-outs", self.max_age_days, now)
        return Said(out={Reason.TYPE1_OPT_OUT: opted_out(self.records)})


def opted_out(records: pl.DataFrame) -> Numbers:
    """Who has a type 1 opt-out.

    Args:
        records: One row for each code recorded: `number` (Int64, current), `withdrawal` (Boolean) and `date` (Date,
            null where it cannot be read); records that were deleted left out.

    Returns:
        Sorted distinct numbers.
    """
    dissent = pl.col("date").filter(~pl.col("withdrawal"))
    withdrawal = pl.col("date").filter(pl.col("withdrawal"))
    people = (
        records.filter(pl.col("number").is_not_null())
        .group_by("number")
        .agg(
            dissents=dissent.len(),
            undated=dissent.is_null().any(),
            latest_dissent=dissent.max(),
            latest_withdrawal=withdrawal.max(),
        )
    )
    stands = (
        pl.col("undated")
        | pl.col("latest_withdrawal").is_null()
        | (pl.col("latest_dissent") >= pl.col("latest_withdrawal"))
    )
    found = people.filter((pl.col("dissents") > 0) & stands)["number"]
    return distinct(found.to_numpy().astype(np.int64))
