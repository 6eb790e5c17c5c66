"""Text as delivered to typed columns under the contract's names.

A cell that cannot be read becomes empty and is flagged in a Boolean column `<name>?invalid`, so that it is counted
and, where the contract requires it, removes its row. No value is guessed.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from linkage.contract import DROPPED, Column, Feed, Role, Table
from linkage.reasons import Reason
from linkage.sources import typed, values

INVALID = "?invalid"
REFUSED = "?refused"
UNTRANSLATED = "?untranslated"
_VALUE = "?value"
# Ten digits in up to three groups (people write 3 3 4, but also 4 3 3 or 5 5), in pairs, or each on its own, with up to
# two blanks, dots or dashes of any kind between the groups. A date and an hour are ten digits in four groups, and pass.
_APART = r"[\s._\-\x{200B}\x{2010}-\x{2015}]"
_THREE = [(one, two, 10 - one - two) for one in range(1, 9) for two in range(1, 10 - one)]
_TEN_DIGITS = "|".join(
    [f"{_APART}{{0,2}}".join(rf"\d{{{digits}}}" for digits in groups) for groups in _THREE]
    + [f"{_APART}{{1,2}}".join([rf"\d{{{digits}}}"] * (10 // digits)) for digits in (1, 2)]
)
_NUMBER_LIKE = rf"(?:^|\D)(?:{_TEN_DIGITS})(?:\D|$)"
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
        can be unreadable also `<name>?invalid` (Boolean), for those that are looked up `<name>?untranslated` (String, the key
        that no lookup has), and for dates and numbers `<name>?refused` (Boolean): invalid
        though it can be read, because no such date or number is plausible. Persons and identifiers stay text.
    """
    kept = {name: column for name, column in table.columns.items() if column.role not in DROPPED}
    frame = typed.as_contracted(frame, kept, feed)
    schema = frame.collect_schema()
    text = {name: column for name, column in kept.items() if schema[name] == pl.String}
    # What is used twice is a step of its own: within one step the engine would work it out twice.
    frame = frame.with_columns(pl.col(name).str.strip_chars() for name in text)
    frame = frame.with_columns(_written(name, column, feed) for name, column in text.items())
    for name, column in kept.items():
        if column.lookup:
            frame = _translate(frame, name, lookups[column.lookup])
    read = {name: column for name, column in kept.items() if _can_fail(column) and not column.lookup}
    frame = frame.with_columns(
        _value(name, column, feed, schema[name]).alias(name + _VALUE) for name, column in read.items()
    )
    bounded = [name for name, column in read.items() if can_refuse(column)]
    frame = frame.with_columns(
        *(_usable(name, column) for name, column in read.items()),
        *(pl.col(name + _VALUE).is_not_null().alias(name + REFUSED) for name in bounded),
    )
    return frame.with_columns(
        *(pl.col(name + _VALUE).alias(name) for name in read),
        *(_unreadable(name).alias(name + INVALID) for name in read),
        *(pl.col(name + REFUSED) & pl.col(name + _VALUE).is_null() for name in bounded),
    ).drop(name + _VALUE for name in read)


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
    nothing = typed.sentinels(column, feed) if column.role is not Role.PERSON else []
    written = ~text.is_in(["", *nothing]) if nothing else text != ""
    wordless = [_plain_word(word) for word, code in column.map.items() if not code]
    if wordless:
        written &= ~_plain(text).is_in(wordless)
    return pl.when(written).then(text).alias(name)


def _translate(frame: pl.LazyFrame, name: str, lookup: pl.DataFrame) -> pl.LazyFrame:
    """A key that the lookup lists with nothing beside it is known to mean nothing; one that it does not list is unknown."""
    # The underscore keeps clear of the contract's own names, which cannot start with one.
    table = lookup.lazy().rename({"value": "_translated"}).with_columns(_listed=pl.lit(value=True))
    joined = frame.join(table, left_on=name, right_on="key", how="left", maintain_order="left")
    unknown = pl.col(name).is_not_null() & pl.col("_listed").is_null()
    return joined.with_columns(
        unknown.alias(name + INVALID),
        pl.when(unknown).then(name).alias(name + UNTRANSLATED),
        pl.col("_translated").alias(name),
    ).drop("_translated", "_listed")


def _value(name: str, column: Column, feed: Feed, dtype: pl.DataType) -> pl.Expr:
    """The value of a cell, or null where something is written that is none."""
    raw = pl.col(name)
    if dtype != pl.String:
        return typed.value(raw, column, dtype)
    if column.codes:
        return pl.when(raw.is_in(list(column.codes))).then(raw)
    if column.map:
        return _mapped(raw, column)
    if column.kind == "text" and column.role is not Role.FLAG:
        return pl.when(~raw.str.contains(_NUMBER_LIKE)).then(raw)
    return values.read(raw, column, column.formats or feed.formats)


def _usable(name: str, column: Column) -> pl.Expr:
    value = pl.col(name + _VALUE)
    if column.role is Role.NUMBER and column.kind in ("number", "integer"):
        return pl.when(~(value.abs().is_between(*_NUMBER_LIKE_RANGE) & (value == value.round(0)))).then(value)
    if column.kind in ("date", "datetime"):
        return values.plausible(value)
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
