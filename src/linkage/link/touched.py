"""Whom a change reaches: everybody of whom a row came or went, and everybody whose date the newest delivery has passed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import duckdb

from linkage.link.attributes import newest, telling_date
from linkage.link.engine import name, run, text
from linkage.link.events import by_feed
from linkage.link.increment import Increment, Source, changed_table
from linkage.link.tables import FeedTable

__all__ = ["find_touched", "newest_of", "rows_of"]

TOUCHED = "temp._touched"


def find_touched(
    connection: duckdb.DuckDBPyConnection, tables: Sequence[FeedTable], increment: Increment | None
) -> str | None:
    """Find the persons whose row of `person` may differ from that of the last run.

    Booked events become seen, and dates become believable, when a delivery newer than they are comes, also for people
    of whom no row changed.

    Args:
        connection: With the settled tables, and `event` of the increment.
        tables: All settled tables.
        increment: What is known of the last run, or None.

    Returns:
        A temporary table of their tokens; None where everybody has to be made again.
    """
    if increment is None or not increment.follows(None, tables, tables):
        return None
    before = [replace(table, parts=increment.before[table.name]) for table in tables]
    tokens = [f"SELECT token FROM {changed_table(table.name)}" for table in tables]
    tokens += _seen_since(tables, before)
    tokens += [found for pair in zip(tables, before, strict=True) for found in _believed_since(*pair)]
    nobody = "SELECT CAST(NULL AS UUID) AS token"
    run(
        connection,
        f"CREATE OR REPLACE TEMP TABLE _touched AS SELECT token FROM ({' UNION '.join(tokens or [nobody])})"
        " WHERE token IS NOT NULL ORDER BY token",
        "finding persons that changed",
    )
    return TOUCHED


def rows_of(touched: str) -> Source:
    """The rows of a table about persons of a temporary table."""

    def source(table: FeedTable, column: str | None = None) -> str:
        return f"(SELECT * FROM {name(table.name)} SEMI JOIN {touched} USING (token))"

    return source


def newest_of(members: Sequence[FeedTable]) -> str | None:
    """The newest delivery of a feed's events, as SQL; None where none was delivered."""
    stamps = [table.delivered for table in members if table.table.event and table.delivered]
    return f"TIMESTAMP '{max(stamps):%Y-%m-%d %H:%M:%S}'" if stamps else None


def _seen_since(tables: Sequence[FeedTable], before: Sequence[FeedTable]) -> list[str]:
    """Tokens of events that were booked and are seen now, or the other way round, where a delivery was taken back."""
    last = {feed: newest_of(members) for feed, members in by_feed(before)}
    found = []
    for feed, members in by_feed(tables):
        then, now = last.get(feed), newest_of(members)
        if then != now:
            bounds = sorted(filter(None, (then, now)))
            after = f" AND start > {bounds[0]}" if len(bounds) > 1 else ""
            found.append(f"SELECT token FROM event WHERE feed = {text(feed)} AND start <= {bounds[-1]}{after}")
    return found


def _believed_since(table: FeedTable, before: FeedTable) -> list[str]:
    """Tokens of rows that tell of persons, with a date that the newest delivery passed."""
    date, bounds = telling_date(table), sorted((newest(before), newest(table)))
    if date is None or bounds[0] == bounds[1]:
        return []
    return [f"SELECT token FROM {name(table.name)} WHERE {date} > {bounds[0]} AND {date} <= {bounds[1]}"]
