"""NumPy arrays to Polars columns: dates, labels, GUIDs and other texts, without a Python step per row."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from linkage.synthetic.draws import Flags, Ints

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]

_HEX = np.frombuffer(b"0123456789ABCDEF", dtype=np.uint8)
_HEX_PAIRS = np.stack([np.repeat(_HEX, 16), np.tile(_HEX, 16)], axis=1)
_GUID_PARTS = ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))


def texts(matrix: Bytes) -> pl.Series:
    """A column of texts from a matrix of ASCII bytes, one row a text, all of the same width."""
    rows, width = matrix.shape
    offsets = np.arange(rows + 1, dtype=np.int64) * width
    array = pa.LargeStringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(matrix)))
    return pl.Series(values=pl.from_arrow(array), dtype=pl.String)


def mix(values: Ints, seed: int, name: str) -> Words:
    """Scramble whole numbers into 64-bit words (splitmix64), differently for each seed and name."""
    salt = (zlib.crc32(name.encode()) << 32 | seed & 0xFFFFFFFF) * 0x9E3779B97F4A7C15 % 2**64
    word = (values.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(salt)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


def _hex(values: Ints, seed: int, name: str) -> Bytes:
    words = np.stack([mix(values, seed, name), mix(values, seed, name + ".low")], axis=1)
    octets = np.ascontiguousarray(words.astype(">u8")).view(np.uint8)
    return np.asarray(_HEX_PAIRS[octets].reshape(len(values), 32), dtype=np.uint8)


def hex_ids(values: Ints, seed: int, name: str) -> pl.Series:
    """A 32-character upper-case identifier for each value; equal values give equal identifiers."""
    return texts(_hex(values, seed, name))


def guids(values: Ints, seed: int, name: str, braces: bool = True) -> pl.Series:
    """A version-4-shaped GUID for each value, upper case, in braces as EMIS writes them."""
    digits = _hex(values, seed, name)
    digits[:, 12] = ord("4")
    digits[:, 16] = ord("A")
    out = np.full((len(values), 38), ord("-"), dtype=np.uint8)
    out[:, 0], out[:, 37] = ord("{"), ord("}")
    at = 1
    for start, stop in _GUID_PARTS:
        out[:, at : at + stop - start] = digits[:, start:stop]
        at += stop - start + 1
    return texts(out if braces else out[:, 1:37])


def prefixed(prefix: str, values: Ints, width: int = 0) -> pl.Series:
    """``prefix`` and the value, zero-padded to ``width`` digits."""
    return pl.select(pl.lit(prefix) + pl.lit(pl.Series(values)).cast(pl.String).str.zfill(width)).to_series()


def labels(codes: Ints, names: Sequence[str | None]) -> pl.Series:
    """The name of each code; null where the name is None or the code is -1."""
    index = np.where(codes < 0, len(names), codes)
    return pl.Series([*names, None], dtype=pl.String).gather(index)


def where(keep: Flags, column: pl.Series) -> pl.Series:
    """``column`` with nulls where ``keep`` is false."""
    return pl.select(pl.when(pl.lit(pl.Series(keep))).then(pl.lit(column))).to_series()


def dates(days: Ints, keep: Flags | None = None) -> pl.Series:
    """A date column from days since 1970; null where ``keep`` is false."""
    column = pl.Series(days).cast(pl.Int32).cast(pl.Date)
    return column if keep is None else where(keep, column)


def times(seconds: Ints, keep: Flags | None = None) -> pl.Series:
    """A time-of-day column from seconds since midnight."""
    column = (pl.Series(seconds) * 1_000_000_000).cast(pl.Time)
    return column if keep is None else where(keep, column)


def moments(days: Ints, seconds: Ints, keep: Flags | None = None) -> pl.Series:
    """A date-and-time column, to the second."""
    column = (pl.Series(days * 86_400 + seconds) * 1_000).cast(pl.Datetime("ms"))
    return column if keep is None else where(keep, column)


def pounds(pence: Ints) -> pl.Series:
    """Pounds and pence as text, such as ``1234.05``."""
    whole = pl.Series(pence // 100).cast(pl.String)
    return pl.select(
        pl.lit(whole) + pl.lit(".") + pl.lit(pl.Series(pence % 100)).cast(pl.String).str.zfill(2)
    ).to_series()


def ordinals(counts: Ints) -> Ints:
    """0, 1, 2, ... within each of the groups whose sizes are ``counts``."""
    total = int(counts.sum())
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    return np.arange(total, dtype=np.int64) - starts
