"""Columns that arrive typed, as from Parquet, are held against the contract as text is."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from linkage.contract import Column, Feed, Table
from linkage.sources import clean
from linkage.sources.clean import INVALID

CODED = {"role": "category", "codes": ("1", "2")}


def _cleaned(values: pl.Series, **column: object) -> tuple[list[object], list[bool]]:
    table = Table.model_construct(columns={"x": Column.model_validate({"source": "X", **column})})
    feed = Feed.model_construct(formats=("%Y-%m-%d",), sentinels=())
    frame = clean.clean(values.alias("x").to_frame().lazy(), feed, table, {}).collect()
    return frame["x"].to_list(), frame["x" + INVALID].to_list()


@pytest.mark.parametrize("dtype", [pl.String, pl.Categorical, pl.Int64])
def test_an_nhs_number_where_a_code_belongs_is_emptied(dtype: type[pl.DataType]) -> None:
    """Whatever the type that it arrives in, and with a list of codes and without."""
    values = pl.Series([9434765919, 1]) if dtype is pl.Int64 else pl.Series(["9434765919", "1"], dtype=dtype)
    assert _cleaned(values, role="category") == ([None, "1"], [True, False])
    assert _cleaned(values, **CODED) == ([None, "1"], [True, False])


@pytest.mark.parametrize("between", ["", " ", "-", "\u00a0", "  ", ".", "\u2011", "_", "\t", " -", "\u200b"])
def test_an_nhs_number_is_seen_however_it_is_grouped(between: str) -> None:
    """In text of every role that is published."""
    values = pl.Series([f"see {between.join(['943', '476', '5919'])}", "a12"])
    assert _cleaned(values, role="category") == ([None, "a12"], [True, False])


def test_unknown_codes_blanks_and_sentinels_are_seen_in_typed_columns() -> None:
    """As they are in text."""
    assert _cleaned(pl.Series([1, 9]), **CODED) == (["1", None], [False, True])
    categories = pl.Series([" 1 ", "", "9"], dtype=pl.Categorical)
    assert _cleaned(categories, **CODED, sentinels=("9",)) == (["1", None, None], [False, False, False])


def test_numbers_without_a_value_and_fractions_of_integers_are_unreadable() -> None:
    """Nothing is rounded, and what is not a number is none."""
    values = pl.Series([1.5, float("nan"), float("inf"), 2.0])
    assert _cleaned(values, role="number") == ([1.5, None, None, 2.0], [False, True, True, False])
    assert _cleaned(values, role="number", type="integer") == ([None, None, None, 2], [True, True, True, False])


def test_whole_numbers_are_dates_only_as_the_contract_writes_them() -> None:
    """Not as days since 1970."""
    assert _cleaned(pl.Series([43831, 20240102]), role="date", formats=("%Y%m%d",)) == (
        [None, date(2024, 1, 2)],
        [True, False],
    )


def test_flags_are_one_or_nought() -> None:
    """Anything else is unreadable, which for a flag that removes rows counts as set."""
    assert _cleaned(pl.Series([0, 1, 2]), role="flag") == ([False, True, None], [False, False, True])
    assert _cleaned(pl.Series([0, None]), role="flag", type="text") == ([True, False], [False, False])
