"""Rows in the order of their new tokens, with no more of the old order left than settling needs.

A part tells by `_row` where each row stood in its file. Kept beside new tokens, that would match them with the site's own
file row by row. Settling asks for the order of rows of one record, and of rows of one person; among others nobody asks. So
`_row` becomes the place among the rows of one person. Rows of a record that a file gives to several persons, which is
rare, keep their order among each other and among all rows of those persons; rows of nobody are counted by record.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

__all__ = ["reordered"]


def reordered(rows: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """The rows sorted by token, with new `_row` (Int64).

    Args:
        rows: One part, tokens translated: `token` (Binary), `_row` (Int64, its place in the file) and the columns that
            its contract publishes.
        keys: The columns that name a record.

    Returns:
        The same rows and columns. Rows of one token come together, those without one last; within a token and within
        a record `_row` has the order that it had, and within a record it is not there twice.
    """
    tangled = _tangled(rows, keys)
    if tangled is None:
        return pl.concat([_of_persons(rows.filter(_NAMED)), _of_nobody(rows.filter(~_NAMED), keys)])
    knot, rest = rows.filter(tangled), rows.filter(~tangled)
    knot = knot.with_columns((pl.col("_row").rank("ordinal").cast(pl.Int64) - 1).alias("_row"))
    persons = pl.concat([_of_persons(rest.filter(_NAMED)), knot.filter(_NAMED)]).sort("token", "_row")
    return pl.concat([persons, _of_nobody(rest.filter(~_NAMED), keys), knot.filter(~_NAMED)])


_NAMED = pl.col("token").is_not_null()


def _of_persons(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of persons by token; `_row` counts within each."""
    return _counted(rows.sort("token", "_row"), ["token"])


def _of_nobody(rows: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Rows without a person by record; `_row` counts within each. Those that name no record come in the order of their content."""
    whole = _whole(keys)
    named = _counted(rows.filter(whole).sort(*keys, "_row"), keys)
    content = [name for name in rows.columns if name != "_row"]
    broken = rows.filter(~whole).sort(*content, "_row").with_columns(_PLACE.alias("_row"))
    return pl.concat([named, broken])


_PLACE = pl.int_range(pl.len(), dtype=pl.Int64)


def _counted(rows: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Rows that are sorted by some columns, with `_row` counting from 0 within each value of them."""
    begins = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift()) for name in by) | (_PLACE == 0)
    return rows.with_columns((_PLACE - pl.when(begins).then(_PLACE).forward_fill()).alias("_row"))


def _tangled(rows: pl.DataFrame, keys: Sequence[str]) -> pl.Series | None:
    """Rows of records that several persons have, and all rows of those persons (Boolean); None where there are none."""
    if "token" in keys:
        return None
    record = pl.col(keys[0]) if len(keys) == 1 else pl.struct(keys)
    twice = rows.lazy().filter(_whole(keys)).select("token", *keys).filter(record.is_duplicated()).collect()
    shared = twice.group_by(keys).agg(pl.col("token").unique()).filter(pl.col("token").list.len() > 1)
    if not shared.height:
        return None
    people = shared["token"].explode().drop_nulls().unique()
    of_people = rows["token"].is_in(people.implode()).fill_null(value=False)
    there = rows.select(keys).with_row_index("_at").join(shared.select(keys), on=list(keys), how="semi")["_at"]
    of_records = rows.select(_PLACE.alias("_at"))["_at"].is_in(there.cast(pl.Int64).implode())
    return of_people | of_records


def _whole(keys: Sequence[str]) -> pl.Expr:
    return pl.all_horizontal(pl.col(key).is_not_null() for key in keys)
