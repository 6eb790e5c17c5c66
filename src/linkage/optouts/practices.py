"""Practices that do not share: by the agreements in the GP extracts, and by the ICS's own list.

Where a feed delivers agreements, a practice that is on none of them does not share.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from linkage.errors import PolicyError


@dataclass(frozen=True, slots=True)
class Sharing:
    """Which practices share.

    Attributes:
        agreed: By feed, the ODS codes of practices with an agreement in force; a feed that delivers no agreements is
            not a key.
        listed: ODS codes on the ICS's own list of practices that do not share.
    """

    agreed: dict[str, frozenset[str]]
    listed: frozenset[str]

    def not_sharing(self, practice: pl.Expr, feed: str) -> pl.Expr:
        """Whether the practice (String) of each row keeps its records out; Boolean, never null."""
        listed = practice.is_in(sorted(self.listed)).fill_null(value=False)
        if feed not in self.agreed:
            return listed
        return listed | ~practice.is_in(sorted(self.agreed[feed])).fill_null(value=False)


def agreements(rows: pl.DataFrame) -> frozenset[str]:
    """Practices that share.

    Args:
        rows: `practice` (String), `shares` (Boolean) and `delivered` (Datetime): for each practice its latest
            delivery counts, and every row of that must share.
    """
    latest = rows.filter(pl.col("delivered") == pl.col("delivered").max().over("practice"))
    shares = latest.group_by("practice").agg(pl.col("shares").fill_null(value=False).all())
    return frozenset(shares.filter("shares")["practice"].drop_nulls().to_list())


def read_list(path: Path, today: date) -> frozenset[str]:
    """ODS codes of practices that do not share today.

    Args:
        path: A CSV file `ods_code,from,to,note`; dates are yyyy-mm-dd, a blank `from` is always, a blank `to` is still.

    Raises:
        PolicyError: The list cannot be read; says which line.
    """
    hint = "the list needs the columns ods_code,from,to and dates as yyyy-mm-dd"
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error):
        raise PolicyError(f"{path.name}: the list of practices cannot be read", hint=hint) from None
    found = set()
    for line, row in enumerate(rows, start=2):
        try:
            code, start, end = row["ods_code"].strip().upper(), _date(row["from"]), _date(row["to"])
        except (KeyError, ValueError, AttributeError):
            raise PolicyError(f"{path.name}: line {line}: not a practice with dates", hint=hint) from None
        if (start is None or start <= today) and (end is None or today <= end):
            found.add(code)
    return frozenset(found)


def _date(text: str | None) -> date | None:
    return date.fromisoformat(text.strip()) if text and text.strip() else None
