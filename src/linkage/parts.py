"""The row-wise middle of the site half: what is decided about each row, and what may leave of it.

`prepare` is pure, lazy and row-wise once the roster and the lists are in hand: it never groups.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from linkage.config import Quality
from linkage.contract import Feed, Role, Table
from linkage.increments.absent import marked
from linkage.increments.judged import Judges
from linkage.optouts.apply import OPTOUT_REASON, apply
from linkage.optouts.policy import Policy
from linkage.pseudonymise import Pseudonymiser
from linkage.pseudonymise.minimise import Minimiser, outputs, with_areas
from linkage.reasons import Reason
from linkage.site import INACTIVE, is_pseudonymised
from linkage.sources import clean
from linkage.sources.resolve import KEY_REMOVES, PERSON_REASON, People, resolve

REMOVED = "_removed"


@dataclass(frozen=True, slots=True)
class Work:
    """Everything that rows are held against, ready before the first row is read."""

    who: People
    policy: Policy
    pseudonymiser: Pseudonymiser
    minimiser: Minimiser
    quality: Quality


def prepare(frame: pl.LazyFrame, feed: Feed, table: Table, work: Work) -> pl.LazyFrame:
    """Decide about each row and make what may leave of it.

    Args:
        frame: Cleaned rows (`sources.clean`).
        feed: The contract.
        table: The contract's table.
        work: Roster, policy, pseudonymiser and minimiser.

    Returns:
        The kept rows: `token` (16-byte Binary), the table's outputs, `_row` and `_deleted`.
    """
    return release(decide(frame, feed, table, work), feed, table, work)


def decide(frame: pl.LazyFrame, feed: Feed, table: Table, by: Judges) -> pl.LazyFrame:
    """Find each row's person and give the row a reason (`_removed`, String) or none."""
    frame = resolve(frame, table, by.who, allow_test=by.policy.allow_test_numbers)
    direct = table.kind == "records" and not is_pseudonymised(feed)
    frame = (
        apply(frame, feed, table, by.policy)
        if direct
        else frame.with_columns(pl.lit(None, pl.String).alias(OPTOUT_REASON))
    )
    person = pl.col(PERSON_REASON)
    if feed.unlinked == "keep":
        person = pl.lit(None, pl.String)
    test = Reason.TEST_PATIENT.value
    flags = pl.coalesce(marked(table, by.policy), pl.col(KEY_REMOVES))
    not_here = [test, Reason.DELETED.value]
    return frame.with_columns(
        pl.coalesce(
            pl.when(pl.col(INACTIVE) & ~pl.col("_malformed")).then(pl.lit(Reason.INACTIVE_SUBMISSION.value)),
            clean.required_reason(table),
            pl.when(flags == test).then(pl.lit(test)),
            person,
            # A deletion goes on to the hub, where it takes out the earlier copies of its record.
            pl.when(~flags.is_in(not_here)).then(flags),
            pl.col(OPTOUT_REASON),
        ).alias(REMOVED)
    )


def release(frame: pl.LazyFrame, feed: Feed, table: Table, work: Work) -> pl.LazyFrame:
    """Of the rows that may go on, what may leave."""
    kept = with_areas(frame.filter(pl.col(REMOVED).is_null()), table, work.minimiser)
    made = outputs(feed, table, work.minimiser, work.pseudonymiser)
    deletions = [name for name in table.with_role(Role.FLAG) if table.columns[name].removes == "deleted"]
    always = pl.lit(table.kind == "deletions")
    deleted = pl.any_horizontal([pl.col(name).fill_null(value=True) for name in deletions] or [always])
    return kept.select(
        *(output.value.alias(output.field.name) for output in made),
        pl.col("_row").cast(pl.Int64),
        deleted.alias("_deleted"),
    )
