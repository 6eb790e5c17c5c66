"""Type 1 opt-outs: dissent recorded in a person's GP record.

The latest of dissent and withdrawal wins. On the same day dissent wins; a dissent without a readable date counts
whatever came later, since nobody can say that it came first, and a withdrawal without one counts for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import polars as pl

from linkage.errors import PolicyError
from linkage.optouts import ages
from linkage.optouts.registers import Numbers, Said, distinct
from linkage.reasons import Reason


@dataclass(frozen=True, slots=True, repr=False)
class Type1Dissents:
    """Dissents and withdrawals in the GP records of the flows, by code and by flag.

    Attributes:
        records: One row for each code recorded, as `opted_out` takes them.
        flagged: Numbers of people whose GP system flags a dissent.
        newest: When each table that they come from was last delivered, UTC.
        max_age_days: How old that may be.
        missed: Codes that earlier deliveries were not searched for, and the table.
    """

    records: pl.DataFrame
    flagged: Numbers
    newest: Mapping[str, datetime]
    max_age_days: int
    missed: tuple[tuple[str, str], ...] = ()

    def read(self, now: datetime) -> Said:
        """Who has a type 1 opt-out.

        Raises:
            PolicyError: No flow brings GP records, they are too old, or some were never searched for a code.
        """
        if not self.newest:
            raise PolicyError(
                "no flow says who has a type 1 opt-out",
                hint='add a flow of GP records; or say applies_to = "primary_care" under [optouts.type1], or add an exemption',
            )
        ages.check(self.newest, "type 1 opt-outs", self.max_age_days, now)
        for table, code in self.missed:
            raise PolicyError(
                f"{table}: earlier deliveries were not searched for the type 1 code {code}, which was added since",
                hint="put those deliveries back into the flow's folder for one run; or, once a full extract was delivered, "
                "say redelivered = <its day> for the code",
            )
        return Said(out={Reason.TYPE1_OPT_OUT: distinct(opted_out(self.records, now.date()), self.flagged)})


def opted_out(records: pl.DataFrame, today: date) -> Numbers:
    """Who has a type 1 opt-out.

    Args:
        records: One row for each code recorded: `number` (Int64, current), `withdrawal` (Boolean) and `date` (Date,
            null where it cannot be read); records that were deleted left out.
        today: The day of disclosure: no later day can be right, so a later date is as good as none.

    Returns:
        Sorted distinct numbers.
    """
    dissent = pl.col("date").filter(~pl.col("withdrawal"))
    withdrawal = pl.col("date").filter(pl.col("withdrawal"))
    people = (
        records.filter(pl.col("number").is_not_null())
        .with_columns(pl.when(pl.col("date") <= today).then("date").alias("date"))
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
