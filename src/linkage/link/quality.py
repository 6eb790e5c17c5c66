"""What analysts may know about the making of their data: how much came, how much went, how well sources overlap.

Every count goes out suppressed (`small_numbers`). The exact account is the pipeline's run manifest, which analysts do
not see.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import duckdb

from linkage.link.engine import run, text
from linkage.link.increment import Made
from linkage.link.small_numbers import suppress, total

__all__ = [
    "Coverage",
    "Load",
    "LoadRow",
    "MonthRows",
    "RemovedRow",
    "SourcesPersons",
    "count_months",
    "count_sources",
    "make_coverage",
    "make_load",
    "read_shown",
]


@dataclass(frozen=True)
class Load:
    """The exact account of one feed table: `read` = `published` + the sum of `removed`."""

    feed: str
    table: str
    read: int
    published: int
    removed: Mapping[str, int]


@dataclass(frozen=True)
class LoadRow:
    """A row of the table `load`; a count that is not shown is None, and `suppressed` says so."""

    feed: str
    table: str
    read: int | None
    kept: int | None
    suppressed: bool


@dataclass(frozen=True)
class RemovedRow:
    """A row of the table `removed`."""

    feed: str
    table: str
    reason: str
    rows: int | None
    suppressed: bool


@dataclass(frozen=True)
class MonthRows:
    """Exactly how many rows of `event` a feed has in a month, written 2026-04; in none where they have no start."""

    feed: str
    month: str | None
    rows: int


@dataclass(frozen=True)
class SourcesPersons:
    """Exactly how many persons are known to these feeds and no others."""

    feeds: tuple[str, ...]
    persons: int


@dataclass(frozen=True)
class Coverage:
    """A row of the table `coverage`: persons known to both feeds; to the feed, where both are the same."""

    feed: str
    other: str
    persons: int | None
    suppressed: bool


def make_load(
    connection: duckdb.DuckDBPyConnection, loads: Iterable[Load]
) -> tuple[tuple[LoadRow, ...], tuple[RemovedRow, ...]]:
    """Create `load` and `removed`, and return their rows for the snapshot's manifest.

    Reasons that removed nothing have no row. Where either count of a table is withheld the row says `suppressed`.
    """
    ordered = sorted(loads, key=lambda load: (load.feed, load.table))
    came = tuple(_load_row(load) for load in ordered)
    went = tuple(
        RemovedRow(load.feed, load.table, reason, *suppress(count))
        for load in ordered
        for reason, count in sorted(load.removed.items())
        if count
    )
    _store(
        connection,
        'load (feed VARCHAR, "table" VARCHAR, read BIGINT, kept BIGINT, suppressed BOOLEAN)',
        [(row.feed, row.table, row.read, row.kept, row.suppressed) for row in came],
    )
    _store(
        connection,
        'removed (feed VARCHAR, "table" VARCHAR, reason VARCHAR, rows BIGINT, suppressed BOOLEAN)',
        [(row.feed, row.table, row.reason, row.rows, row.suppressed) for row in went],
    )
    return came, went


def make_coverage(connection: duckdb.DuckDBPyConnection, sources: Iterable[SourcesPersons]) -> tuple[Coverage, ...]:
    """Create `coverage` from `count_sources`: for each pair of feeds how many persons both know. Returns its rows.

    A pair without common persons is a row with 0. Pairs are listed once, the feeds in alphabetical order.
    """
    common: Counter[tuple[str, str]] = Counter()
    feeds: set[str] = set()
    for each in sources:
        feeds.update(each.feeds)
        for pair in _pairs(each.feeds):
            common[pair] += each.persons
    rows = tuple(Coverage(*pair, *suppress(common[pair])) for pair in _pairs(sorted(feeds)))
    _store(
        connection,
        "coverage (feed VARCHAR, other VARCHAR, persons BIGINT, suppressed BOOLEAN)",
        [(row.feed, row.other, row.persons, row.suppressed) for row in rows],
    )
    return rows


def count_months(connection: duckdb.DuckDBPyConnection, events: Made) -> tuple[MonthRows, ...]:
    """Rows of `event` by feed and month of their start; a file has one month, and was counted."""
    rows = Counter[tuple[str, str | None]]()
    for file in (*events.linked, *events.written):
        rows[file.feed or "", file.month] += file.rows
    if events.relation:
        query = f"SELECT feed, strftime(start, '%Y-%m') AS month, count(*) FROM {events.relation} GROUP BY ALL"
        rows.update({(feed, month): count for feed, month, count in run(connection, query, "counting events by month")})
    # Months as they are written; those without one come last.
    ordered = sorted(rows.items(), key=lambda pair: (pair[0][0], pair[0][1] is None, pair[0][1] or ""))
    return tuple(MonthRows(feed, month, count) for (feed, month), count in ordered)


def count_sources(connection: duckdb.DuckDBPyConnection) -> tuple[SourcesPersons, ...]:
    """Persons by the feeds that know them."""
    query = "SELECT sources, count(*) FROM person GROUP BY sources ORDER BY sources"
    return tuple(
        SourcesPersons(tuple(sources), persons) for sources, persons in run(connection, query, "counting sources")
    )


def read_shown(load: Load) -> int | None:
    """What may be shown of the rows read: whoever counts the published table knows that part of them exactly."""
    return total(load.removed.values(), exactly=load.published)


def _load_row(load: Load) -> LoadRow:
    read, (kept, hidden) = read_shown(load), suppress(load.published)
    return LoadRow(load.feed, load.table, read, kept, read is None or hidden)


def _pairs(feeds: Sequence[str]) -> list[tuple[str, str]]:
    return [(feed, other) for at, feed in enumerate(feeds) for other in feeds[at:]]


def _store(connection: duckdb.DuckDBPyConnection, columns: str, rows: Sequence[tuple[object, ...]]) -> None:
    table = columns.partition(" ")[0]
    run(connection, f"CREATE TABLE {columns}", f"creating {table}")
    if rows:
        values = ", ".join("(" + ", ".join(_literal(value) for value in row) + ")" for row in rows)
        run(connection, f"INSERT INTO {table} VALUES {values}", f"creating {table}")


def _literal(value: object) -> str:
    if isinstance(value, str):
        return text(value)
    return "NULL" if value is None else str(value).upper()
