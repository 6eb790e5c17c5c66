"""DuckDB tables to Parquet, a file for each feed and month, in the order in which they are stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from linkage.anew import Anew, Kept
from linkage.store.layout import UNDATED
from linkage.store.several import run_several

BY_FEED = ("event", "event_code")
# Of zstd: most bytes are tokens, which do not compress; the next levels made files 3 % smaller and took a third longer.
LEVEL = 1


def in_folders(table: str) -> tuple[str, ...]:
    """The columns that the names of the folders say, and the files do not: readers would have to choose between the two."""
    return {"event": ("feed",), "event_code": ("feed", "month")}.get(table, ())


def export(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    table: str,
    month: str | None,
    metadata: dict[str, str],
    relation: str | None = None,
) -> None:
    """Write one table.

    Args:
        connection: With the table.
        folder: The snapshot's folder.
        table: The table's name.
        month: The date column that decides the partition, or None.
        metadata: Put into every file: domain, key id, format.
        relation: Where the rows are, in their order, when not in the table of that name; no temporary table, since several
            files are written at a time.
    """
    by_feed, relation = table in BY_FEED, relation or _name(table)
    told = in_folders(table)
    columns = f"* EXCLUDE ({', '.join(told)})" if told else "*"
    statements = []
    for place, chosen in _partitions(connection, relation, month, by_feed):
        target = folder / table / place
        target.mkdir(parents=True, exist_ok=True)
        rows = f"SELECT {columns} FROM {relation} WHERE {chosen}"
        statements.append(f"COPY ({rows}) TO '{_text(target / 'part-00000.parquet')}' ({_form(metadata)})")
    run_several(connection, statements)


def export_anew(
    connection: duckdb.DuckDBPyConnection, folder: Path, anew: Anew, metadata: dict[str, str]
) -> tuple[Kept, ...]:
    """Write some files of a table straight from a query: rows go through no table of the database.

    Args:
        connection: To what the query reads.
        folder: The snapshot's folder.
        anew: What is to be written.
        metadata: As in `export`.

    Returns:
        What was written.
    """
    place = folder / anew.table / (f"feed={anew.feed}" if anew.feed else "")
    listed = ", ".join(_name(column) for column in anew.columns if column not in in_folders(anew.table))
    statements = []
    # The largest first, so that no core waits for one that was begun last.
    for month in sorted(anew.rows, key=lambda each: (-anew.rows[each], each or "")):
        target = _file(place, anew, month)
        target.parent.mkdir(parents=True, exist_ok=True)
        rows = f"SELECT {listed} FROM ({anew.query(month)}) ORDER BY {anew.order}"
        statements.append(f"COPY ({rows}) TO '{_text(target)}' ({_form(metadata)})")
    run_several(connection, statements)
    return tuple(_written(place, anew))


def _file(place: Path, anew: Anew, month: str | None) -> Path:
    return (place / f"month={month or UNDATED}" if anew.month else place) / "part-00000.parquet"


def _written(place: Path, anew: Anew) -> Iterator[Kept]:
    for month, expected in anew.rows.items():
        path = _file(place, anew, month)
        rows = pq.read_metadata(path).num_rows if path.exists() else 0
        if rows or not expected:
            yield Kept(path, anew.feed, month, rows)
        elif path.exists():
            path.unlink()
            path.parent.rmdir()


def _form(metadata: Mapping[str, str]) -> str:
    return f"FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL {LEVEL}, KV_METADATA {{{_metadata(metadata)}}}"


def _partitions(
    connection: duckdb.DuckDBPyConnection, relation: str, month: str | None, by_feed: bool
) -> list[tuple[Path, str]]:
    """The folder of each file to be written, and a condition for its rows; a table without rows still has one.

    A month is asked for as a range of its column: tables are stored in this order, so DuckDB skips to the rows,
    where a function of the column would make it read the whole table once for each month.
    """
    feed = "feed" if by_feed else "CAST(NULL AS VARCHAR)"
    start = f"date_trunc('month', {_name(month)})" if month else "CAST(NULL AS DATE)"
    found = connection.execute(
        f"SELECT DISTINCT {feed} AS feed, CAST({start} AS VARCHAR) AS start, strftime({start}, '%Y-%m') AS label"
        f" FROM {relation} ORDER BY feed NULLS FIRST, start NULLS FIRST"
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


def _metadata(values: Mapping[str, str]) -> str:
    return ", ".join(f"'{_text(name)}': '{_text(value)}'" for name, value in values.items())
