"""What the generator knows about a row and the extract must not show: hidden columns that travel beside the row.

The writer drops them from the CSV and the truth is made of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from linkage.synthetic.draws import Draws, Flags, Ints
from linkage.synthetic.tables import Delivery

OWNER, REASON, SENSITIVE, NOT_SHARING = "_owner", "_reason", "_sensitive", "_not_sharing"
LATER, VERSION, DELETED, MOTHER, PLAIN, GONE = "_later", "_version", "_deleted", "_mother", "_plain", "_gone"
HIDDEN = (OWNER, REASON, SENSITIVE, NOT_SHARING, LATER, VERSION, DELETED, MOTHER, PLAIN, GONE)

REASONS: tuple[str | None, ...] = (
    None,
    "required_missing",
    "required_invalid",
    "test_patient",
    "person_unknown",
    "person_ambiguous",
    "number_missing",
    "number_malformed",
    "number_check_digit",
    "number_blocked",
    "sensitive",
    "practice_not_sharing",
    "type1_opt_out",
    "national_opt_out",
    "national_not_asked",
    "duplicate",
    "superseded",
    "deleted",
    "withdrawn",
)


def code(reason: str) -> int:
    """The position of a reason in ``REASONS``."""
    return REASONS.index(reason)


NOBODY = -1


@dataclass(frozen=True)
class Marks:
    """One entry a row in each array; None stands for a column of zeros (``plain``: of ones)."""

    owner: Ints  # position of the person, NOBODY where no person can be named
    reason: Ints | None = None  # a defect of the row or of its person key: position in REASONS
    sensitive: Flags | None = None  # this row alone is confidential
    not_sharing: Flags | None = None
    later: Ints | None = None  # Delivery
    version: Ints | None = None  # rows of one record with different versions differ in a kept column
    mother: Ints | None = None  # position of the mother whose number the row holds, else NOBODY
    deleted: Flags | None = None
    plain: Flags | None = None  # nothing is planted here yet
    gone: Ints | None = None  # a log deleted it, or a later submission lacks it: position in REASONS

    def on(self, columns: Mapping[str, pl.Series | Ints | str | None]) -> pl.DataFrame:
        """The rows with these marks; a text stands for the same value in every row."""
        rows = len(self.owner)
        zeros = np.zeros(rows, dtype=np.int64)
        hidden = {
            OWNER: self.owner,
            REASON: zeros if self.reason is None else self.reason,
            SENSITIVE: zeros > 0 if self.sensitive is None else self.sensitive,
            NOT_SHARING: zeros > 0 if self.not_sharing is None else self.not_sharing,
            LATER: zeros if self.later is None else self.later,
            VERSION: zeros if self.version is None else self.version,
            DELETED: zeros > 0 if self.deleted is None else self.deleted,
            MOTHER: zeros + NOBODY if self.mother is None else self.mother,
            PLAIN: zeros == 0 if self.plain is None else self.plain,
            GONE: zeros if self.gone is None else self.gone,
        }
        series = [_column(name, value, rows) for name, value in (*columns.items(), *hidden.items())]
        return pl.DataFrame(series)


def _column(name: str, value: pl.Series | np.ndarray | str | None, rows: int) -> pl.Series:
    if value is None or isinstance(value, str):
        return pl.repeat(value, rows, dtype=pl.String, eager=True).alias(name)
    return value.alias(name) if isinstance(value, pl.Series) else pl.Series(name, value)


def plain_rows(frame: pl.DataFrame) -> Flags:
    """The rows in which nothing is planted yet."""
    return frame[PLAIN].to_numpy()


def plant(frame: pl.DataFrame, rows: Ints, **changes: pl.Expr) -> pl.DataFrame:
    """Change columns of some rows, which are then no longer plain."""
    flags = np.zeros(len(frame), dtype=np.bool_)
    flags[rows] = True
    chosen = pl.lit(pl.Series(flags))
    changes = {**changes, PLAIN: pl.lit(False)}
    return frame.with_columns(
        pl.when(chosen).then(value).otherwise(pl.col(name)).alias(name) for name, value in changes.items()
    )


def with_copies(frame: pl.DataFrame, draws: Draws, rate: float, at_least: int) -> pl.DataFrame:
    """Add exact copies of some plain rows, in the same delivery."""
    rows = draws.some(plain_rows(frame), rate, at_least)
    marked = plant(frame, rows)
    return pl.concat([marked, marked[rows]])


def again(frame: pl.DataFrame, draws: Draws, rate: float, at_least: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Mark some plain rows for re-submission; the frame, and the rows as the later delivery brings them."""
    rows = draws.some(plain_rows(frame), rate, at_least)
    return plant(frame, rows), sent_again(frame, rows)


def sent_again(frame: pl.DataFrame, rows: Ints) -> pl.DataFrame:
    """These rows as the later delivery brings them, unchanged."""
    return frame[rows].with_columns(pl.lit(int(Delivery.LATER)).cast(frame.schema[LATER]).alias(LATER))


def corrected(frame: pl.DataFrame, **changes: pl.Expr) -> pl.DataFrame:
    """Change columns of all rows and mark them as another version of their record."""
    return frame.with_columns(**changes, **{VERSION: pl.lit(1, dtype=pl.Int64)})
