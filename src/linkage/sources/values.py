"""What a text means as a date, a time, a number or a Boolean: the contract's formats, tried in order; nothing is guessed.

Where a format gives the time zone (`%z`), the time becomes what the clock in England showed, as feeds without one write it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date

import polars as pl

from linkage.contract import Column

TRUE = ("true", "t", "yes", "y", "1")
FALSE = ("false", "f", "no", "n", "0")
EARLIEST = date(1850, 1, 1)
LATEST = date(2150, 1, 1)
CLOCK = "Europe/London"


def read(raw: pl.Expr, column: Column, formats: tuple[str, ...]) -> pl.Expr:
    """The value of a text as the column's type, or null; a date may still be implausible."""
    match column.kind:
        case "date":
            return _first_that_fits(raw, formats, _date)
        case "datetime":
            return _first_that_fits(raw, formats, _datetime)
        case "time":
            layouts = column.formats or ("%H:%M:%S", "%H:%M", "%H%M")
            return _first_that_fits(raw, layouts, _time, believed=lambda value: value)
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


def plausible(value: pl.Expr) -> pl.Expr:
    """The dates and times that records can have; null for the others."""
    return pl.when(value.dt.date().is_between(EARLIEST, LATEST)).then(value)


def _first_that_fits(
    raw: pl.Expr,
    layouts: Sequence[str],
    parse: Callable[[pl.Expr, str], pl.Expr],
    believed: Callable[[pl.Expr], pl.Expr] = plausible,
) -> pl.Expr:
    """What the first layout makes of the text that makes anything plausible; later ones see only what is left.

    Where none does, something implausible that a layout made of it, so that it can be told from what no layout reads.
    """
    value = parse(raw, layouts[0])
    for layout in layouts[1:]:
        good = believed(value)
        value = pl.coalesce(good, parse(pl.when(good.is_null()).then(raw), layout), value)
    return value


def _time(raw: pl.Expr, layout: str) -> pl.Expr:
    return raw.str.to_time(layout, strict=False)


def _datetime(raw: pl.Expr, layout: str) -> pl.Expr:
    value = raw.str.to_datetime(layout, strict=False, time_unit="us")
    return on_the_clock(value) if _has_zone(layout) else value


def _date(raw: pl.Expr, layout: str) -> pl.Expr:
    if _has_zone(layout):
        return _datetime(raw, layout).dt.date()
    # A month and a year alone, as in HES's MYDOB, is the first of that month.
    if "%d" not in layout:
        raw, layout = pl.concat_str(pl.lit("01 "), raw), "%d " + layout
    return raw.str.to_date(layout, strict=False)


def on_the_clock(value: pl.Expr) -> pl.Expr:
    """What the clock in England showed at a moment that has a time zone."""
    return value.dt.convert_time_zone(CLOCK).dt.replace_time_zone(None)


def _has_zone(layout: str) -> bool:
    return any(mark in layout for mark in ("%z", "%#z", "%:z", "%+"))
