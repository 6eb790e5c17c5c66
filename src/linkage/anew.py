"""What the two sides of publishing tell each other of Parquet files: what `link` wants written, and what `store` wrote or kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Anew", "Kept", "Write"]


@dataclass(frozen=True, slots=True)
class Kept:
    """A Parquet file of a snapshot.

    Attributes:
        path: Where it is.
        feed: The feed of its rows; None in tables that are not cut by feed.
        month: Their month, written 2026-04; None without one, and in tables that are not cut by month.
        rows: How many.
    """

    path: Path
    feed: str | None
    month: str | None
    rows: int


@dataclass(frozen=True, slots=True)
class Anew:
    """Files of a table that are to be written, the others being as they were.

    Attributes:
        table: The published table.
        columns: Its columns.
        month: The date column by whose month it is cut; None where it is one file.
        rows: By month, as `Kept` has them, at most how many rows there are. A month of none is written as a file without rows;
            one that has none against expectation is not written.
        query: For one of these months, a query for its rows, in any order. Where there are several months, it reads no temporary
            tables: several files are written at a time, on connections of their own.
        order: The order of the rows in SQL; it may name columns of the query that are not published.
        feed: The feed of all the rows, where the table is cut by feed.
    """

    table: str
    columns: Sequence[str]
    month: str | None
    rows: Mapping[str | None, int]
    query: Callable[[str | None], str]
    order: str
    feed: str | None = None


Write = Callable[[Anew], tuple[Kept, ...]]
