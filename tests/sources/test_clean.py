"""Columns that arrive typed, as from Parquet, are held against the contract as text is."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkage import nhs_number
from linkage.contract import Column, Feed, Table
from linkage.errors import InputError
from linkage.sources import clean, typed
from linkage.sources.clean import INVALID

CODED = {"role": "category", "codes": ("1", "2")}


def _frame(values: pl.Series, feed_sentinels: tuple[str, ...] = (), **column: object) -> pl.DataFrame:
    table = Table.model_construct(columns={"x": Column.model_validate({"source": "X", **column})})
    feed = Feed.model_construct(formats=("%Y-%m-%d",), sentinels=feed_sentinels)
    return clean.clean(values.alias("x").to_frame().lazy(), feed, table, {}).collect()


def _cleaned(values: pl.Series, **column: object) -> tuple[list[object], list[bool]]:
    frame = _frame(values, **column)
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


@pytest.mark.parametrize(
    "text",
    ["9434 765 919", "943 4765 919", "94347 65919", "94 34 76 59 19", "9 4 3 4 7 6 5 9 1 9", "9-4-3-4-7-6-5-9-1-9"],
)
def test_an_nhs_number_is_seen_in_other_groups_than_three_three_four(text: str) -> None:
    """As people write it; a date with an hour is ten digits too and is none."""
    values = pl.Series([f"({text})", "2024-05-01 10:30", "01-05-2024 10", "12345 678901", "943 476 591"])
    assert _cleaned(values, role="category") == ([None, *values[1:]], [True, False, False, False, False])


@given(st.lists(st.integers(1, 10), min_size=1, max_size=10), st.sampled_from([" ", "-", ".", " - "]))
def test_ten_digits_in_up_to_three_groups_are_always_seen(cuts: list[int], between: str) -> None:
    """Whichever groups; more groups only where they are pairs or single digits."""
    places = sorted({0, 10, *cuts})
    groups = ["9434765919"[start:end] for start, end in pairwise(places)]
    even = {len(group) for group in groups} in ({1}, {2})
    # Three characters between two groups are more than anybody writes.
    seen = len(groups) == 1 or ((len(groups) <= 3 or even) and len(between) <= 2)
    assert _cleaned(pl.Series([between.join(groups)]), role="category")[1] == [seen]


SENTINEL_DATES = [date(1900, 1, 1), date(2024, 1, 2), None, date(9999, 12, 31)]
SENTINELS = ("1900-01-01", "9999-12-31", "NULL", "31/12/1899")


@pytest.mark.parametrize("dtype", [pl.Date, pl.Datetime("us"), pl.Datetime("ms"), pl.String])
@pytest.mark.parametrize("formats", [("%Y-%m-%d",), ("%d/%m/%Y", "%Y-%m-%d")])
def test_a_date_that_means_nothing_is_emptied_whatever_its_type(dtype: pl.DataType, formats: tuple[str, ...]) -> None:
    """The feed's sentinels and the column's; they are no invalid values."""
    values = pl.Series(SENTINEL_DATES)
    frame = _frame(values.cast(dtype), feed_sentinels=SENTINELS, role="date", formats=formats)
    assert frame["x"].to_list() == [None, date(2024, 1, 2), None, None]
    assert not frame["x" + INVALID].any()
    frame = _frame(values.cast(dtype), role="date", formats=formats)
    assert frame["x"].to_list() == [date(1900, 1, 1), date(2024, 1, 2), None, None]
    assert frame["x" + INVALID].to_list() == [False, False, False, True]


def test_other_typed_sentinels_are_emptied() -> None:
    """Midnight of the day for a date and time, a number for a number; what is no value of the type is passed over."""
    moments = pl.Series([datetime(1900, 1, 1), datetime(1900, 1, 1, 0, 1), datetime(2024, 1, 1)])
    dated = {"role": "date", "type": "datetime", "formats": ("%Y-%m-%d %H:%M",)}
    assert _frame(moments, feed_sentinels=("1900-01-01", "n/a"), **dated)["x"].to_list() == [None, *moments[1:]]
    written = {"role": "number", "sentinels": ("999", "-1.5", "none")}
    column = Column.model_validate({"source": "X", **written})
    for values in (pl.Series([999, 3]), pl.Series([999.0, -1.5, 3.0]), pl.Series([Decimal("999.0"), Decimal(3)])):
        frame = clean.clean(
            values.alias("x").to_frame().lazy(),
            Feed.model_construct(formats=(), sentinels=()),
            Table.model_construct(columns={"x": column}),
            {},
        ).collect()
        assert frame["x"].drop_nulls().to_list() == [3.0]


NUMBERS: list[tuple[pl.Series, list[str | None]]] = [
    (pl.Series([9434765919.0, 101011113.0, None, 1.5, float("nan"), 1e300]), [None, None, "missing", "malformed"]),
    (pl.Series([9434765919, 101011113, None, -5]), [None, None, "missing", "malformed"]),
    (
        pl.Series([Decimal("9434765919.00"), Decimal(101011113), None, Decimal("1.5")]),
        [None, None, "missing", "malformed"],
    ),
    (pl.Series(["943 476 5919", "0101011113", None, "x"], dtype=pl.Categorical), [None, None, "missing", "malformed"]),
    (pl.Series([True, False, None]), ["malformed", "malformed", "missing"]),
]


@pytest.mark.parametrize(("values", "reasons"), NUMBERS, ids=lambda each: str(getattr(each, "dtype", "")))
@pytest.mark.parametrize("kind", ["text", "integer"])
def test_nhs_numbers_are_read_from_columns_of_any_type(values: pl.Series, reasons: list[str | None], kind: str) -> None:
    """With the zeros that a number has lost; what is none has a reason."""
    text = _frame(values, role="person", type=kind)["x"]
    parsed = nhs_number.parse(text, integer=kind == "integer")
    expected = [None if reason is None else f"number_{reason}" for reason in reasons]
    expected += ["number_malformed"] * (len(values) - len(expected))
    assert parsed["reason"].to_list() == expected
    if expected[0] is None:
        assert parsed["number"].to_list()[:2] == [9434765919, 101011113]


@pytest.mark.parametrize("role", ["record", "person_key", "code"])
def test_an_identifier_is_the_same_text_from_a_column_of_any_type(role: str) -> None:
    """Pandas makes whole numbers with gaps floating point: its 12.0 is the 12 of the CSV file."""
    named = {} if role == "code" else {"namespace": "test.key"}
    for values in (
        pl.Series(["12", "3", None]),
        pl.Series([12, 3, None]),
        pl.Series([12.0, 3.0, None]),
        pl.Series([Decimal(12), Decimal(3), None]),
        pl.Series(["12", "3", None], dtype=pl.Enum(["3", "12"])),
    ):
        assert _frame(values, role=role, **named)["x"].to_list() == ["12", "3", None]


def test_an_identifier_in_floating_point_that_is_no_whole_number_identifies_nothing() -> None:
    """Two neighbours of 2^53 could have become one; a code may have a fraction."""
    values = pl.Series([1.5, float(2**53), -float(2**53)])
    assert _frame(values, role="record", namespace="test.key")["x"].to_list() == [None] * 3
    assert _frame(pl.Series([1.5]), role="code")["x"].to_list() == ["1.5"]


@pytest.mark.parametrize(
    ("values", "column", "said"),
    [
        (pl.Series([[1]]), {"role": "code"}, "List"),
        (pl.Series([{"a": 1}]), {"role": "code"}, "Struct"),
        (pl.Series([b"a"]), {"role": "code"}, "Binary"),
        (pl.Series([1], dtype=pl.Duration), {"role": "date"}, "Duration"),
        (pl.Series([1.0], dtype=pl.Float32), {"role": "person"}, "single precision"),
        (pl.Series([1.0], dtype=pl.Float32), {"role": "record", "namespace": "a.b"}, "single precision"),
    ],
)
def test_types_in_which_no_values_are_read_are_refused(values: pl.Series, column: dict[str, Any], said: str) -> None:
    """By the name of the file and of the column; where the column is dropped it does not matter."""
    schema = values.alias("x").to_frame().schema
    table = Table.model_construct(columns={"x": Column.model_validate({"source": "The X", **column})})
    with pytest.raises(InputError, match=f"a.parquet: column 'The X' is .*{said}"):
        typed.check(schema, table, "a.parquet")
    typed.check(
        schema, Table.model_construct(columns={"x": Column.model_validate({"source": "X", "role": "name"})}), "a"
    )


def test_a_time_with_a_zone_is_what_the_clock_in_england_showed() -> None:
    """In summer an hour later than Greenwich, typed or written; the day goes with it."""
    moments = [datetime(2026, 5, 1, 23, 30, tzinfo=UTC), datetime(2026, 12, 1, 23, 30, tzinfo=UTC)]
    clock = [datetime(2026, 5, 2, 0, 30), datetime(2026, 12, 1, 23, 30)]
    moment = {"role": "date", "type": "datetime", "formats": ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%:z")}
    day = {"role": "date", "formats": ("%Y-%m-%dT%H:%M:%S%z",)}
    for zone in ("UTC", "Asia/Tokyo"):
        values = pl.Series(moments).dt.convert_time_zone(zone)
        assert _cleaned(values, **moment) == (clock, [False, False])
        assert _cleaned(values, **day) == ([each.date() for each in clock], [False, False])
        assert _cleaned(values, role="number", type="time")[0] == [each.time() for each in clock]
    text = pl.Series([each.astimezone(ZoneInfo("Asia/Tokyo")).isoformat() for each in moments])
    assert _cleaned(text, **moment) == (clock, [False, False])
    assert _cleaned(text, **day) == ([each.date() for each in clock], [False, False])
    assert _cleaned(pl.Series(["2026-05-01T10:00:00"]), **moment) == ([datetime(2026, 5, 1, 10)], [False])


def test_a_time_of_day_has_no_zone() -> None:
    """It stays as it is."""
    assert _cleaned(pl.Series([time(10, 30)]), role="number", type="time") == ([time(10, 30)], [False])
