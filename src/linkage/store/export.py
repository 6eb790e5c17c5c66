"""DuckDB tables to Parquet, a file for each feed and month, in the order in which they are stored."""

from __future__ import annotations

from pathlib import Path

import duckdb

from linkage.store.layout import UNDATED

BY_FEED = ("event", "event_code")


def export(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    table: str,
    month: str | None,
    metadata: dict[str, str],
) -> None:
    """Write one table.

    Args:
        connection: With the table.
        folder: The snapshot's folder.
        table: The table's name.
        month: The date column that decides the partition, or None.
        metadata: Put into every file: domain, key id, run id, format.
    """
    by_feed = table in BY_FEED
    key = _month(month)
    parts = [f"feed={feed}" for feed in _feeds(connection, table)] if by_feed else [""]
    for feed in parts:
        chosen = f"feed = '{feed.removeprefix('feed=')}'" if by_feed else "true"
        months = connection.execute(
            f'SELECT DISTINCT {key} FROM "{table}" WHERE {chosen} ORDER BY 1 NULLS FIRST'
        ).fetchall() or ([(None,)] if not by_feed else [])
        for (each,) in months:
            place = folder / table / feed if feed else folder / table
            if month is not None:
                place = place / f"month={each or UNDATED}"
            place.mkdir(parents=True, exist_ok=True)
            inside = f"{key} = '{each}'" if each else f"{key} IS NULL"
            columns = "* EXCLUDE (feed)" if by_feed else "*"
            connection.execute(
                f"COPY (SELECT {columns} FROM \"{table}\" WHERE {chosen} AND {inside}) TO '{_text(place / 'part-00000.parquet')}'"
                f" (FORMAT parquet, COMPRESSION zstd, KV_METADATA {{{_metadata(metadata)}}})"
            )


def _month(column: str | None) -> str:
    return f"strftime(\"{column}\", '%Y-%m')" if column else "CAST(NULL AS VARCHAR)"


def _feeds(connection: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    return [
        str(feed)
        for (feed,) in connection.execute(f'SELECT DISTINCT feed FROM "{table}" ORDER BY 1').fetchall()
    ]


def _text(value: object) -> str:
    return str(value).replace("'", "''")


def _metadata(values: dict[str, str]) -> str:
    return ", ".join(f"'{_text(name)}': '{_text(value)}'" for name, value in values.items())


def make_text_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the schema `text`: every table again with tokens as text and lists joined by commas."""
    connection.execute("CREATE SCHEMA text")
    rows = connection.execute(
        "SELECT table_name, column_name, data_type FROM duckdb_columns()"
        " WHERE database_name = current_database() AND schema_name = 'main' AND NOT internal"
        " ORDER BY table_name, column_index"
    ).fetchall()
    tables: dict[str, list[str]] = {}
    for table, column, type_ in rows:
        tables.setdefault(table, []).append(_shown(f'"{column}"', type_))
    for table, columns in tables.items():
        connection.execute(f'CREATE VIEW text."{table}" AS SELECT {", ".join(columns)} FROM main."{table}"')


def _shown(column: str, type_: str) -> str:
    if type_ == "VARCHAR[]":
        return f"array_to_string({column}, ',') AS {column}"
    return f"CAST({column} AS VARCHAR) AS {column}" if type_ == "UUID" else column
