"""Events and their codes: one long table of what happened, in one order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from pathlib import Path

import duckdb
import pytest
from bundles import Row, feed, feed_table, token

from linkage.link import FeedTable, connect, make_event_codes, make_events, settle

FEED = feed(
    """
name = "ward"
setting = "acute"

[tables.stay]
files = "*"
primary_key = ["stay"]
month = "admitted"
[tables.stay.event]
kind = "stay"
record = "stay"
start = "admitted"
start_time = "admitted_at"
end = "left"
provider = "site"
cost = "price"
codes = [{ system = "icd10", column = ["code_one", "code_two"] }, { system = "opcs4", meaning = "procedure", column = "code_done" }]
[tables.stay.columns]
stay = { source = "a", role = "record", namespace = "ward.stay", required = true }
admitted = { source = "b", role = "date" }
admitted_at = { source = "c", role = "date", type = "time" }
left = { source = "d", role = "date" }
site = { source = "e", role = "organisation" }
price = { source = "f", role = "number" }
code_one = { source = "g", role = "code" }
code_two = { source = "h", role = "code" }
code_done = { source = "i", role = "code" }

[tables.finding]
files = "*"
primary_key = ["stay", "place"]
codes = { record = "stay", kind = "stay", meaning = "diagnosis", system = "snomed", code = "code", position = "place" }
[tables.finding.columns]
stay = { source = "a", role = "record", namespace = "ward.stay", required = true }
place = { source = "b", role = "number", type = "integer" }
code = { source = "c", role = "code" }
"""
)
CALLS = feed(
    """
name = "calls"
setting = "urgent"
[tables.call]
files = "*"
primary_key = ["call"]
month = "at"
event = { kind = "call", record = "call", start = "at" }
[tables.call.columns]
call = { source = "a", role = "record", namespace = "calls.call" }
at = { source = "b", role = "date", type = "datetime" }
"""
)
STAY = {
    "token": "UUID",
    "stay": "UUID",
    "admitted": "DATE",
    "admitted_at": "TIME",
    "left": "DATE",
    "site": "VARCHAR",
    "price": "DOUBLE",
    "code_one": "VARCHAR",
    "code_two": "VARCHAR",
    "code_done": "VARCHAR",
    "age": "SMALLINT",
}
FINDING = {"token": "UUID", "stay": "UUID", "place": "BIGINT", "code": "VARCHAR"}
CALL = {"token": "UUID", "call": "UUID", "at": "TIMESTAMP", "age": "SMALLINT"}
MAY, JUNE = date(2026, 5, 9), date(2026, 6, 1)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    opened = connect(tmp_path / "linked.duckdb", tmp_path / "spill")
    yield opened
    opened.close()


def ready(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    stays: Sequence[Row] = (),
    findings: Sequence[Row] = (),
    calls: Sequence[Row] = (),
) -> list[FeedTable]:
    tables = [
        feed_table(folder, FEED, "stay", STAY, [stays]),
        feed_table(folder, FEED, "finding", FINDING, [findings]),
        feed_table(folder, CALLS, "call", CALL, [calls]),
    ]
    for table in tables:
        settle(connection, folder, table.parts, table.table)
    return tables


def test_a_row_becomes_an_event(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    stay = {
        "token": 1,
        "stay": 5,
        "admitted": MAY,
        "admitted_at": time(14, 30),
        "left": JUNE,
        "site": "RXX",
        "price": 9.5,
    }
    assert make_events(connection, ready(connection, tmp_path, [stay | {"age": 40}])).rows == 1
    start, end = datetime(2026, 5, 9, 14, 30), datetime(2026, 6, 1)
    expected = (token(1), "ward", "stay", start, end, "RXX", None, 40, None, None, 9.5, token(5))
    assert connection.execute("SELECT * FROM event").fetchall() == [expected]
    columns = connection.execute("SELECT * FROM event LIMIT 0").description
    assert [column[0] for column in columns or []] == (
        ["token", "feed", "kind", "start", "end", "provider", "commissioner", "age", "value", "unit", "cost", "record"]
    )


def test_dates_without_times_and_rows_without_dates(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    stays = [{"token": 1, "stay": 1, "admitted": MAY}, {"token": None, "stay": 2, "admitted_at": time(9)}]
    make_events(connection, ready(connection, tmp_path, stays))
    found = connection.execute("SELECT token, start FROM event").fetchall()
    assert found == [(None, None), (token(1), datetime(2026, 5, 9))]


def test_events_are_sorted_by_feed_month_token(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    stays = [
        {"token": 1, "stay": 1, "admitted": JUNE},
        {"token": 2, "stay": 2, "admitted": date(2026, 5, 1)},
        {"token": 1, "stay": 3, "admitted": date(2026, 5, 31)},
        {"token": 3, "stay": 4, "admitted": None},
    ]
    calls = [{"token": 9, "call": 7, "at": datetime(2026, 7, 1, 8)}]
    tables = ready(connection, tmp_path, stays, calls=calls)
    make_events(connection, list(reversed(tables)))
    found = connection.execute("SELECT feed, record FROM event").fetchall()
    order = [("calls", 7), ("ward", 4), ("ward", 3), ("ward", 2), ("ward", 1)]
    assert found == [(name, token(record)) for name, record in order]


def test_code_columns_keep_their_place(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    stays = [
        {"token": 1, "stay": 1, "admitted": MAY, "code_one": "I21", "code_two": "E11", "code_done": "K40"},
        {"token": 2, "stay": 2, "admitted": MAY, "code_two": "J45"},
        {"token": 3, "stay": 3, "admitted": MAY},
    ]
    assert make_event_codes(connection, ready(connection, tmp_path, stays)).rows == 4
    found = connection.execute("SELECT record, position, meaning, system, code, month, feed FROM event_code").fetchall()
    month = (date(2026, 5, 1), "ward")
    assert found == [
        (token(1), 1, None, "icd10", "I21", *month),
        (token(1), 2, None, "icd10", "E11", *month),
        (token(1), 1, "procedure", "opcs4", "K40", *month),
        (token(2), 2, None, "icd10", "J45", *month),
    ]


def test_tables_of_codes_find_their_month_and_orphans_stay(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    findings = [
        {"token": 1, "stay": 1, "place": 2, "code": "22"},
        {"token": 1, "stay": 1, "place": 1, "code": "11"},
        {"token": 4, "stay": 99, "place": 1, "code": "33"},
        {"token": 4, "stay": 1, "place": 3, "code": None},
    ]
    tables = ready(connection, tmp_path, [{"token": 1, "stay": 1, "admitted": MAY}], findings)
    make_event_codes(connection, tables)
    found = connection.execute(
        "SELECT token, month, record, position, meaning, system, code FROM event_code"
    ).fetchall()
    assert found == [
        (token(4), None, token(99), 1, "diagnosis", "snomed", "33"),
        (token(1), date(2026, 5, 1), token(1), 1, "diagnosis", "snomed", "11"),
        (token(1), date(2026, 5, 1), token(1), 2, "diagnosis", "snomed", "22"),
    ]


def test_without_tables_there_are_empty_tables(connection: duckdb.DuckDBPyConnection) -> None:
    assert (make_events(connection, []).rows, make_event_codes(connection, []).rows) == (0, 0)
