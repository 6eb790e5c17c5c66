"""One long table of what happened to whom, when and where, and one of the codes that say what it was.

Each feed table whose contract has an `event` gives one row of `event` for each of its rows; code columns and tables
of codes give rows of `event_code`. Both are sorted by feed, month, token, so that a query for one person, one month
or one feed reads little, and a join on tokens is a merge of what is already near.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

import duckdb

from linkage.contract import ChildCodes, Codes, Event
from linkage.link.engine import name, run, text
from linkage.link.tables import FeedTable

__all__ = ["make_event_codes", "make_events", "moment"]

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


def make_events(connection: duckdb.DuckDBPyConnection, tables: Iterable[FeedTable]) -> int:
    """Create `event` from the settled tables and return its rows.

    A date without a time is midnight at its start, also for `end`: the source did not say when.

    Raises:
        IntegrityError: A settled table is missing.
        TemporaryError: Memory or disk ran out.
    """
    _create(connection, "event", EVENT)
    order = _ordered("date_trunc('month', start)", "token", "kind", "record")
    for feed, members in _by_feed(tables):
        rows = " UNION ALL ".join(_event(each, each.table.event) for each in members if each.table.event)
        if rows:
            # Where a record is not its table's key, ties are broken by all the rest, so that the order stays one.
            rest = "" if _records_are_keys(members) else ", " + _ordered(*(name(each) for each, _ in EVENT[3:-1]))
            inserted = f"INSERT INTO event SELECT * FROM ({rows}) ORDER BY {order}{rest}"
            run(connection, inserted, f"adding events of {feed}")
    return _count(connection, "event")


def make_event_codes(connection: duckdb.DuckDBPyConnection, tables: Iterable[FeedTable]) -> int:
    """Create `event_code` from code columns and tables of codes, and return its rows.

    `month` is the month of the event's start; null for a code whose event is not there. `position` is the code
    column's place in its contract, from 1, or the position column of a table of codes; columns without a code
    give no row.

    Raises:
        IntegrityError: A settled table is missing.
        TemporaryError: Memory or disk ran out.
    """
    _create(connection, "event_code", EVENT_CODE)
    order = _ordered("month", "token", "record", "meaning", "system", "position", "code")
    for feed, members in _by_feed(tables):
        parts = [rows for member in members for rows in _codes_of(member, members)]
        if parts:
            rows = " UNION ALL ".join(parts)
            run(
                connection, f"INSERT INTO event_code SELECT * FROM ({rows}) ORDER BY {order}", f"adding codes of {feed}"
            )
    return _count(connection, "event_code")


def moment(table: FeedTable, date: str | None, time: str | None = None) -> str:
    """A TIMESTAMP from a date column and, where there is one, a time column."""
    field = table.field(date)
    if field is None or field.type not in ("DATE", "TIMESTAMP"):
        return "CAST(NULL AS TIMESTAMP)"
    clock = table.field(time)
    if field.type == "TIMESTAMP" or clock is None or clock.type != "TIME":
        return f"CAST({name(field.name)} AS TIMESTAMP)"
    return f"({name(field.name)} + coalesce({name(clock.name)}, TIME '00:00:00'))"


def _event(table: FeedTable, event: Event) -> str:
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
    return f"SELECT {listed} FROM {name(table.name)}"


def _codes_of(table: FeedTable, feed_tables: Sequence[FeedTable]) -> list[str]:
    found = []
    if table.table.event:
        found += _column_codes(table, table.table.event)
    return found + [_child_codes(table, codes, feed_tables) for codes in table.table.codes]


def _system(table: FeedTable, codes: Codes | ChildCodes) -> str:
    """The code system, as SQL; null where the row does not say which it is."""
    return text(codes.system) if codes.system else table.sql(codes.scheme, "VARCHAR")


def _column_codes(table: FeedTable, event: Event) -> list[str]:
    month = f"CAST(date_trunc('month', {moment(table, event.start)}) AS DATE)"
    return [
        f"SELECT token, {text(table.feed.name)} AS feed, {month} AS month, {table.sql(event.record, 'UUID')} AS record,"
        f" CAST({position} AS INTEGER) AS position, {_meaning(codes)} AS meaning, {_system(table, codes)} AS system,"
        f" {table.sql(column, 'VARCHAR')} AS code FROM {name(table.name)}"
        f" WHERE {table.sql(column, 'VARCHAR')} IS NOT NULL"
        for codes in event.codes
        for position, column in enumerate(codes.column, start=1)
    ]


def _child_codes(table: FeedTable, codes: ChildCodes, feed_tables: Sequence[FeedTable]) -> str:
    """A table of codes, with the month of the event that each belongs to; an orphan stays, without a month."""
    months = " UNION ALL ".join(
        _months(parent, parent.table.event)
        for parent in feed_tables
        if parent.table.event and _is_parent(parent, parent.table.event, table, codes)
    )
    record, code = table.sql(codes.record, "UUID"), table.sql(codes.code, "VARCHAR")
    position = table.sql(codes.position, "INTEGER")
    child = (
        f"SELECT token, {text(table.feed.name)} AS feed, {record} AS record, {position} AS position,"
        f" {_meaning(codes)} AS meaning, {_system(table, codes)} AS system, {code} AS code"
        f" FROM {name(table.name)} WHERE {code} IS NOT NULL"
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


def _months(parent: FeedTable, event: Event) -> str:
    month = f"CAST(date_trunc('month', {moment(parent, event.start)}) AS DATE)"
    record = parent.sql(event.record, "UUID")
    if parent.table.primary_key == (event.record,):
        return f"SELECT {record} AS record, {month} AS month FROM {name(parent.name)}"
    # A record that is not the key can occur twice; a code must still be counted once.
    return f"SELECT {record} AS record, min({month}) AS month FROM {name(parent.name)} GROUP BY ALL"


def _is_parent(parent: FeedTable, event: Event, child: FeedTable, codes: ChildCodes) -> bool:
    ours, theirs = child.table.columns[codes.record], parent.table.columns[event.record]
    return event.kind == codes.kind and ours.namespace == theirs.namespace


def _records_are_keys(members: Sequence[FeedTable]) -> bool:
    events = [(member, member.table.event) for member in members if member.table.event]
    keyed = all(
        member.table.primary_key == (event.record,) and member.table.columns[event.record].required
        for member, event in events
    )
    return keyed and len({event.kind for _, event in events}) == len(events)


def _by_feed(tables: Iterable[FeedTable]) -> list[tuple[str, list[FeedTable]]]:
    ordered = sorted(tables, key=lambda table: (table.feed.name, table.name))
    return [(feed, list(members)) for feed, members in groupby(ordered, key=lambda table: table.feed.name)]


def _create(connection: duckdb.DuckDBPyConnection, table: str, columns: Sequence[tuple[str, str]]) -> None:
    typed = ", ".join(f"{name(column)} {type}" for column, type in columns)
    run(connection, f"CREATE TABLE {table} ({typed})", f"creating {table}")


def _ordered(*parts: str) -> str:
    return ", ".join(f"{part} NULLS FIRST" for part in parts)


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    return int(run(connection, f"SELECT count(*) FROM {table}", f"counting {table}")[0][0])
