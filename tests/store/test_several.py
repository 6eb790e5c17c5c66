"""Statements several at a time: all are run, failures are told, and what found too little memory is run again alone."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import duckdb
import pytest

from linkage.store import several
from linkage.store.several import run_several


@pytest.fixture
def connection(tmp_path: Path) -> duckdb.DuckDBPyConnection:
    made = duckdb.connect(str(tmp_path / "work.duckdb"), config={"threads": "2"})
    made.execute("ATTACH ':memory:' AS shared")
    return made


def _copies(folder: Path, count: int, rows: int = 1_000) -> list[str]:
    return [f"COPY (SELECT range + {at} AS n FROM range({rows})) TO '{folder}/{at}.parquet'" for at in range(count)]


@pytest.mark.parametrize("count", [0, 1, 2, 9])
def test_all_are_run(connection: duckdb.DuckDBPyConnection, tmp_path: Path, count: int) -> None:
    run_several(connection, _copies(tmp_path, count))
    assert sorted(path.name for path in tmp_path.glob("*.parquet")) == sorted(f"{at}.parquet" for at in range(count))
    for at in range(count):
        assert connection.execute(f"SELECT min(n), count(*) FROM '{tmp_path}/{at}.parquet'").fetchone() == (at, 1_000)


def test_one_alone_sees_temporary_tables_and_several_see_shared_ones(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    connection.execute("CREATE TEMP TABLE own AS SELECT 1 AS n; CREATE TABLE shared.own AS SELECT 2 AS n")
    run_several(connection, [f"COPY temp.own TO '{tmp_path}/one.csv'"])
    run_several(connection, [f"COPY shared.own TO '{tmp_path}/{name}.csv'" for name in ("two", "three")])
    assert [(tmp_path / f"{name}.csv").read_text().split() for name in ("one", "two", "three")] == [
        ["n", "1"],
        ["n", "2"],
        ["n", "2"],
    ]
    with pytest.raises(duckdb.CatalogException):
        run_several(connection, [f"COPY temp.own TO '{tmp_path}/{name}.csv'" for name in ("two", "three")])


def test_a_failure_is_told(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    with pytest.raises(duckdb.IOException):
        run_several(connection, [*_copies(tmp_path, 5), *_copies(tmp_path / "nowhere", 2), *_copies(tmp_path, 5)])


def test_what_found_too_little_memory_is_run_again_alone(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.execute("SET memory_limit = '60MB'; SET temp_directory = ''")
    again: list[str] = []
    real = several.one_thread

    def narrow(connection: duckdb.DuckDBPyConnection) -> AbstractContextManager[None]:
        again.append("once more")
        return real(connection)

    monkeypatch.setattr(several, "one_thread", narrow)
    sorts = [
        f"COPY (SELECT hash(range) AS n, range AS m FROM range(700_000) ORDER BY n) TO '{tmp_path}/{at}.parquet'"
        for at in range(4)
    ]
    run_several(connection, sorts)
    assert again
    for at in range(4):
        assert connection.execute(f"SELECT count(DISTINCT m) FROM '{tmp_path}/{at}.parquet'").fetchone() == (700_000,)
    assert connection.execute("SELECT current_setting('threads')").fetchone() == (2,)


def test_a_signal_stops_all_of_them(connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []
    monkeypatch.setattr(several.stopping, "interrupts", told.append)
    run_several(connection, ["SELECT 1"] * 8)
    assert len(told) == min(several.os.cpu_count() or 1, several.MOST)
    assert all(isinstance(each, duckdb.DuckDBPyConnection) for each in told)
