"""Rates from counts that may leave: from nothing else, so that a rate tells no more than its two counts do."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from linkage.disclosure.tables import ALL, SUPPRESSED
from linkage.errors import InputError

__all__ = ["rates"]


def rates(released: pl.DataFrame, measure: str, dimensions: Sequence[str], *, per: int = 100) -> pl.DataFrame:
    """The rate of a measure in every group of a released table.

    The measure is one of the table's dimensions, with the values `yes` and `no`; its total is the denominator. Numerator
    and denominator were so released beside each other, and differ by nobody or by enough people.

    Args:
        released: From `release`.
        measure: The dimension that says of whom the measure is true.
        dimensions: The others.
        per: The rate is for so many people.

    Returns:
        The dimensions, `rate` (String with one decimal; `*` where numerator or denominator is withheld), and
        `rate_at_least` and `rate_at_most` (Float64, null where nothing can be said).

    Raises:
        InputError: The measure is not such a dimension.
    """
    if measure not in released.columns or not set(released[measure].unique()) <= {"yes", "no", ALL}:
        raise InputError(
            f"{measure}: not a dimension of yes and no", hint="count by a measure before asking for its rate"
        )
    wanted = [*dimensions, "count", "at_least", "at_most"]
    of = {value: released.filter(pl.col(measure) == value).select(wanted) for value in ("yes", ALL)}
    keys = list(dimensions) or None
    joined = (
        of[ALL].join(of["yes"], on=keys, how="left", suffix="_yes", maintain_order="left")
        if keys
        else of[ALL].join(of["yes"], how="cross", suffix="_yes")
    )
    shown = (pl.col("count") != SUPPRESSED) & (pl.col("count_yes") != SUPPRESSED) & (pl.col("at_least") > 0)
    numerator, denominator = (pl.col(name).cast(pl.Int64, strict=False) for name in ("count_yes", "count"))
    rate = (per * numerator / denominator).clip(0, per).round(1)
    some = pl.col("at_most") > 0
    return joined.select(
        *dimensions,
        pl.when(shown).then(rate.cast(pl.String)).otherwise(pl.lit(SUPPRESSED)).alias("rate"),
        pl.when(some).then(per * pl.col("at_least_yes") / pl.col("at_most")).alias("rate_at_least"),
        pl.when(some)
        .then((per * pl.col("at_most_yes") / pl.max_horizontal("at_least", 1)).clip(0, per))
        .alias("rate_at_most"),
    )
