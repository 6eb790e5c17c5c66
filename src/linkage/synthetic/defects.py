"""What goes wrong in real extracts, planted on purpose: NHS numbers, dates, stand-ins for empty dates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from linkage.synthetic.draws import Draws, Flags, Ints
from linkage.synthetic.marks import code
from linkage.synthetic.numbers import PALINDROMES, REPEATED, SCOTTISH
from linkage.synthetic.world import Chunk

_TEXT = pl.col("text")
_LAST = _TEXT.str.slice(-1).cast(pl.Int64)
_RANK = pl.col("row") % 9


def _spelled(separator: str) -> pl.Expr:
    parts = (_TEXT.str.slice(0, 3), _TEXT.str.slice(3, 3), _TEXT.str.slice(6, 4))
    return pl.concat_str(*parts, separator=separator)


@dataclass(frozen=True)
class Kind:
    """One way in which a number is written; ``reason`` is empty where it is still the right number."""

    name: str
    rate: float
    reason: str
    written: pl.Expr
    in_integer_columns: bool = True


KINDS = (
    Kind("blank", 0.0012, "number_missing", pl.lit(None, dtype=pl.String)),
    Kind("spaces_only", 0.0002, "number_missing", pl.lit("   "), in_integer_columns=False),
    Kind("letters", 0.0005, "number_malformed", _TEXT.str.slice(0, 4) + "X" + _TEXT.str.slice(5)),
    Kind("nine_digits", 0.0005, "number_malformed", _TEXT.str.slice(0, 9), in_integer_columns=False),
    Kind("eleven_digits", 0.0005, "number_malformed", _TEXT + "0"),
    Kind("dash", 0.0004, "number_malformed", pl.lit("-")),
    Kind("repeated", 0.0007, "number_blocked",
         pl.lit(pl.Series(REPEATED[1:])).gather(_RANK).cast(pl.String)),
    Kind("palindrome", 0.0004, "number_blocked", pl.lit(pl.Series(PALINDROMES)).gather(_RANK).cast(pl.String)),
    Kind("check_digit", 0.0015, "number_check_digit",
         _TEXT.str.slice(0, 9) + ((_LAST + 1 + _RANK) % 10).cast(pl.String)),
    Kind("spaced", 0.0015, "", _spelled(" "), in_integer_columns=False),
    Kind("hyphens", 0.0010, "", _spelled("-"), in_integer_columns=False),
)  # fmt: skip
BLANK, LOST_ZERO = 0, len(KINDS)


@dataclass(frozen=True)
class PersonColumn:
    """An NHS number column as extracted, with what is wrong with each cell (0 for nothing)."""

    text: pl.Series
    reason: Ints  # position in marks.REASONS
    plain: Flags


def number_column(chunk: Chunk, draws: Draws, owner: Ints, blank: float = 0.0, integer: bool = False) -> PersonColumn:
    """Numbers of the owners, some replaced, some defective; ``blank`` is an extra share without any."""
    people = chunk.world.population
    number, replaced = _replaced(chunk, owner)
    foreign = people.foreign[owner]
    free = ~foreign & ~replaced
    kind = np.full(len(owner), -1, dtype=np.int64)
    floor = min(chunk.floor, len(owner) // 80)
    for index, one in enumerate(KINDS):
        if integer and not one.in_integer_columns:
            continue
        share = one.rate + (blank if index == BLANK else 0.0)
        kind[draws.some(free & (kind < 0), share, floor)] = index
    if not integer:
        # Every second row of the Scottish person has lost its leading zero on the way.
        kind[np.flatnonzero(number == SCOTTISH)[1::2]] = LOST_ZERO
    return PersonColumn(_written(number, kind, integer), _reasons(kind), (kind < 0) & free)


def _replaced(chunk: Chunk, owner: Ints) -> tuple[Ints, Flags]:
    """Numbers with replaced ones in two of three rows, and the rows of people who have any."""
    people = chunk.world.population
    number = people.number[owner]
    many = people.older[owner] > 0
    rows = np.flatnonzero(many)
    turn = np.arange(len(rows)) % 3
    older, oldest = people.older[owner[rows]], people.oldest[owner[rows]]
    earliest = np.where(oldest > 0, oldest, older)
    number[rows] = np.choose(turn, [number[rows], older, earliest])
    return number, many


def _written(number: Ints, kind: Ints, integer: bool) -> pl.Series:
    width = 0 if integer else 10
    frame = pl.DataFrame({"text": number, "kind": kind, "row": np.arange(len(number))})
    frame = frame.with_columns(pl.col("text").cast(pl.String).str.zfill(width))
    broken = frame.filter(pl.col("kind") >= 0)
    text = pl.coalesce(pl.when(pl.col("kind") == index).then(one.written) for index, one in enumerate(KINDS))
    lost = pl.when(pl.col("kind") == LOST_ZERO).then(_TEXT.str.strip_chars_start("0"))
    fixed = broken.select("row", pl.coalesce(lost, text).alias("written"))
    joined = frame.join(fixed, on="row", how="left", maintain_order="left")
    return joined.select(
        pl.when(pl.col("kind") >= 0).then(pl.col("written")).otherwise(_TEXT).alias("text")
    ).to_series()


def _reasons(kind: Ints) -> Ints:
    table = [code(one.reason) if one.reason else 0 for one in KINDS]
    lookup = np.array([*table, code("number_malformed"), 0], dtype=np.int64)  # the last stands for -1
    return lookup[kind]


def number_status(reason: Ints) -> pl.Series:
    """The NHS number status indicator: traced, or what is missing."""
    status = np.where(reason == 0, 0, np.where(reason == code("number_missing"), 1, 2))
    return pl.Series(["01", "07", "04"]).gather(status)


@dataclass(frozen=True)
class DateColumn:
    """A date column as text, with the rows in which something is planted."""

    column: pl.Series
    reason: Ints
    plain: Flags


SENTINELS = (2_932_896, -25_567, -62_091)  # 9999-12-31, 1900-01-01, 1800-01-01 in days since 1970


def stand_ins(draws: Draws, column: pl.Series, plain: Flags, rate: float = 0.01, at_least: int = 0) -> pl.Series:
    """An optional date column in which some plain empty cells hold a date that means "empty"."""
    rows = draws.some(column.is_null().to_numpy() & plain, rate, at_least)
    values = np.array(SENTINELS, dtype=np.int64)[np.arange(len(rows)) % len(SENTINELS)]
    return column.scatter(rows, pl.Series(values).cast(pl.Int32).cast(pl.Date))


def required_dates(chunk: Chunk, draws: Draws, column: pl.Series, eligible: Flags) -> DateColumn:
    """A required date as text; a few eligible rows have none, or one that cannot be read."""
    reason = np.zeros(len(column), dtype=np.int64)
    missing = draws.some(eligible, 0.001, chunk.floor)
    reason[missing] = code("required_missing")
    unreadable = draws.some(eligible & (reason == 0), 0.001, chunk.floor)
    reason[unreadable] = code("required_invalid")
    wrong = [f"{chunk.world.as_of.year}-02-31", "not known"]
    text = column.dt.to_string("%Y-%m-%d")
    text = text.scatter(missing, pl.Series([None] * len(missing), dtype=pl.String))
    text = text.scatter(unreadable, pl.Series(wrong).gather(np.arange(len(unreadable)) % 2))
    return DateColumn(text, reason, reason == 0)
