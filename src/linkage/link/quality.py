"""What analysts may know of what was read and taken out: counts with small numbers suppressed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import duckdb

from linkage.bundle import TableParts

SMALL = 7
BASE = 5


@dataclass(frozen=True, slots=True)
class Balance:
    """Exactly what became of the rows of one feed table: read = published + removed."""

    feed: str
    table: str
    read: int
    published: int
    removed: dict[str, int]


def suppressed(count: int) -> int | None:
    """A count that may be shown: zero as it is, 1 to 7 not at all (None), others to the nearest 5, half up."""
    if count == 0:
        return 0
    return None if count <= SMALL else (count + BASE // 2) // BASE * BASE


def make_quality(connection: duckdb.DuckDBPyConnection, balances: Iterable[Balance]) -> None:
    """Make `load` (feed, table, read, published) and `removed` (feed, table, reason, rows); null is a small number."""
    connection.execute('CREATE TABLE load (feed VARCHAR, "table" VARCHAR, read BIGINT, published BIGINT)')
    connection.execute('CREATE TABLE removed (feed VARCHAR, "table" VARCHAR, reason VARCHAR, rows BIGINT)')
    for each in balances:
        shown = [each.feed, each.table, suppressed(each.read), suppressed(each.published)]
        connection.execute("INSERT INTO load VALUES (?, ?, ?, ?)", shown)
        for reason, rows in sorted(each.removed.items()):
            connection.execute("INSERT INTO removed VALUES (?, ?, ?, ?)", [each.feed, each.table, reason, suppressed(rows)])


def make_dictionary(connection: duckdb.DuckDBPyConnection, tables: Iterable[TableParts]) -> None:
    """Make `dictionary`: what every column of every table is."""
    known = {(parts.name, field.name): field for parts in tables for field in parts.fields}
    rows = connection.execute(
        "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal AND schema_name = 'main'"
        " ORDER BY table_name, column_index"
    ).fetchall()
    connection.execute(
        'CREATE TABLE dictionary ("table" VARCHAR, "column" VARCHAR, type VARCHAR, role VARCHAR, description VARCHAR)'
    )
    for table, column, type_ in rows:
        field = known.get((table, column))
        role = field.role if field else "person" if column == "token" else ""
        described = field.description if field else _COMMON.get(f"{table}.{column}", _COMMON.get(column, ""))
        connection.execute("INSERT INTO dictionary VALUES (?, ?, ?, ?, ?)", [table, column, type_, role, described])


_COMMON = {
    "token": "the person",
    "sources": "feeds that know the person",
    "first_seen": "first event or registration",
    "last_seen": "last event or registration",
    "record": "the record token of the event in its feed's own table",
    "age": "years, at the start",
    "load.read": "rows in the extracts; empty: 1 to 7; others to the nearest 5",
    "load.published": "rows published; empty: 1 to 7; others to the nearest 5",
    "removed.rows": "rows removed; empty: 1 to 7; others to the nearest 5",
    "cost": "pounds",
}


def make_text_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the schema `text`: every table again with tokens as text and lists joined by commas."""
    connection.execute("CREATE SCHEMA text")
    rows = connection.execute(
        "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal AND schema_name = 'main'"
        " ORDER BY table_name, column_index"
    ).fetchall()
    tables: dict[str, list[str]] = {}
    for table, column, type_ in rows:
        name = f'"{column}"'
        shown = f"CAST({name} AS VARCHAR) AS {name}" if type_ == "UUID" else name
        if type_ == "VARCHAR[]":
            shown = f"array_to_string({name}, ',') AS {name}"
        tables.setdefault(table, []).append(shown)
    for table, columns in tables.items():
        connection.execute(f'CREATE VIEW text."{table}" AS SELECT {", ".join(columns)} FROM main."{table}"')
