"""What new deliveries say of keys, beside what earlier ones said: of each key the latest delivery counts, whole.

Most keys are not spoken of on most days, and there are millions of them: theirs stay where they are.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from linkage.reasons import Reason
from linkage.sources.roster_tables import CLAIMS

__all__ = ["apart", "latest", "taken", "with_rows"]

_STRETCH = 200_000  # rows that are copied where one of them changes


def taken(
    before: pl.DataFrame, claims: pl.DataFrame, said: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Of one namespace the entries of keys that something was said of, as they were, and all entries and claims as they are.

    Those of keys that nothing was said of stay as they are, and where they are.
    """
    told = said.select("key")
    at = before.select("key").with_row_index("_at").join(told, on="key", how="semi", maintain_order="left")
    spoken = before[at["_at"]]
    delivered = pl.concat([spoken, said])
    once = ~pl.col("key").is_duplicated()
    alone = delivered.filter(once).with_columns(
        pl.when(pl.col("number").is_null()).then("reason").alias("reason"),
        pl.col("whole_person").fill_null(value=False),
    )
    merged = pl.concat([alone, _merged(delivered.filter(~once))])
    nobody = merged.filter(pl.col("number").is_null()).select("key")
    numbered = delivered.select(CLAIMS.names()).filter(pl.col("number").is_not_null())
    lost = pl.concat([claims, numbered]).join(nobody, on="key", how="semi", maintain_order="left")
    held = claims.join(told, on="key", how="anti", maintain_order="left")
    lost = latest(lost, ["key"]).unique(maintain_order=True)
    now = at.join(merged, on="key", how="left", maintain_order="left").select(before.columns)
    new = merged.join(at, on="key", how="anti", maintain_order="left")
    return spoken, pl.concat([with_rows(before, at["_at"], now), new]), pl.concat([held, lost])


def with_rows(frame: pl.DataFrame, at: pl.Series, rows: pl.DataFrame) -> pl.DataFrame:
    """The frame with other rows in some places; columns that they do not change are not copied.

    Args:
        frame: What is held.
        at: The places (UInt32), ascending.
        rows: What stands there from now on.
    """
    was, first, made = frame[at], 0, [frame.clear()]
    differing = [name for name in frame.columns if not was[name].equals(rows[name], null_equal=True)]
    if not differing:
        return frame
    for length in frame.to_series(0).chunk_lengths():
        piece = frame.slice(first, length)
        low, high = (int(at.search_sorted(place)) for place in (first, first + length))
        if low < high:
            order = np.arange(length, dtype=np.uint32)
            order[at[low:high].to_numpy() - first] = np.arange(length, length + high - low, dtype=np.uint32)
            both = pl.concat([piece.select(differing), rows[low:high].select(differing)])
            piece = piece.with_columns(both[pl.Series(order)])
        made.append(piece)
        first += length
    return pl.concat(made)


def apart(frame: pl.DataFrame, told: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of keys that something was said of, and the others; a stretch that holds only others is not copied."""
    spoken, untold = [frame.clear()], [frame.clear()]
    for rows in frame.iter_slices(_STRETCH):
        found = rows.join(told, on="key", how="semi", maintain_order="left")
        spoken.append(found)
        untold.append(rows.join(told, on="key", how="anti", maintain_order="left") if found.height else rows)
    return pl.concat(spoken), pl.concat(untold)


def _merged(delivered: pl.DataFrame) -> pl.DataFrame:
    """One entry for each key of one namespace, of its latest delivery."""
    if delivered.is_empty():
        return delivered
    numbers = pl.col("number").drop_nulls().n_unique()
    ambiguous = pl.lit(Reason.PERSON_AMBIGUOUS.value, delivered.schema["reason"])
    merged = (
        latest(delivered, ["key"])
        .group_by("key", maintain_order=True)
        .agg(
            pl.col("namespace").first(),
            pl.when(numbers == 1).then(pl.col("number").drop_nulls().first()).alias("number"),
            pl.when(numbers > 1)
            .then(ambiguous)
            .when(numbers == 0)
            .then(pl.col("reason").drop_nulls().last())
            .alias("reason"),
            pl.col("birth_date").drop_nulls().last(),
            pl.col("practice").drop_nulls().last(),
            pl.col("removes").drop_nulls().last(),
            pl.col("whole_person").any(),
            pl.col("delivered").last(),
        )
    )
    return _known_by(delivered, merged.select(delivered.columns).cast(delivered.schema))


def _known_by(delivered: pl.DataFrame, merged: pl.DataFrame) -> pl.DataFrame:
    """The entries, those that were deleted without a number with the one that they had, and whether they were sensitive."""
    keys = ["key"]
    bare = merged.filter((pl.col("removes") == Reason.DELETED.value) & pl.col("number").is_null())
    before = delivered.join(bare, on=keys, how="semi").filter(pl.col("number").is_not_null())
    if before.is_empty():
        return merged
    known = (
        latest(before, keys)
        .group_by(keys)
        .agg(
            pl.when(pl.col("number").n_unique() == 1).then(pl.col("number").first()).alias("_had"),
            pl.col("whole_person").any().alias("_was_sensitive"),
        )
    )
    joined = merged.join(known, on=keys, how="left", maintain_order="left")
    return joined.with_columns(
        pl.coalesce("number", "_had").alias("number"),
        pl.when(pl.col("_had").is_null()).then("reason").alias("reason"),
        pl.col("whole_person") | pl.col("_was_sensitive").fill_null(value=False),
    ).select(merged.columns)


def latest(rows: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Of each key the rows that were delivered last; several where one delivery has several."""
    return rows.filter(pl.col("delivered") == pl.col("delivered").max().over(keys))
