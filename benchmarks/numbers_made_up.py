"""Distinct valid NHS numbers of the test range, in random order."""

from __future__ import annotations

import numpy as np
import polars as pl


def test_range_numbers(rows: int, seed: int) -> pl.Series:
    """`rows` distinct numbers as text of ten digits."""
    # One in eleven of the nine-digit stems has no check digit.
    stems = np.random.default_rng(seed).permutation(min(rows * 12 // 10 + 100, 99_000_000)).astype(np.int64)
    stems += 900_000_001  # 900 000 000 9 is a placeholder
    weighted, rest = np.zeros(len(stems), dtype=np.int64), stems.copy()
    for weight in range(2, 11):
        weighted += weight * (rest % 10)
        rest //= 10
    digit = -weighted % 11
    numbers = (stems * 10 + digit)[digit < 10][:rows]
    return pl.Series("nhs_number", numbers).cast(pl.String)
