"""One long table of what happened to whom, when and where.

Each feed table whose contract has an `event` gives one row of `event` for each of its rows; `codes` makes the table of
what it was. Both are sorted by feed, month, token, so that a query for one person, one month or one feed reads little,
and a join on tokens is a merge of what is already near.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType

import duckdb

from linkage.anew import Anew, Kept
from linkage.contract import Event
from linkage.link.engine import during, name, run, text
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
from linkage.link.tables import FeedTable, month_column

__all__ = ["added", "by_feed", "create", "make_events", "moment", "month_of", "ordered", "records_are_keys"]

EVENT = (
    ("token", "UUID"),
    ("feed", "VARCHAR"),
    ("kind", "VARCHAR"),
    ("start", "TIMESTAMP"),
    ("end", "TIMESTAMP"),
    ("provider", "VARCHAR"),
    ("commissioner", "VARCHAR"),
    ("age", "SMALLINT"),
    ("value", "DOUBLE"),
    ("unit", "VARCHAR"),
    ("cost", "DOUBLE"),
    ("record", "UUID"),
)


def make_events(
    connection: duckdb.DuckDBPyConnection,
    tables: Iterable[FeedTable],
    increment: Increment | None = None,
    settled: Mapping[str, Made] = MappingProxyType({}),
) -> Made:
    """Make the rows of `event` from the settled tables: all of them, or those of the months that a change reaches.

    A date without a time is midnight at its start, also for `end`: the source did not say when.

    Args:
        connection: With the settled tables.
        tables: All settled tables.
        increment: What is known of the last run, or None.
        settled: What was made of each, by published name: of one that is all in files those of a month are read.

    Raises:
        IntegrityError: A settled table is missing.
        TemporaryError: Memory or disk ran out.
    """
    if increment is None:
        create(connection, "event", EVENT)
        for feed, members in by_feed(tables):
            _insert(connection, "event", feed, members, published)
        return table_made(connection, "event")
    create(connection, "shared._rebuilt_event", EVENT)
    linked: list[Kept] = []
    written: list[Kept] = []
    for feed, members in by_feed(tables):
        files = [file for file in increment.files["event"] if file.feed == feed]
        if not increment.follows(feed, members, [member for member in members if member.table.event]):
            _insert(connection, "shared._rebuilt_event", feed, members, published)
            continue
        months = _reached(connection, members)
        linked += [file for file in files if file.month not in months]
        if months:
            with during(f"adding events of {feed}"):
                found = {each.name: _files(connection, each, settled.get(each.name)) for each in members}
                written += increment.write(_anew(feed, members, added(months, files), found))
    return put_together(connection, "event", EVENT, "shared._rebuilt_event", linked, written)


def added(came: Mapping[str | None, int], files: Iterable[Kept]) -> dict[str | None, int]:
    """At most how many rows the months have in which some came, with those that their files have."""
    return dict(Counter(came) + Counter({file.month: file.rows for file in files if file.month in came}))


def moment(table: FeedTable, date: str | None, time: str | None = None) -> str:
    """A TIMESTAMP from a date column and, where there is one, a time column."""
    field = table.field(date)
    if field is None or field.type not in ("DATE", "TIMESTAMP"):
        return "CAST(NULL AS TIMESTAMP)"
    clock = table.field(time)
    if field.type == "TIMESTAMP" or clock is None or clock.type != "TIME":
        return f"CAST({name(field.name)} AS TIMESTAMP)"
    return f"({name(field.name)} + coalesce({name(clock.name)}, TIME '00:00:00'))"


def month_of(moment: str) -> str:
    """The month of a timestamp in SQL, written 2026-04 as the names of partitions are."""
    return f"strftime({moment}, '%Y-%m')"


def ordered(*parts: str) -> str:
    """A list for ORDER BY, what is not known first."""
    return ", ".join(f"{part} NULLS FIRST" for part in parts)


def by_feed(tables: Iterable[FeedTable]) -> list[tuple[str, list[FeedTable]]]:
    """The tables of each feed, in one order."""
    listed = sorted(tables, key=lambda table: (table.feed.name, table.name))
    return [(feed, list(members)) for feed, members in groupby(listed, key=lambda table: table.feed.name)]


def create(connection: duckdb.DuckDBPyConnection, table: str, columns: Sequence[tuple[str, str]]) -> None:
    """Create an empty table."""
    typed = ", ".join(f"{name(column)} {type}" for column, type in columns)
    run(connection, f"CREATE TABLE {table} ({typed})", f"creating {table}")


def _insert(
    connection: duckdb.DuckDBPyConnection, target: str, feed: str, members: Sequence[FeedTable], source: Source
) -> None:
    rows = _rows(members, source)
    if rows:
        order = _order(members)
        run(connection, f"INSERT INTO {target} SELECT * FROM ({rows}) ORDER BY {order}", f"adding events of {feed}")


def _rows(members: Sequence[FeedTable], source: Source) -> str:
    return " UNION ALL ".join(_event(each, each.table.event, source) for each in members if each.table.event)


def _order(members: Sequence[FeedTable]) -> str:
    # Where a record is not its table's key, ties are broken by all the rest, so that the order stays one.
    rest = "" if records_are_keys(members) else ", " + ordered(*(name(each) for each, _ in EVENT[3:-1]))
    return ordered("date_trunc('month', start)", "token", "kind", "record") + rest


def _anew(
    feed: str, members: Sequence[FeedTable], rows: Mapping[str | None, int], files: Mapping[str, Sequence[Kept] | None]
) -> Anew:
    def query(month: str | None) -> str:
        return _rows(members, _of(month, files))

    return Anew("event", [column for column, _ in EVENT], "start", rows, query, _order(members), feed)


def _files(connection: duckdb.DuckDBPyConnection, table: FeedTable, made: Made | None) -> Sequence[Kept] | None:
    """The files of a table where each holds the events of its month; None where all have to be looked through."""
    event = table.table.event
    if made is None or made.relation is not None or event is None or not event.start:
        return None
    field, clock = table.field(event.start), table.field(event.start_time)
    if field is None or field.name != month_column(table.parts, table.table):
        return None
    if clock is not None and clock.type == "TIME":
        # Written so by a site, it is midnight at the end of the day: perhaps in the next month.
        late = f"SELECT 1 FROM {name(table.name)} WHERE {name(clock.name)} >= TIME '24:00:00' LIMIT 1"
        if run(connection, late, f"adding events of {table.feed.name}"):
            return None
    return (*made.written, *made.linked)


def _reached(connection: duckdb.DuckDBPyConnection, members: Sequence[FeedTable]) -> dict[str | None, int]:
    """The months of events that came or went, with how many came."""
    months = " UNION ALL ".join(
        f"SELECT {month_of(moment(each, each.table.event.start, each.table.event.start_time))} AS month, _side"
        f" FROM {changed_table(each.name)}"
        for each in members
        if each.table.event
    )
    query = f"SELECT month, count(*) FILTER (_side = 'after') FROM ({months}) GROUP BY month"
    return dict(run(connection, query, "finding months that changed")) if months else {}


def _of(month: str | None, files: Mapping[str, Sequence[Kept] | None]) -> Source:
    """The rows of a table whose event starts in the month. Its date alone passes over most of it unread."""

    def source(table: FeedTable, column: str | None = None) -> str:
        event, field, own = table.table.event, table.field(column), files.get(table.name)
        start = moment(table, event.start, event.start_time) if event else "CAST(NULL AS TIMESTAMP)"
        if own is not None:
            columns = [("token", "UUID"), *((each.name, each.type) for each in table.fields)]
            rows = f"({read([file for file in own if file.month == month], columns)})"
        else:
            rows = name(table.name)
        near = f"{in_months(name(field.name), [month], slack=1)} AND " if field else ""
        return f"(SELECT * FROM {rows} WHERE {near}{in_months(start, [month])})"

    return source


def _event(table: FeedTable, event: Event, source: Source) -> str:
    age = next((name(field.name) for field in table.fields if field.name == "age"), "NULL")
    record = table.field(event.record)
    values = (
        "token",
        text(table.feed.name),
        text(event.kind),
        moment(table, event.start, event.start_time),
        moment(table, event.end, event.end_time),
        table.sql(event.provider, "VARCHAR"),
        table.sql(event.commissioner, "VARCHAR"),
        f"CAST({age} AS SMALLINT)",
        table.sql(event.value, "DOUBLE"),
        table.sql(event.unit, "VARCHAR"),
        table.sql(event.cost, "DOUBLE"),
        name(record.name) if record is not None and record.type == "UUID" else "CAST(NULL AS UUID)",
    )
    listed = ", ".join(f"{value} AS {name(column)}" for value, (column, _) in zip(values, EVENT, strict=True))
    return f"SELECT {listed} FROM {source(table, event.start)}"


def records_are_keys(members: Sequence[FeedTable]) -> bool:
    """Whether each event of the tables has a record of its own."""
    events = [(member, member.table.event) for member in members if member.table.event]
    keyed = all(
        member.table.primary_key == (event.record,) and member.table.columns[event.record].required
        for member, event in events
    )
    return keyed and len({event.kind for _, event in events}) == len(events)
