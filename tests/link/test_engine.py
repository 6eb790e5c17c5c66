"""The database: quiet, bounded, and a refusal that says what to do and nothing of the data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from linkage.errors import IntegrityError, TemporaryError
from linkage.link import engine

MUCH = "SELECT list(number) FROM range(100_000_000) numbers(number)"


class _Narrow:
    """A connection on which every statement needs too much memory while it has more than one thread."""

    def __init__(self) -> None:
        self.threads = 2
        self.ran: list[str] = []

    def execute(self, sql: str) -> _Narrow:
        if sql.startswith("SET threads"):
            self.threads = int(sql.split("=")[1])
        elif "current_setting" not in sql:
            if self.threads > 1:
                raise duckdb.OutOfMemoryException("too little")
            self.ran.append(sql)
        return self

    def fetchall(self) -> list[tuple[Any, ...]]:
        return [(self.threads,)]


def test_a_statement_that_found_too_little_memory_runs_again_on_one_thread() -> None:
    """Once, and the threads are as before."""
    connection = _Narrow()
    engine.run(connection, "SELECT 1", "counting")  # type: ignore[arg-type]
    assert connection.ran == ["SELECT 1"]
    assert connection.threads == 2


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """With little memory."""
    with engine.connect(tmp_path / "d.duckdb", tmp_path / "spill", "50MB", threads=2) as connection:
        yield connection


def test_too_little_memory_is_said(connection: duckdb.DuckDBPyConnection) -> None:
    """As something that may pass, with the step."""
    with pytest.raises(TemporaryError, match="out of memory while collecting"):
        engine.run(connection, MUCH, "collecting")
    assert engine.run(connection, "SELECT current_setting('threads')", "looking") == [(2,)]
    with pytest.raises(TemporaryError, match="out of memory while collecting"), engine.during("collecting"):
        connection.execute(MUCH)


def test_a_refused_statement_says_nothing_of_the_data(connection: duckdb.DuckDBPyConnection) -> None:
    """The database's own message would quote the value."""
    with pytest.raises(IntegrityError) as caught:
        engine.run(connection, "SELECT '9434765919x'::BIGINT", "reading")
    assert "9434765919" not in f"{caught.value} {caught.value.__cause__} {caught.value.hint}"


def test_the_database_draws_no_bar(connection: duckdb.DuckDBPyConnection) -> None:
    """Standard output is for results."""
    assert engine.run(connection, "SELECT current_setting('enable_progress_bar')", "looking") == [(False,)]


def test_older_readers_can_open_the_file(tmp_path: Path) -> None:
    """Analysts' R packages and ODBC drivers are versions behind the pipeline's DuckDB."""
    with engine.connect(tmp_path / "linked.duckdb", tmp_path / "spill") as made:
        engine.run(made, "CREATE TABLE one AS SELECT uuidv4() AS token", "creating one")
        engine.finish(made)
    with duckdb.connect(tmp_path / "linked.duckdb", read_only=True) as opened:
        (tags,) = opened.execute("SELECT tags FROM duckdb_databases() WHERE database_name = 'linked'").fetchone() or (
            {},
        )
    assert tags["storage_version"] == f"{engine.OLDEST_READER}+"
