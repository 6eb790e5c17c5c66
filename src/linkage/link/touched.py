"""Whom a change reaches: everybody of whom a row came or went, and everybody whose date the newest delivery has passed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import duckdb

from linkage.link.attributes import newest, person_columns, telling_date
from linkage.link.engine import name, run, text
from linkage.link.events import by_feed
from linkage.link.increment import Increment, Source, changed_table, read
from linkage.link.tables import FeedTable

__all__ = ["TOUCHED", "Touched", "find_touched", "newest_of", "rows_of", "side_of"]

TOUCHED = "temp._touched"


@dataclass(frozen=True)
class Touched:
    """Persons whose row may differ from that of the last run, in temporary tables.

    Attributes:
        known: Those of them who were persons, with their rows of then.
        new: Tokens of the others: everything about them came.
        passed: By table, tokens of rows with a date that the newest delivery passed: `name`, `token`.
        before: The tables as the last run had them.
    """

    before: tuple[FeedTable, ...]
    known: str = "temp._known"
    new: str = "temp._new"
    passed: str = "temp._passed"


def find_touched(
    connection: duckdb.DuckDBPyConnection, tables: Sequence[FeedTable], increment: Increment | None
) -> Touched | None:
    """Find the persons whose row of `person` may differ from that of the last run.

    Booked events become seen, and dates become believable, when a delivery newer than they are comes, also for people
    of whom no row changed.

    Args:
        connection: With the settled tables, and `event` of the increment.
        tables: All settled tables.
        increment: What is known of the last run, or None.

    Returns:
        Where they are; None where everybody has to be made again.

    Raises:
        IntegrityError: The last snapshot's file of persons was changed.
    """
    if increment is None or not increment.follows(None, tables, tables):
        return None
    step = "finding persons that changed"
    before = tuple(replace(table, parts=increment.before[table.name]) for table in tables)
    nobody = "SELECT CAST(NULL AS VARCHAR) AS name, CAST(NULL AS UUID) AS token WHERE FALSE"
    passed = [found for pair in zip(tables, before, strict=True) for found in _believed_since(*pair)]
    run(connection, f"CREATE OR REPLACE TEMP TABLE _passed AS {' UNION '.join(passed or [nobody])}", step)
    tokens = ["SELECT token FROM temp._passed", *(f"SELECT token FROM {changed_table(table.name)}" for table in tables)]
    tokens += _seen_since(tables, before)
    run(
        connection,
        f"CREATE OR REPLACE TEMP TABLE _touched AS SELECT token FROM ({' UNION '.join(tokens)}) WHERE token IS NOT NULL",
        step,
    )
    # Where nobody is touched the file is only linked.
    files = increment.files["person"] if run(connection, f"SELECT 1 FROM {TOUCHED} LIMIT 1", step) else ()
    increment.check(files)
    known = f"SELECT * FROM ({read(files, person_columns(tables))}) SEMI JOIN {TOUCHED} USING (token)"
    run(connection, f"CREATE OR REPLACE TEMP TABLE _known AS {known}", step)
    new = f"SELECT token FROM {TOUCHED} ANTI JOIN temp._known USING (token)"
    run(connection, f"CREATE OR REPLACE TEMP TABLE _new AS {new}", step)
    return Touched(before)


def side_of(side: str, tokens: str | None = None) -> Source:
    """The rows that came (`after`) or went (`before`), about persons of a temporary table or all."""

    def source(table: FeedTable, column: str | None = None) -> str:
        asked = f" SEMI JOIN {tokens} USING (token)" if tokens else ""
        return f"(SELECT * FROM {changed_table(table.name)}{asked} WHERE _side = '{side}')"

    return source


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
    """Table and tokens of rows that tell of persons, with a date that the newest delivery passed, also of rows that went."""
    date, bounds = telling_date(table), sorted((newest(before), newest(table)))
    if date is None or bounds[0] == bounds[1]:
        return []
    return [
        f"SELECT {text(table.name)} AS name, token FROM {rows} WHERE {date} > {bounds[0]} AND {date} <= {bounds[1]}"
        for rows in (name(table.name), changed_table(table.name))
    ]
