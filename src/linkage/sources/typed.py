"""Columns that arrive typed, as from Parquet, Arrow or a database, brought to what the contract says of them.

A type that fits the contract's stays. Any other is written out as the text that a CSV file would hold, and read and checked
as text is: so a code list, a sentinel or an NHS number where none belongs counts whatever the column arrived as.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from linkage.contract import DROPPED, Column, Feed, Role, Table
from linkage.errors import InputError
from linkage.sources import values

# Whole numbers up to here are told apart in a column of double precision, and so is an NHS number.
_EXACT = 2**53
_IDENTIFIES = (Role.PERSON, Role.RECORD, Role.PERSON_KEY, Role.PSEUDONYM)
_ISO = {
    "date": ("%Y-%m-%d",),
    "datetime": ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"),
}


def check(schema: pl.Schema, table: Table, file: str) -> None:
    """Check that every column is of a type whose values can be read without loss.

    Args:
        schema: The contract's columns as the file has them.
        table: The contract's table.
        file: What to call the file.

    Raises:
        InputError: A column holds lists, records or bytes, or identifiers in single precision; names it.
    """
    for name, column in table.columns.items():
        if column.role in DROPPED or name not in schema:
            continue
        dtype = schema[name]
        where = f"{file}: column {column.source[0]!r}"
        if dtype.is_nested() or dtype in (pl.Binary, pl.Object, pl.Duration):
            raise InputError(
                f"{where} is of type {dtype.base_type()}, in which no values are read",
                hint="ask for text, numbers, dates or Booleans",
            )
        if dtype == pl.Float32 and column.role in _IDENTIFIES:
            raise InputError(
                f"{where} is a number of single precision, in which identifiers have lost digits",
                hint="ask for it as text, or as whole numbers",
            )


def as_contracted(frame: pl.LazyFrame, kept: Mapping[str, Column], feed: Feed) -> pl.LazyFrame:
    """Write out what is not of the contract's type, and empty the sentinels of what is."""
    schema = frame.collect_schema()
    typed = {name: column for name, column in kept.items() if schema[name] != pl.String}
    return frame.with_columns(
        _emptied(name, column, feed) if _fits(schema[name], column) else _as_text(name, column, schema[name])
        for name, column in typed.items()
    )


def value(raw: pl.Expr, column: Column, dtype: pl.DataType) -> pl.Expr:
    """The values of a column whose type fits, as the contract's type."""
    types: dict[str, pl.DataType | type[pl.DataType]] = {
        "date": pl.Date,
        "datetime": pl.Datetime("us"),
        "time": pl.Time,
        "boolean": pl.Boolean,
    }
    if column.kind in types:
        local = values.on_the_clock(raw) if isinstance(dtype, pl.Datetime) and dtype.time_zone else raw
        return local.cast(types[column.kind], strict=False)
    if dtype.is_integer() and column.kind == "integer":
        return raw.cast(pl.Int64, strict=False)
    return values.read(raw, column, ())


def sentinels(column: Column, feed: Feed) -> list[str]:
    """The texts that stand for nothing in a column."""
    return [*column.sentinels, *(feed.sentinels if column.kind in ("date", "datetime") else ())]


def _fits(dtype: pl.DataType, column: Column) -> bool:
    if column.codes or column.map or column.lookup or column.role is Role.PERSON:
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


def _emptied(name: str, column: Column, feed: Feed) -> pl.Expr:
    """The column without the values that its sentinels are written for: a typed 1900-01-01 says as little as a written one."""
    said = sentinels(column, feed)
    if not said or column.kind == "boolean":
        return pl.col(name)
    formats = (*(column.formats or feed.formats), *_ISO.get(column.kind, ()))
    nothing = pl.select(values.read(pl.lit(pl.Series(said)), column, formats)).to_series().drop_nulls()
    if not len(nothing):
        return pl.col(name)
    comparable = pl.col(name).cast(pl.Float64 if column.kind == "number" else nothing.dtype, strict=False)
    return pl.when(~comparable.is_in(nothing.implode())).then(name).alias(name)


def _as_text(name: str, column: Column, dtype: pl.DataType) -> pl.Expr:
    """What a CSV file would hold: whole numbers without a fraction, NHS numbers with their leading zeros."""
    raw = pl.col(name)
    if dtype.is_integer():
        text = raw.cast(pl.String)
    elif dtype.is_float():
        whole = (raw == raw.round(0)) & (raw.abs() < _EXACT)
        # An identifier that is no whole number, or too large to be told from its neighbour, identifies nothing.
        other = pl.lit("?") if column.role is Role.PERSON else pl.when(column.role not in _IDENTIFIES).then(raw)
        text = pl.when(whole).then(raw.cast(pl.Int64, strict=False).cast(pl.String)).otherwise(other.cast(pl.String))
    elif dtype.is_decimal():
        text = raw.cast(pl.String).str.replace(r"\.0*$", "")
    else:
        text = raw.cast(pl.String, strict=False)
    if column.role is Role.PERSON and dtype.is_numeric():
        text = text.str.zfill(10)
    return pl.when(raw.is_not_null()).then(text).alias(name)
