"""Holding rows against the policy: a row gets a reason, or may go on."""

from __future__ import annotations

import polars as pl

from linkage.contract import Feed, Role, Table
from linkage.optouts.policy import MAY_BE_USED, VERDICTS, Policy, Standing
from linkage.reasons import Reason

OPTOUT_REASON = "_optout_reason"


def apply(frame: pl.LazyFrame, feed: Feed, table: Table, policy: Policy) -> pl.LazyFrame:
    """Decide about the person of each row, and about the other people in it.

    Args:
        frame: Rows with `_number` and `_given` (Int64), `_practice` (String) and, for other people, `<name>` and
            `<name>_given` (Int64).
        feed: The contract.
        table: The contract's table.
        policy: What binds.

    Returns:
        The rows with `_optout_reason` (String, null where the row may go on); the number of another person who is
        out becomes null, so that the row no longer leads to them.
    """
    standing = policy.standings[feed.name]
    frame = frame.with_columns(
        _worst("_number", "_given", standing).alias("_verdict"),
        *(_worst(name, f"{name}_given", standing).alias(f"{name}_verdict") for name in table.others),
    )
    rules = {reason: pl.col("_verdict") == place for place, reason in enumerate(VERDICTS)}
    kept_out = by_practice(policy, feed, table)
    if kept_out is not None:
        rules[Reason.PRACTICE_NOT_SHARING] |= kept_out
    return frame.with_columns(
        pl.coalesce(pl.when(condition).then(pl.lit(reason.value)) for reason, condition in rules.items()).alias(
            OPTOUT_REASON
        ),
        *(pl.when(pl.col(f"{name}_verdict") == MAY_BE_USED).then(name).alias(name) for name in table.others),
    )


def by_practice(policy: Policy, feed: Feed, table: Table) -> pl.Expr | None:
    """Whether the practice keeps a row out (Boolean, never null): it does not share, did not on the row's day, or the person
    had left by then. None where practices do not bind.
    """
    sharing = policy.sharing
    if sharing is None or feed.setting != "primary_care":
        return None
    practice = pl.coalesce(*table.with_role(Role.PRACTICE)[:1], "_practice")
    out = sharing.not_sharing(practice, feed.name)
    if table.dated is None:
        return out
    day = pl.col(table.dated)
    if table.columns[table.dated].kind == "datetime":
        day = day.dt.date()
    if sharing.periods:
        out |= sharing.was_not_sharing(practice, day)
    if sharing.leavers.height:
        out |= sharing.after_leaving("_number", day)
    return out


def _worst(number: str, given: str, standing: Standing) -> pl.Expr:
    """The stricter of the verdicts on the current number and on the number as delivered (UInt8)."""

    def judge(pairs: pl.Series) -> pl.Series:
        current, delivered = (pairs.struct.field(name) for name in (number, given))
        verdicts = standing.of(current)
        # A replaced number that leads nowhere has no current one, and a comparison with nothing says nothing.
        if not current.ne_missing(delivered).any():
            return verdicts
        return pl.select(pl.min_horizontal(verdicts, standing.of(delivered))).to_series()

    return pl.struct(number, given).map_batches(judge, return_dtype=pl.UInt8, is_elementwise=True)
