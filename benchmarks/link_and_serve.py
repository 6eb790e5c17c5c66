"""Join and group events with people on the token: as we store it, on 64 hexadecimal digits, and on a plain integer.

    python benchmarks/link_and_serve.py --events 20000000 --people 2000000 --rounds 5

DuckDB reads Parquet, as analysts do. Each key is stored twice: in the order of arrival, as linkages by hand leave it, and
sorted by the key, as we publish. Sizes are those of the files.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import duckdb
from side_by_side import Contender, measure, report

# The three keys of the same people: a 16-byte token, the text that others keep, and a row number.
KEYS = {
    "token": "CAST(md5(CAST(person AS VARCHAR)) AS UUID)",
    "hex": "sha256(CAST(person AS VARCHAR))",
    "integer": "CAST(person AS BIGINT)",
}
QUERY = """
SELECT p.decile, count(*), count(DISTINCT e.kind), sum(e.cost)
FROM '{events}' e JOIN '{people}' p ON e.key = p.key
GROUP BY p.decile ORDER BY p.decile
"""


def main() -> None:
    """Write all six, measure, and print the sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000_000)
    parser.add_argument("--people", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="a folder for the figures")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        connection = duckdb.connect(config={"memory_limit": "8GiB", "temp_directory": str(folder / "spill")})
        connection.execute("SET enable_progress_bar = false")
        _make(connection, folder, options.events, options.people)
        expected = connection.execute(_query(folder, "integer", "arrival")).fetchall()
        contenders = []
        for order in ("sorted", "arrival"):
            for key in KEYS:
                query = _query(folder, key, order)
                if connection.execute(query).fetchall() != expected:
                    raise ValueError(f"{key} {order}: another result")
                name = f"{key}, {'sorted by it' if order == 'sorted' else 'as it arrived'}"
                contenders.append(Contender(name, options.events, lambda query=query: _run(connection, query)))  # type: ignore[misc]
        measured = measure(contenders, options.rounds)
        title = f"join and group {options.events:,} events with {options.people:,} people"
        report(title, measured, ["linkage", "duckdb"], options.json)
        print(f"\n{'megabytes of Parquet (zstd)':<30}{'sorted':>10}{'arrival':>10}")
        for key in KEYS:
            sizes = [_size(folder, key, order) / 1e6 for order in ("sorted", "arrival")]
            print(f"{key:<30}{sizes[0]:>10,.0f}{sizes[1]:>10,.0f}")


def _make(connection: duckdb.DuckDBPyConnection, folder: Path, events: int, people: int) -> None:
    # hash() scatters: some people have many events, and they arrive in the order of time, not of people.
    connection.execute(
        f"""CREATE TABLE event AS SELECT
            CAST(floor(power(hash(i) % 1000003 / 1000003, 1.7) * {people}) AS BIGINT) AS person,
            DATE '2024-01-01' + CAST(i * 700 // {events} AS INTEGER) AS day,
            ['attendance', 'spell', 'contact', 'observation', 'prescription'][CAST(hash(i + 7) % 5 AS INTEGER) + 1] AS kind,
            CAST(hash(i + 11) % 900 AS INTEGER) AS cost
        FROM range({events}) t(i)"""
    )
    connection.execute(
        f"CREATE TABLE person AS SELECT i AS person, hash(i + 3) % 10 + 1 AS decile FROM range({people}) t(i)"
    )
    for key, made in KEYS.items():
        for order in ("sorted", "arrival"):
            events_by, people_by = ("ORDER BY key, day", "ORDER BY key") if order == "sorted" else ("ORDER BY day", "")
            for table, columns, by in (("event", "day, kind, cost", events_by), ("person", "decile", people_by)):
                connection.execute(
                    f"COPY (SELECT {made} AS key, {columns} FROM {table} {by})"
                    f" TO '{_path(folder, table, key, order)}' (FORMAT parquet, COMPRESSION zstd)"
                )


def _path(folder: Path, table: str, key: str, order: str) -> Path:
    return folder / f"{table}-{key}-{order}.parquet"


def _query(folder: Path, key: str, order: str) -> str:
    return QUERY.format(events=_path(folder, "event", key, order), people=_path(folder, "person", key, order))


def _size(folder: Path, key: str, order: str) -> int:
    return sum(_path(folder, table, key, order).stat().st_size for table in ("event", "person"))


def _run(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    connection.execute(query).fetchall()


if __name__ == "__main__":
    main()
