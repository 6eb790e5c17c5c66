"""What the last run left that this one can go on from, and what a step made of it: some rows anew, the other files as they were.

An increment is exact or it is none: a step that cannot tell what a change reaches makes its table from everything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import duckdb

from linkage.anew import Kept, Write
from linkage.bundle import TableParts
from linkage.link.engine import name, run, text
from linkage.link.tables import FeedTable

__all__ = [
    "DELIVERY",
    "Increment",
    "Kept",
    "Made",
    "Source",
    "changed_table",
    "in_months",
    "plain",
    "published",
    "put_together",
    "read",
    "table_made",
]

_SPECIAL = re.compile(r"([*?\[])")
# The month of a file's rows, from the name of its folder; `undated` is none.
_MONTH = "TRY_CAST(month || '-01' AS DATE)"

# What a row of a bundle says of its delivery.
DELIVERY = (("_delivered", "TIMESTAMP"), ("_file", "INTEGER"), ("_row", "BIGINT"))

# The rows of a settled table that a step is to see, as a relation: all of them, or those that a change reaches.
Source = Callable[[FeedTable, str | None], str]


@dataclass(frozen=True, slots=True)
class Increment:
    """What an incremental run knows of the last one.

    Attributes:
        changed: Published names of the tables of which `changed_table` holds every row that came or went; a table
            that is not among them was settled from everything.
        before: The last bundle's tables of records, by published name.
        files: The last snapshot's files of `event`, `event_code`, `person` and `registration`.
        check: Refuses files that are not what was published; called before rows of files are taken over.
        write: Writes files of the new snapshot.
    """

    changed: frozenset[str]
    before: Mapping[str, TableParts]
    files: Mapping[str, tuple[Kept, ...]]
    check: Callable[[Sequence[Kept]], None]
    write: Write

    def follows(self, feed: str | None, tables: Sequence[FeedTable], asked: Sequence[FeedTable]) -> bool:
        """Whether all that came and went is known.

        Args:
            feed: The feed that is asked about; None for all of them.
            tables: All its tables in this run: where the last one had another, its rows went without a word.
            asked: Those among them that what is made rests on.
        """
        names = {table.name for table in tables}
        left = [each for each, parts in self.before.items() if each not in names and feed in (None, parts.feed)]
        return not left and all(table.name in self.changed for table in asked)


@dataclass(frozen=True, slots=True)
class Made:
    """A table of the snapshot: rows that are still to be written, and files of the last snapshot that stay as they are.

    The whole of it can be read by its name, with the files that this run has written.

    Attributes:
        relation: Where the rows to be written are, in the order in which they are published; None where there are none.
        rows: How many rows the whole table has.
        linked: The files that stay; rows of their feeds and months are nowhere else.
        written: The files that this run has written.
    """

    relation: str | None
    rows: int
    linked: tuple[Kept, ...] = ()
    written: tuple[Kept, ...] = ()


def changed_table(published_name: str) -> str:
    """The temporary table of rows that went and came: the table's columns, `DELIVERY`, and `_side`, `before` or `after`."""
    return f"temp.{name('_changed_' + published_name)}"


def published(table: FeedTable, column: str | None = None) -> str:
    """All rows of a settled table, whatever the column."""
    return name(table.name)


def table_made(connection: duckdb.DuckDBPyConnection, table: str) -> Made:
    """A table that was made from everything."""
    return Made(table, _count(connection, table))


def put_together(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    columns: Sequence[tuple[str, str]],
    relation: str | None,
    linked: Sequence[Kept],
    written: Sequence[Kept] = (),
) -> Made:
    """Make a view of the whole table, by its own name: rows to be written, files that were written, and files that stay."""
    anew = [f"SELECT * FROM {relation}"] if relation else []
    files = read([*written, *linked], columns)
    run(connection, f"CREATE VIEW {table} AS {' UNION ALL '.join([*anew, files])}", f"creating {table}")
    rows = sum(file.rows for file in (*written, *linked)) + (_count(connection, relation) if relation else 0)
    return Made(relation, rows, tuple(linked), tuple(written))


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    return int(run(connection, f"SELECT count(*) FROM {table}", f"counting {table}")[0][0])


def read(files: Sequence[Kept], columns: Sequence[tuple[str, str]]) -> str:
    """A query for the rows of files, in the columns given with their types; what stands in the folders is told again."""
    selected = []
    keyed = sorted(files, key=lambda file: (file.feed or "", file.month or ""))
    for feed, group in groupby(keyed, key=lambda file: file.feed):
        # A table that is not cut by feed has all its columns in its files, also ones of these names.
        told = {} if feed is None else {"feed": text(feed), "month": _MONTH}
        listed = ", ".join(
            f"CAST({told.get(column, name(column))} AS {type}) AS {name(column)}" for column, type in columns
        )
        by_month = feed is not None and any(column == "month" for column, _ in columns)
        folders = "true, hive_types = {'month': 'VARCHAR'}" if by_month else "false"
        paths = ", ".join(text(plain(file.path)) for file in group)
        selected.append(f"SELECT {listed} FROM read_parquet([{paths}], hive_partitioning = {folders})")
    nothing = ", ".join(f"CAST(NULL AS {type}) AS {name(column)}" for column, type in columns)
    return " UNION ALL ".join(selected or [f"SELECT {nothing} WHERE FALSE"])


def in_months(column: str, months: Iterable[str | None], slack: int = 0) -> str:
    """A condition that is true for dates in the months, as ranges, by which whole files and row groups are passed over.

    Args:
        column: SQL of a date or a timestamp.
        months: Written 2026-04; None for no date.
        slack: Days before each month that it is true for as well.
    """
    found = set(months)
    ranges = [f"{column} IS NULL"] if None in found else []
    numbered = sorted(_number(month) for month in found if month)
    first = 0
    for at in range(1, len(numbered) + 1):
        if at == len(numbered) or numbered[at] != numbered[at - 1] + 1:
            start, end = numbered[first], numbered[at - 1] + 1
            ranges.append(f"({column} >= DATE {_first(start)} - {slack} AND {column} < DATE {_first(end)})")
            first = at
    return f"({' OR '.join(ranges) or 'FALSE'})"


def _number(month: str) -> int:
    year, _, of_year = month.rpartition("-")
    return int(year) * 12 + int(of_year) - 1


def _first(number: int) -> str:
    return f"'{number // 12:04d}-{number % 12 + 1:02d}-01'"


def plain(path: Path) -> str:
    """The path as DuckDB has to be given it: it expands wildcards, which stand for themselves in brackets."""
    found = path.as_posix()
    return _SPECIAL.sub(r"[\1]", found) if _SPECIAL.search(found) else found
