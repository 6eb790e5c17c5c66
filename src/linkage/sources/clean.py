"""Text as delivered to typed columns under the contract's names.

A cell that cannot be read becomes empty and is flagged in a Boolean column `<name>?invalid`, so that it is counted
and, where the contract requires it, removes its row. No value is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date

import polars as pl

from linkage.contract import DROPPED, Column, Feed, Role, Table
from linkage.reasons import Reason

INVALID = "?invalid"
REFUSED = "?refused"
_VALUE = "?value"
TRUE = ("true", "t", "yes", "y", "1")
FALSE = ("false", "f", "no", "n", "0")
EARLIEST = date(1850, 1, 1)
LATEST = date(2150, 1, 1)
# Ten digits, together or grouped 3 3 4 as NHS numbers are, with up to two blanks, dots or dashes of any kind between.
_BETWEEN = r"[\s._\-\x{200B}\x{2010}-\x{2015}]{0,2}"
_NUMBER_LIKE = rf"(?:^|\D)\d{{3}}{_BETWEEN}\d{{3}}{_BETWEEN}\d{{4}}(?:\D|$)"
# A number column has no use for whole numbers of nine or ten digits, and an NHS number would be one.
_NUMBER_LIKE_RANGE = (100_000_000, 9_999_999_999)
_CHECKED_TEXT = frozenset({Role.CATEGORY, Role.PRACTICE, Role.ORGANISATION})

Lookups = Mapping[str, pl.DataFrame]


def clean(frame: pl.LazyFrame, feed: Feed, table: Table, lookups: Lookups) -> pl.LazyFrame:
    """Clean one table.

    Args:
        frame: What `read.scan` gives.
        feed: The contract: date formats and sentinels.
        table: The contract's table.
        lookups: For each `table.column` that a column names: a frame of `key` and `value` (String).

    Returns:
        The same rows with typed columns: String, Int64, Float64, Date, Datetime[us], Time or Boolean; for columns that
        can be unreadable also `<name>?invalid` (Boolean), and for dates and numbers `<name>?refused` (Boolean): invalid
        though it can be read, because no such date or number is plausible. Persons and identifiers stay text.
    """
    kept = {name: column for name, column in table.columns.items() if column.role not in DROPPED}
    frame = _text_where_no_type_fits(frame, kept)
    schema = frame.collect_schema()
    text = {name: column for name, column in kept.items() if schema[name] == pl.String}
    # What is used twice is a step of its own: within one step the engine would work it out twice.
    frame = frame.with_columns(pl.col(name).str.strip_chars() for name in text)
    frame = frame.with_columns(_written(name, column, feed) for name, column in text.items())
    for name, column in kept.items():
        if column.lookup:
            frame = _translate(frame, name, lookups[column.lookup])
    typed = {name: column for name, column in kept.items() if _can_fail(column) and not column.lookup}
    frame = frame.with_columns(
        _value(name, column, feed, schema[name]).alias(name + _VALUE) for name, column in typed.items()
    )
    bounded = [name for name, column in typed.items() if can_refuse(column)]
    frame = frame.with_columns(
        *(_usable(name, column) for name, column in typed.items()),
        *(pl.col(name + _VALUE).is_not_null().alias(name + REFUSED) for name in bounded),
    )
    return frame.with_columns(
        *(pl.col(name + _VALUE).alias(name) for name in typed),
        *(_unreadable(name).alias(name + INVALID) for name in typed),
        *(pl.col(name + REFUSED) & pl.col(name + _VALUE).is_null() for name in bounded),
    ).drop(name + _VALUE for name in typed)


def _text_where_no_type_fits(frame: pl.LazyFrame, kept: Mapping[str, Column]) -> pl.LazyFrame:
    """Parquet may hold codes as numbers or text as categories: they are then written out, and checked as text is."""
    schema = frame.collect_schema()
    others = (name for name, column in kept.items() if _can_fail(column) and not _fits(schema[name], column))
    return frame.with_columns(pl.col(name).cast(pl.String, strict=False) for name in others)


def _fits(dtype: pl.DataType, column: Column) -> bool:
    if dtype == pl.String:
        return True
    if column.codes or column.map or column.lookup:
        return False
    match column.kind:
        case "integer" | "number":
            return dtype.is_numeric()
        case "date" | "datetime":
            return dtype in (pl.Date, pl.Datetime)
        case "time":
            return dtype in (pl.Time, pl.Datetime)
        case "boolean":
            return dtype == pl.Boolean
        case _:
            return False


def required_reason(table: Table) -> pl.Expr:
    """The reason (String) for which a row lacks what the contract requires, or null."""
    missing = [pl.col(name).is_null() & ~_invalid(name, table) for name in table.required]
    invalid = [_invalid(name, table) for name in table.required if _can_fail(table.columns[name])]
    return pl.coalesce(
        pl.when(pl.col("_malformed")).then(pl.lit(Reason.ROW_MALFORMED.value)),
        pl.when(pl.any_horizontal(missing or [pl.lit(value=False)])).then(pl.lit(Reason.REQUIRED_MISSING.value)),
        pl.when(pl.any_horizontal(invalid or [pl.lit(value=False)])).then(pl.lit(Reason.REQUIRED_INVALID.value)),
    )


def counted(table: Table) -> tuple[str, ...]:
    """Names of the columns whose unreadable or unknown values are counted."""
    return tuple(name for name, column in table.columns.items() if column.role not in DROPPED and _can_fail(column))


def is_coded(column: Column) -> bool:
    """Whether a value of the column is one of a list: what is not on it is unknown."""
    return bool(column.codes or column.lookup)


def can_refuse(column: Column) -> bool:
    """Whether a value of the column can be readable and yet be refused: a date or a number out of all bounds."""
    return column.kind in ("date", "datetime") or (column.role is Role.NUMBER and column.kind in ("number", "integer"))


def _invalid(name: str, table: Table) -> pl.Expr:
    return pl.col(name + INVALID) if _can_fail(table.columns[name]) else pl.lit(value=False)


def _can_fail(column: Column) -> bool:
    if column.role is Role.PERSON:
        return False
    if column.role is Role.FLAG:
        return True
    return column.kind != "text" or bool(column.codes or column.map or column.lookup) or column.role in _CHECKED_TEXT


def _written(name: str, column: Column, feed: Feed) -> pl.Expr:
    """The stripped text, or null where it says nothing."""
    text = pl.col(name)
    if column.role is Role.PERSON:
        return text
    nothing = [*column.sentinels, *(feed.sentinels if column.kind in ("date", "datetime") else ())]
    written = ~text.is_in(["", *nothing]) if nothing else text != ""
    wordless = [_plain_word(word) for word, code in column.map.items() if not code]
    if wordless:
        written &= ~_plain(text).is_in(wordless)
    return pl.when(written).then(text).alias(name)


def _translate(frame: pl.LazyFrame, name: str, lookup: pl.DataFrame) -> pl.LazyFrame:
    # The underscore keeps clear of the contract's own names, which cannot start with one.
    table = lookup.lazy().rename({"value": "_translated"})
    joined = frame.join(table, left_on=name, right_on="key", how="left", maintain_order="left")
    unknown = (pl.col(name).is_not_null() & pl.col("_translated").is_null()).alias(name + INVALID)
    return joined.with_columns(unknown, pl.col("_translated").alias(name)).drop("_translated")


def _value(name: str, column: Column, feed: Feed, dtype: pl.DataType) -> pl.Expr:
    """The value of a cell, or null where something is written that is none."""
    raw = pl.col(name)
    if dtype.is_temporal() or dtype == pl.Boolean or (dtype.is_integer() and column.kind == "integer"):
        return _cast(raw, column)
    if column.codes:
        return pl.when(raw.is_in(list(column.codes))).then(raw)
    if column.map:
        return _mapped(raw, column)
    if column.kind == "text" and column.role is not Role.FLAG:
        return pl.when(~raw.str.contains(_NUMBER_LIKE)).then(raw)
    return _read(raw, column, column.formats or feed.formats)


def _usable(name: str, column: Column) -> pl.Expr:
    value = pl.col(name + _VALUE)
    if column.role is Role.NUMBER and column.kind in ("number", "integer"):
        return pl.when(~(value.abs().is_between(*_NUMBER_LIKE_RANGE) & (value == value.round(0)))).then(value)
    if column.kind in ("date", "datetime"):
        return _plausible(value)
    return value


def _unreadable(name: str) -> pl.Expr:
    return pl.col(name).is_not_null() & pl.col(name + _VALUE).is_null()


def _mapped(raw: pl.Expr, column: Column) -> pl.Expr:
    """The code that a word stands for, null for an unknown word; a code stands for itself."""
    words = {_plain_word(code): code for code in column.map.values()}
    words |= {_plain_word(word): code for word, code in column.map.items()}
    return _plain(raw).replace_strict(list(words), list(words.values()), default=None, return_dtype=pl.String)


def _plain(text: pl.Expr) -> pl.Expr:
    return text.str.to_lowercase().str.replace_all(r"\s+", " ")


def _plain_word(word: str) -> str:
    return " ".join(word.lower().split())


def _read(raw: pl.Expr, column: Column, formats: tuple[str, ...]) -> pl.Expr:
    match column.kind:
        case "date":
            return _first_that_fits(raw, formats, _date)
        case "datetime":
            return _first_that_fits(raw, formats, _datetime)
        case "time":
            layouts = column.formats or ("%H:%M:%S", "%H:%M", "%H%M")
            return _first_that_fits(raw, layouts, _time, plausible=lambda value: value)
        case "number":
            number = raw.cast(pl.Float64, strict=False)
            return pl.when(number.is_finite()).then(number)
        case "integer":
            number = raw.cast(pl.Float64, strict=False)
            return pl.when(number.is_finite() & (number == number.round(0)) & (number.abs() < 2**53)).then(
                number.cast(pl.Int64, strict=False)
            )
        case "text":
            return raw.is_not_null()
        case _:
            lowered = raw.str.to_lowercase()
            return (
                pl.when(lowered.is_in(list(TRUE)))
                .then(pl.lit(value=True))
                .when(lowered.is_in(list(FALSE)))
                .then(pl.lit(value=False))
            )


def _plausible(value: pl.Expr) -> pl.Expr:
    return pl.when(value.dt.date().is_between(EARLIEST, LATEST)).then(value)


def _first_that_fits(
    raw: pl.Expr,
    layouts: Sequence[str],
    parse: Callable[[pl.Expr, str], pl.Expr],
    plausible: Callable[[pl.Expr], pl.Expr] = _plausible,
) -> pl.Expr:
    """What the first layout makes of the text that makes anything plausible; later ones see only what is left.

    Where none does, something implausible that a layout made of it, so that it can be told from what no layout reads.
    """
    value = parse(raw, layouts[0])
    for layout in layouts[1:]:
        good = plausible(value)
        value = pl.coalesce(good, parse(pl.when(good.is_null()).then(raw), layout), value)
    return value


def _time(raw: pl.Expr, layout: str) -> pl.Expr:
    return raw.str.to_time(layout, strict=False)


def _datetime(raw: pl.Expr, layout: str) -> pl.Expr:
    return raw.str.to_datetime(layout, strict=False, time_unit="us")


def _date(raw: pl.Expr, layout: str) -> pl.Expr:
    # A month and a year alone, as in HES's MYDOB, is the first of that month.
    if "%d" not in layout:
        raw, layout = pl.concat_str(pl.lit("01 "), raw), "%d " + layout
    return raw.str.to_date(layout, strict=False)


def _cast(raw: pl.Expr, column: Column) -> pl.Expr:
    """Columns that arrive typed, as from Parquet."""
    types: dict[str, pl.DataType | type[pl.DataType]] = {
        "integer": pl.Int64,
        "date": pl.Date,
        "datetime": pl.Datetime("us"),
        "time": pl.Time,
        "boolean": pl.Boolean,
    }
    return raw.cast(types[column.kind], strict=False)
