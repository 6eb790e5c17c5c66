"""NHS numbers: format, check digit, block list and number ranges.

Every rule is written twice. `reason`, `check_digit` and `range_of` are plain Python, to be read and to
referee; `parse`, `parse_expr` and `range_expr` say the same in Polars expressions that stream.

A number is ten digits weighted 10 to 1 whose sum is a multiple of 11 (NHS Data Dictionary, NHS NUMBER).
Displayed numbers are grouped 3 3 4 (ISB 0149), so spaces and hyphens are dropped. The ranges are those
published by the uk-fci/nhs-number project. Nothing here puts a number into a message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from functools import reduce
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from linkage.errors import ConfigurationError

__all__ = [
    "ABROAD",
    "BLOCKED",
    "RANGES",
    "REASONS",
    "ColumnTypeError",
    "NumberRange",
    "NumberReason",
    "are_valid",
    "by_range",
    "check_digit",
    "counts_below",
    "is_test",
    "is_valid",
    "issued_abroad",
    "normalise",
    "parse",
    "parse_expr",
    "range_expr",
    "range_of",
    "reason",
]


class NumberReason(StrEnum):
    """Why a value is not a usable NHS number; the first that applies, in this order, is given."""

    MISSING = "number_missing"  # null, or nothing but white space
    MALFORMED = "number_malformed"  # not exactly ten digits
    BLOCKED = "number_blocked"  # passes the check, but is never a person
    CHECK_DIGIT = "number_check_digit"
    TEST = "number_test"  # 900 to 999, where test numbers are not allowed


class NumberRange(StrEnum):
    """Who issues a number, by its leading digits."""

    ENGLAND = "england"  # England, Wales and the Isle of Man
    SCOTLAND = "scotland"  # CHI numbers, which begin with a date of birth
    NORTHERN_IRELAND = "northern_ireland"
    IRELAND = "ireland"  # individual health identifiers
    TEST = "test"
    NOT_ISSUED = "not_issued"


class ColumnTypeError(ConfigurationError):
    """A column of a type that holds no identifiers: numbers with a fraction, dates and the like."""

    # Polars rebuilds what a function inside a query raises from its message alone, so the hint has a default.
    def __init__(self, message: str, *, hint: str = "read the column as text, or as whole numbers") -> None:
        super().__init__(message, hint=hint)


REASONS = pl.Enum([each.value for each in NumberReason])
RANGES = pl.Enum([each.value for each in NumberRange])

# All of these satisfy the check digit, and turn up where a form insists on a number.
BLOCKED = frozenset([1111111111 * d for d in range(10)] + [1000000001 * d for d in range(1, 10)])

ABROAD = frozenset([NumberRange.SCOTLAND, NumberRange.NORTHERN_IRELAND, NumberRange.IRELAND])

_Number = TypeVar("_Number", pl.Expr, npt.NDArray[np.int64])
_IN_CACHE = 1 << 16  # numbers that are worked on at a time
_LIMIT = 10**10
_FIRST_TEST = 9_000_000_000
_BLANK = " \t\n\r\x0b\x0c"
# Upper bound (exclusive) of each block of numbers, ascending.
_BOUNDS = (
    (100_000_000, NumberRange.NOT_ISSUED),
    (3_113_000_000, NumberRange.SCOTLAND),
    (3_200_000_000, NumberRange.NOT_ISSUED),
    (4_000_000_000, NumberRange.NORTHERN_IRELAND),
    (5_000_000_000, NumberRange.ENGLAND),
    (6_000_000_000, NumberRange.NOT_ISSUED),
    (8_000_000_000, NumberRange.ENGLAND),
    (8_600_000_000, NumberRange.IRELAND),
    (_FIRST_TEST, NumberRange.NOT_ISSUED),
    (_LIMIT, NumberRange.TEST),
)


def normalise(text: str) -> str:
    """Return the text without surrounding ASCII white space and without spaces and hyphens."""
    return text.strip(_BLANK).replace(" ", "").replace("-", "")


def check_digit(first_nine: str) -> int | None:
    """Return the tenth digit that belongs to nine ASCII digits, or None if there is none.

    Raises:
        ValueError: when the text is not nine ASCII digits.
    """
    if len(first_nine) != 9 or not _is_digits(first_nine):
        raise ValueError("a check digit is computed from nine digits")
    remainder = sum(weight * int(d) for weight, d in zip(range(10, 1, -1), first_nine, strict=True)) % 11
    digit = -remainder % 11
    return digit if digit < 10 else None


def reason(value: str | int | None, *, integer: bool = False, allow_test: bool = True) -> NumberReason | None:
    """Return why one value is not a usable NHS number, or None when it is.

    Args:
        value: Text, or an integer, which is padded with zeros to ten digits.
        integer: The text comes from a column of integers: one to nine digits lost their leading
            zeros, and a leading hyphen is a minus sign.
        allow_test: Accept the test range, 900 to 999.
    """
    digits = _ten_digits(value, integer=integer)
    if isinstance(digits, NumberReason):
        return digits
    if int(digits) in BLOCKED:
        return NumberReason.BLOCKED
    if check_digit(digits[:9]) != int(digits[9]):
        return NumberReason.CHECK_DIGIT
    if int(digits) >= _FIRST_TEST and not allow_test:
        return NumberReason.TEST
    return None


def is_valid(value: str | int | None, *, integer: bool = False, allow_test: bool = True) -> bool:
    """Return whether `reason` finds nothing wrong."""
    return reason(value, integer=integer, allow_test=allow_test) is None


def range_of(number: int) -> NumberRange:
    """Return who issues a number of at most ten digits.

    Raises:
        ValueError: when the number is negative or longer.
    """
    if not 0 <= number < _LIMIT:
        raise ValueError("an NHS number has ten digits")
    return next(name for bound, name in _BOUNDS if number < bound)


def parse(column: pl.Series, *, integer: bool = False, allow_test: bool = True) -> pl.DataFrame:
    """Parse a column of text or of any integer type; all other arguments are those of `reason`.

    Returns:
        A frame as long as the column: `number` (Int64, null when unusable) and `reason` (Enum
        `REASONS`, null when the number is usable).

    Raises:
        ColumnTypeError: (a ConfigurationError) when the column holds neither text nor integers.
    """
    dtype = column.dtype
    if not (dtype.is_integer() or dtype in (pl.String, pl.Null)):
        raise ColumnTypeError(f"NHS numbers cannot be read from a column of type {dtype}")
    values = pl.col("value")
    if dtype.is_integer():
        parsed = _judge(*_read_integers(values), allow_test=allow_test)
    else:
        parsed = parse_expr(values, integer=integer, allow_test=allow_test)
    frame = column.cast(pl.String) if dtype == pl.Null else column
    return frame.alias("value").to_frame().lazy().select(parsed.alias("parsed")).unnest("parsed").collect()


def parse_expr(column: str | pl.Expr, *, integer: bool = False, allow_test: bool = True) -> pl.Expr:
    """Return the same as an elementwise expression: Struct{number: Int64, reason: Enum `REASONS`}.

    Args:
        column: A String column; with `integer`, an integer column as well.
        integer: As in `reason`.
        allow_test: As in `reason`.
    """
    values = pl.col(column) if isinstance(column, str) else column
    return _judge(*_read_text(values, integer=integer), allow_test=allow_test)


def range_expr(number: str | pl.Expr) -> pl.Expr:
    """Return `range_of` for a column of integers below 10^10, as Enum `RANGES`; null stays null."""
    values = pl.col(number) if isinstance(number, str) else number
    otherwise = pl.lit(None, dtype=RANGES)
    for bound, name in reversed(_BOUNDS):
        otherwise = pl.when(values < bound).then(pl.lit(name.value, dtype=RANGES)).otherwise(otherwise)
    return pl.when(values >= 0).then(otherwise)


def counts_below(number: str) -> list[pl.Expr]:
    """Aggregates over a column of integers below 10^10, to count it by range: `by_range` takes what they come to."""
    return [(pl.col(number) < bound).sum() for bound, _ in _BOUNDS]


def by_range(below: Sequence[int]) -> dict[NumberRange, int]:
    """How many numbers each range has, from what `counts_below` came to; ranges with none are left out."""
    counts = Counter[NumberRange]()
    for (_, name), upper, lower in zip(_BOUNDS, below, [0, *below[:-1]], strict=True):
        counts[name] += upper - lower
    return {name: count for name, count in counts.items() if count}


def is_test(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return which of an array of numbers are of the test range."""
    return numbers >= _FIRST_TEST


