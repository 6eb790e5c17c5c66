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
    # What the folders say is not said again in the files, or readers would have to choose between the two.
    in_folders = [*(["feed"] if by_feed else []), *(["month"] if month == "month" else [])]
    columns = f"* EXCLUDE ({', '.join(in_folders)})" if in_folders else "*"
    for place, chosen in _partitions(connection, table, month, by_feed):
        target = folder / table / place
        target.mkdir(parents=True, exist_ok=True)
        connection.execute(
            f"COPY (SELECT {columns} FROM {_name(table)} WHERE {chosen}) TO '{_text(target / 'part-00000.parquet')}'"
            f" (FORMAT parquet, COMPRESSION zstd, KV_METADATA {{{_metadata(metadata)}}})"
        )


def _partitions(
    connection: duckdb.DuckDBPyConnection, table: str, month: str | None, by_feed: bool
) -> list[tuple[Path, str]]:
    """The folder of each file to be written, and a condition for its rows; a table without rows still has one.

    A month is asked for as a range of its column: tables are stored in this order, so DuckDB skips to the rows,
    where a function of the column would make it read the whole table once for each month.
    """
    feed = "feed" if by_feed else "CAST(NULL AS VARCHAR)"
    start = f"date_trunc('month', {_name(month)})" if month else "CAST(NULL AS DATE)"
    found = connection.execute(
        f"SELECT DISTINCT {feed} AS feed, CAST({start} AS VARCHAR) AS start, strftime({start}, '%Y-%m') AS label"
        f" FROM {_name(table)} ORDER BY feed NULLS FIRST, start NULLS FIRST"
    ).fetchall()
    made = []
    for each, first, label in found or ([] if by_feed else [(None, None, None)]):
        place = Path(f"feed={each}") if by_feed else Path()
        chosen = f"feed = '{_text(each)}'" if by_feed else "true"
        if month:
            place /= f"month={label or UNDATED}"
            chosen += f" AND {_in_month(_name(month), first)}"
        made.append((place, chosen))
    return made


def _in_month(column: str, first: str | None) -> str:
    if first is None:
        return f"{column} IS NULL"
    return f"{column} >= TIMESTAMP '{first}' AND {column} < TIMESTAMP '{first}' + INTERVAL 1 MONTH"


def _name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


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
