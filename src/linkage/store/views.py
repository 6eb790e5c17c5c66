"""The snapshot's database: small tables in it, and views over the Parquet files of all others.

A view names its files one by one, in the order of the rows: undated first, then month by month. So `SELECT * FROM event`
gives rows as they are stored, and what is asked of one feed or month opens the files of that feed or month alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import duckdb

from linkage.errors import ConfigurationError
from linkage.store.export import in_folders
from linkage.store.layout import UNDATED
from linkage.store.manifest import PublishedTable

__all__ = ["TABLES", "columns_of", "make_tables", "make_text_views"]

TABLES = ("load", "removed", "coverage", "dictionary")
_SPECIAL = re.compile(r"[*?\[\]]|[\\/](?:feed|month)=")
_MONTH = (
    f"CASE WHEN month <> '{UNDATED}' THEN make_date(TRY_CAST(regexp_extract(month, '^(.+)-', 1) AS BIGINT),"
    " TRY_CAST(right(month, 2) AS BIGINT), 1) END AS month"
)

Columns = Mapping[str, Sequence[tuple[str, str]]]


def columns_of(connection: duckdb.DuckDBPyConnection) -> dict[str, list[tuple[str, str]]]:
    """Name and type of every column of every table and view, by table, in their order."""
    rows = connection.execute(
        "SELECT table_name, column_name, data_type FROM duckdb_columns()"
        " WHERE database_name = current_database() AND schema_name = 'main' AND NOT internal"
        " ORDER BY table_name, column_index"
    ).fetchall()
    found: dict[str, list[tuple[str, str]]] = {}
    for table, column, type_ in rows:
        found.setdefault(table, []).append((column, type_))
    return found


def make_tables(
    connection: duckdb.DuckDBPyConnection, place: Path, tables: Iterable[PublishedTable], columns: Columns
) -> None:
    """Make every table of a snapshot, in `main` and as `text`.

    Args:
        connection: To the new database.
        place: The published folder, with the files.
        tables: The tables and their files.
        columns: From `columns_of`, of the database in which they were built.

    Raises:
        ConfigurationError: The folder has a name that would be taken for a pattern, or for a partition.
    """
    base = place.resolve().as_posix()
    if _SPECIAL.search(base):
        raise ConfigurationError(
            f"{base}: a store cannot be below a folder with *, ? or [ in its name, or named feed=… or month=…",
            hint="choose another path under [store]",
        )
    for table in tables:
        kind = "TABLE" if table.name in TABLES else "VIEW"
        query = _query(base, table, columns[table.name])
        connection.execute(f"CREATE {kind} {_name(table.name)} AS {query}")
    make_text_views(connection)


def make_text_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the schema `text`: every table again with tokens as text and lists joined by commas."""
    connection.execute("CREATE SCHEMA text")
    for table, columns in columns_of(connection).items():
        shown = ", ".join(_shown(_name(column), type_) for column, type_ in columns)
        connection.execute(f"CREATE VIEW text.{_name(table)} AS SELECT {shown} FROM main.{_name(table)}")


def _query(base: str, table: PublishedTable, columns: Sequence[tuple[str, str]]) -> str:
    if not table.files:
        nothing = ", ".join(f"CAST(NULL AS {type_}) AS {_name(column)}" for column, type_ in columns)
        return f"SELECT {nothing} WHERE FALSE"
    told = in_folders(table.name)
    listed = ", ".join(_MONTH if column == "month" and column in told else _name(column) for column, _ in columns)
    files = ", ".join(
        f"'{_text(f'{base}/{path}')}'" for path in sorted((file.path for file in table.files), key=_order)
    )
    types = ", ".join(f"'{column}': 'VARCHAR'" for column in told)
    hive = f"hive_partitioning = true, hive_types = {{{types}}}" if told else "hive_partitioning = false"
    return f"SELECT {listed} FROM read_parquet([{files}], {hive})"


def _order(path: str) -> tuple[str, int, int, str]:
    """The order of a table's rows: by feed, undated first, then by month; years are numbers."""
    folder, _, month = path.rpartition("/")[0].partition("month=")
    year, _, number = month.rpartition("-")
    try:
        return folder, int(year), int(number), path
    except ValueError:
        return folder, -(10**9), 0, path


def _shown(column: str, type_: str) -> str:
    if type_ == "VARCHAR[]":
        return f"array_to_string({column}, ',') AS {column}"
    return f"CAST({column} AS VARCHAR) AS {column}" if type_ == "UUID" else column


def _name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _text(value: str) -> str:
    return value.replace("'", "''")