def are_valid(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return for an array of whole numbers what `is_valid` says of each."""
    valid = np.empty(len(numbers), dtype=np.bool_)
    for first in range(0, len(numbers), _IN_CACHE):
        some = numbers[first : first + _IN_CACHE]
        usable = (some >= 0) & (some < _LIMIT) & (_weighted(some) % 11 == 0)
        valid[first : first + _IN_CACHE] = usable & ~np.isin(some, list(BLOCKED))
    return valid


def issued_abroad(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return which of an array of numbers were issued in Scotland, Northern Ireland or Ireland."""
    bounds = np.array([bound for bound, _ in _BOUNDS])
    abroad = np.array([name in ABROAD for _, name in _BOUNDS] + [False])
    return np.where(numbers >= 0, abroad[np.searchsorted(bounds, numbers, side="right")], False)


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _ten_digits(value: str | int | None, *, integer: bool) -> str | NumberReason:
    if isinstance(value, int):
        return f"{value:010d}" if 0 <= value < _LIMIT else NumberReason.MALFORMED
    trimmed = (value or "").strip(_BLANK)
    if not trimmed:
        return NumberReason.MISSING
    digits = normalise(trimmed)
    if integer and _is_digits(trimmed):
        digits = trimmed.zfill(10)
    negative = integer and trimmed.startswith("-")
    return digits if len(digits) == 10 and _is_digits(digits) and not negative else NumberReason.MALFORMED


def _read_text(values: pl.Expr, *, integer: bool) -> tuple[pl.Expr, pl.Expr]:
    """Return (is the value missing, its number: null where it is not ten digits)."""
    if integer:
        values = values.cast(pl.String)
    # Nearly all are ten plain digits. The others alone go through the steps below; an empty cell costs those little.
    # Zero does too: a hyphen and nine zeros are read as zero.
    plain = values.cast(pl.Int64, strict=False)
    is_plain = ((values.str.len_bytes() == 10) & (plain > 0) & ~values.str.starts_with("+")).fill_null(value=False)
    rest = pl.when(~is_plain).then(values)
    trimmed = rest.str.strip_chars(_BLANK)
    digits = trimmed.str.replace_all(" ", "", literal=True).str.replace_all("-", "", literal=True)
    usable = digits.str.contains("^[0-9]{10}$")
    if integer:
        usable = trimmed.str.contains("^[0-9]{1,10}$") | (usable & ~trimmed.str.starts_with("-"))
    written = pl.when(usable).then(digits.cast(pl.Int64, strict=False))
    missing = ~is_plain & (trimmed.is_null() | (trimmed == ""))
    return missing, pl.when(is_plain).then(plain).otherwise(written)


def _read_integers(values: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    number = values.cast(pl.Int64, strict=False)
    return values.is_null(), pl.when((number >= 0) & (number < _LIMIT)).then(number)


def _weighted(number: _Number) -> _Number:
    """The weighted sum of a number's ten digits, or something that leaves the same remainder by 11."""
    # With q_k = number // 10^k, digit k is q_k - 10 q_(k+1), so the weighted sum of all ten digits is
    # q_0 + sum of (1 - 9k) q_k, and 1 - 9k is 2k + 1 modulo 11: nine divisions and one remainder.
    return reduce(lambda total, k: total + (number // 10**k) * ((2 * k + 1) % 11), range(1, 10), number)


def _judge(missing: pl.Expr, number: pl.Expr, *, allow_test: bool) -> pl.Expr:
    rules = [
        (missing, NumberReason.MISSING),
        (number.is_null(), NumberReason.MALFORMED),
        (number.is_in(sorted(BLOCKED)), NumberReason.BLOCKED),
        (_weighted(number) % 11 != 0, NumberReason.CHECK_DIGIT),
        (number >= (_LIMIT if allow_test else _FIRST_TEST), NumberReason.TEST),
    ]
    why = pl.lit(None, dtype=REASONS)
    for condition, name in reversed(rules):
        why = pl.when(condition).then(pl.lit(name.value, dtype=REASONS)).otherwise(why)
    return pl.struct(number=pl.when(why.is_null()).then(number), reason=why)
