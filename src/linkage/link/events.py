"""One long table of what happened to whom, when, where, and with which codes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import duckdb

from linkage.bundle import TableParts
from linkage.contract import Event, Feed, Table
from linkage.link.engine import name as quoted
from linkage.link.engine import text

Connection = duckdb.DuckDBPyConnection

_EVENT = """CREATE TABLE event (
    token UUID, feed VARCHAR, kind VARCHAR, start TIMESTAMP, "end" TIMESTAMP, provider VARCHAR, commissioner VARCHAR,
    age SMALLINT, value DOUBLE, unit VARCHAR, cost DOUBLE, record UUID)"""
_EVENT_CODE = "CREATE TABLE event_code (token UUID, feed VARCHAR, record UUID, position INTEGER, system VARCHAR, code VARCHAR)"


def make_events(connection: Connection, feeds: Mapping[str, Feed], tables: Iterable[TableParts]) -> None:
    """Make `event` and `event_code`, feed by feed, sorted by token within the month of the event.

    Args:
        connection: With the settled tables.
        feeds: The contracts by name.
        tables: What was settled.
    """
    connection.execute(_EVENT)
    connection.execute(_EVENT_CODE)
    by_feed: dict[str, list[TableParts]] = {}
    for parts in tables:
        by_feed.setdefault(parts.feed, []).append(parts)
    for name, settled in sorted(by_feed.items()):
        contracts = feeds[name].tables
        events = [_events(parts, contracts[parts.table]) for parts in settled if contracts[parts.table].event]
        if events:
            union = " UNION ALL ".join(events)
            connection.execute(
                f"INSERT INTO event SELECT * FROM ({union}) ORDER BY {month('start')} NULLS FIRST, token NULLS FIRST, kind, record, start"
            )
        codes = [sql for parts in settled for sql in _codes(parts, contracts[parts.table])]
        if codes:
            connection.execute(
                f"INSERT INTO event_code SELECT c.* FROM ({' UNION ALL '.join(codes)}) AS c"
                f" LEFT JOIN (SELECT record, min(start) AS start FROM event WHERE feed = {text(name)} GROUP BY record) AS e USING (record)"
                f" ORDER BY {month('start')} NULLS FIRST, c.token NULLS FIRST, c.record, c.system, c.position, c.code"
            )


def month(column: str) -> str:
    """SQL for the month that decides a row's partition: `2026-11`, or null without a date."""
    return f"strftime({quoted(column)}, '%Y-%m')"


def _events(parts: TableParts, table: Table) -> str:
    event = table.event or Event(kind="", record="", start="")
    return f"""SELECT token, {text(parts.feed)}, {text(event.kind)}, {_moment(event.start, event.start_time)} AS start,
        {_moment(event.end, event.end_time)}, {_column(event.provider, 'VARCHAR')}, {_column(event.commissioner, 'VARCHAR')},
        age, {_column(event.value, 'DOUBLE')}, {_column(event.unit, 'VARCHAR')}, {_column(event.cost, 'DOUBLE')},
        {quoted(event.record)} AS record FROM {quoted(parts.name)}"""


def _codes(parts: TableParts, table: Table) -> list[str]:
    made = []
    for codes in table.event.codes if table.event else ():
        for position, column in enumerate(codes.column, start=1):
            made.append(_code(parts, table.event.record if table.event else "", str(position), codes.system, column))
    if table.codes:
        position = f"CAST({quoted(table.codes.position)} AS INTEGER)" if table.codes.position else "1"
        made.append(_code(parts, table.codes.record, position, table.codes.system, table.codes.code))
    return made


def _code(parts: TableParts, record: str, position: str, system: str, column: str) -> str:
    return (
        f"SELECT token, {text(parts.feed)} AS feed, {quoted(record)} AS record, {position} AS position,"
        f" {text(system)} AS system, {quoted(column)} AS code FROM {quoted(parts.name)} WHERE {quoted(column)} IS NOT NULL"
    )


def _moment(date: str | None, time: str | None) -> str:
    if date is None:
        return "CAST(NULL AS TIMESTAMP)"
    day = f"CAST({quoted(date)} AS TIMESTAMP)"
    if time is None:
        return day
    # A date without its time is the start of that day.
    return f"{day} + to_seconds(coalesce(epoch({quoted(time)}), 0))"


def _column(name: str | None, type_: str) -> str:
    return f"CAST({quoted(name)} AS {type_})" if name else f"CAST(NULL AS {type_})"
