"""One long table of codes: what was found, done or given in each event.

Code columns of events and tables of codes give rows of `event_code`, sorted by feed, month, token as events are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import duckdb

from linkage.anew import Anew, Kept
from linkage.contract import ChildCodes, Codes, Event
from linkage.link.engine import during, name, run, text
from linkage.link.events import added, by_feed, create, moment, month_of, ordered, records_are_keys
from linkage.link.increment import (
    Increment,
    Made,
    Source,
    changed_table,
    in_months,
    published,
    put_together,
    read,
    table_made,
)
from linkage.link.tables import FeedTable

__all__ = ["make_event_codes"]

EVENT_CODE = (
    ("token", "UUID"),
    ("feed", "VARCHAR"),
    ("month", "DATE"),
    ("record", "UUID"),
    ("position", "INTEGER"),
    ("meaning", "VARCHAR"),
    ("system", "VARCHAR"),
    ("code", "VARCHAR"),
)
# All columns within a feed.
_ORDER = ordered("month", "token", "record", "meaning", "system", "position", "code")


def make_event_codes(
    connection: duckdb.DuckDBPyConnection, tables: Iterable[FeedTable], increment: Increment | None = None
) -> Made:
    """Make the rows of `event_code`: all of them, or those of the months that a change reaches.

    `month` is the month of the event's start; null for a code whose event is not there. `position` is the code
    column's place in its contract, from 1, or the position column of a table of codes; columns without a code
    give no row.

    Raises:
        IntegrityError: A settled table is missing.
        TemporaryError: Memory or disk ran out.
    """
    target = "event_code" if increment is None else "shared._rebuilt_event_code"
    create(connection, target, EVENT_CODE)
    linked: list[Kept] = []
    written: list[Kept] = []
    for feed, members in by_feed(tables):
        if increment is None or not increment.follows(feed, members, [each for each in members if _records(each)]):
            _insert(connection, target, feed, _rows(members, published))
        else:
            stay, anew = _merge(connection, feed, members, increment)
            linked += stay
            written += anew
    if increment is None:
        return table_made(connection, target)
    return put_together(connection, "event_code", EVENT_CODE, target, linked, written)


def _insert(connection: duckdb.DuckDBPyConnection, target: str, feed: str, rows: str) -> None:
    if rows:
        run(connection, f"INSERT INTO {target} SELECT * FROM ({rows}) ORDER BY {_ORDER}", f"adding codes of {feed}")


def _merge(
    connection: duckdb.DuckDBPyConnection, feed: str, members: Sequence[FeedTable], increment: Increment
) -> tuple[Sequence[Kept], Sequence[Kept]]:
    """Make the months anew in which a record that changed has or had codes; the files of the others, and those written.

    A code follows from rows with its record and from no others: those of its own table, which hold it, and those of
    its events, which say the month. So the codes of records of which no row came or went are as they were.
    """
    step = f"adding codes of {feed}"
    files = [file for file in increment.files["event_code"] if file.feed == feed]
    records = [
        f"SELECT {record} AS record FROM {changed_table(each.name)}" for each in members for record in _records(each)
    ]
    source = _of_records(members)
    rows = _rows(members, source)
    if not records or not rows:
        return files, ()
    run(connection, f"CREATE OR REPLACE TEMP TABLE _records AS {' UNION '.join(records)}", step)
    if not run(connection, "SELECT 1 FROM temp._records LIMIT 1", step):
        return files, ()
    run(connection, f"CREATE OR REPLACE TABLE shared._codes AS SELECT * FROM ({rows}) ORDER BY month", step)
    possible = _possible(connection, members, source, step)
    near = [file for file in files if file.month in possible]
    increment.check(near)
    had = f"SELECT DISTINCT {month_of('month')} AS label, b.record FROM ({read(near, EVENT_CODE)}) b"
    had = f"{had} SEMI JOIN temp._records r ON {_SAME} ORDER BY label"
    run(connection, f"CREATE OR REPLACE TABLE shared._had AS {had}", step)
    has = f"SELECT {month_of('month')} AS label, count(*) FROM shared._codes GROUP BY label"
    months = {month: 0 for (month,) in run(connection, "SELECT DISTINCT label FROM shared._had", step)}
    months |= dict(run(connection, has, step))
    stay, again = ([file for file in files if (file.month in months) is there] for there in (False, True))
    with during(step):
        written = increment.write(_anew(feed, added(months, again), again)) if months else ()
    run(connection, "DROP TABLE shared._codes; DROP TABLE shared._had; DROP TABLE temp._records", step)
    return stay, written


def _anew(feed: str, rows: Mapping[str | None, int], files: Sequence[Kept]) -> Anew:
    def query(month: str | None) -> str:
        before = read([file for file in files if file.month == month], EVENT_CODE)
        gone = f"SELECT record FROM shared._had WHERE label {f'= {text(month)}' if month else 'IS NULL'}"
        stayed = f"SELECT * FROM ({before}) b ANTI JOIN ({gone}) r ON {_SAME}"
        return f"SELECT * FROM shared._codes WHERE {in_months('month', [month])} UNION ALL {stayed}"

    return Anew("event_code", [column for column, _ in EVENT_CODE], "month", rows, query, _ORDER, feed)


# A row without a record has none that could be told from another: they all change together.
_SAME = "b.record IS NOT DISTINCT FROM r.record"


def _possible(
    connection: duckdb.DuckDBPyConnection, members: Sequence[FeedTable], source: Source, step: str
) -> set[str | None]:
    """The months in which records that changed may have or have had codes: where their events are or were, or nowhere."""
    events = " UNION ".join(
        f"SELECT {month_of(moment(each, each.table.event.start))} FROM {rows}"
        for each in members
        if each.table.event
        for rows in (source(each, each.table.event.record), changed_table(each.name))
    )
    return {None, *(month for (month,) in run(connection, events, step))} if events else {None}


def _records(table: FeedTable) -> list[str]:
    """The columns of a table by which codes and events are joined, as SQL."""
    event = table.table.event
    columns = [*([event.record] if event else []), *(codes.record for codes in table.table.codes)]
    return [table.sql(column, "UUID") for column in columns]


def _of_records(members: Sequence[FeedTable]) -> Source:
    """The rows of a table whose record changed."""

    def source(table: FeedTable, column: str | None = None) -> str:
        if records_are_keys([table]) and not table.table.codes and not _has_children(table, members):
            # Such a row is the only one of its record, so it changed itself: the table need not be searched.
            return f"(SELECT * FROM {changed_table(table.name)} WHERE _side = 'after')"
        same = f"{table.sql(column, 'UUID')} IS NOT DISTINCT FROM temp._records.record"
        return f"(SELECT * FROM {name(table.name)} SEMI JOIN temp._records ON {same})"

    return source


def _has_children(table: FeedTable, members: Sequence[FeedTable]) -> bool:
    event = table.table.event
    return event is not None and any(
        _is_parent(table, event, each, codes) for each in members for codes in each.table.codes
    )


def _rows(members: Sequence[FeedTable], source: Source) -> str:
    return " UNION ALL ".join(rows for member in members for rows in _codes_of(member, members, source))


def _codes_of(table: FeedTable, feed_tables: Sequence[FeedTable], source: Source) -> list[str]:
    found = []
    if table.table.event:
        found += _column_codes(table, table.table.event, source)
    return found + [_child_codes(table, codes, feed_tables, source) for codes in table.table.codes]


def _system(table: FeedTable, codes: Codes | ChildCodes) -> str:
    """The code system, as SQL; null where the row does not say which it is."""
    return text(codes.system) if codes.system else table.sql(codes.scheme, "VARCHAR")


def _column_codes(table: FeedTable, event: Event, source: Source) -> list[str]:
    month = f"CAST(date_trunc('month', {moment(table, event.start)}) AS DATE)"
    return [
        f"SELECT token, {text(table.feed.name)} AS feed, {month} AS month, {table.sql(event.record, 'UUID')} AS record,"
        f" CAST({position} AS INTEGER) AS position, {_meaning(codes)} AS meaning, {_system(table, codes)} AS system,"
        f" {table.sql(column, 'VARCHAR')} AS code FROM {source(table, event.record)}"
        f" WHERE {table.sql(column, 'VARCHAR')} IS NOT NULL"
        for codes in event.codes
        for position, column in enumerate(codes.column, start=1)
    ]


def _child_codes(table: FeedTable, codes: ChildCodes, feed_tables: Sequence[FeedTable], source: Source) -> str:
    """A table of codes, with the month of the event that each belongs to; an orphan stays, without a month."""
    months = " UNION ALL ".join(
        _months(parent, parent.table.event, source)
        for parent in feed_tables
        if parent.table.event and _is_parent(parent, parent.table.event, table, codes)
    )
    record, code = table.sql(codes.record, "UUID"), table.sql(codes.code, "VARCHAR")
    position = table.sql(codes.position, "INTEGER")
    child = (
        f"SELECT token, {text(table.feed.name)} AS feed, {record} AS record, {position} AS position,"
        f" {_meaning(codes)} AS meaning, {_system(table, codes)} AS system, {code} AS code"
        f" FROM {source(table, codes.record)} WHERE {code} IS NOT NULL"
    )
    if not months:
        return (
            f"SELECT token, feed, CAST(NULL AS DATE) AS month, record, position, meaning, system, code FROM ({child})"
        )
    return (
        "SELECT c.token, c.feed, p.month, c.record, c.position, c.meaning, c.system, c.code"
        f" FROM ({child}) c LEFT JOIN ({months}) p ON c.record = p.record"
    )


def _meaning(codes: Codes | ChildCodes) -> str:
    return text(codes.meaning) if codes.meaning else "CAST(NULL AS VARCHAR)"


def _months(parent: FeedTable, event: Event, source: Source) -> str:
    month = f"CAST(date_trunc('month', {moment(parent, event.start)}) AS DATE)"
    record = parent.sql(event.record, "UUID")
    if parent.table.primary_key == (event.record,):
        return f"SELECT {record} AS record, {month} AS month FROM {source(parent, event.record)}"
    # A record that is not the key can occur twice; a code must still be counted once.
    return f"SELECT {record} AS record, min({month}) AS month FROM {source(parent, event.record)} GROUP BY ALL"


def _is_parent(parent: FeedTable, event: Event, child: FeedTable, codes: ChildCodes) -> bool:
    ours, theirs = child.table.columns[codes.record], parent.table.columns[event.record]
    return event.kind == codes.kind and ours.namespace == theirs.namespace
