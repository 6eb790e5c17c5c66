"""DuckDB as the hub uses it: one file database, bounded memory, nothing fetched from outside, no data in errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from linkage import stopping
from linkage.errors import ConfigurationError, IntegrityError, LinkageError, TemporaryError, of_the_machine
from linkage.one_thread import one_thread

__all__ = ["connect", "during", "finish", "name", "run", "text"]

OLDEST_READER = "v1.2.0"  # the oldest DuckDB that can read a snapshot's database

_FULL = ("no space left", "disk quota", "file too large", "disk full", "max_temp_directory_size")


def connect(path: Path, temporary: Path, memory: str = "2GiB", threads: int | None = None) -> duckdb.DuckDBPyConnection:
    """Open the database that a run builds.

    Args:
        path: The database file; made when it is not there.
        temporary: The folder into which DuckDB spills; made owner-only. It belongs inside the staging folder,
            so that what is spilt goes when the run goes.
        memory: DuckDB's memory limit, for example `2GiB`; larger work spills.
        threads: Worker threads; as many as there are processors when not given.

    Raises:
        ConfigurationError: The memory limit or the thread count is not one.
        TemporaryError: The disk is full.
    """
    temporary.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": memory,
        "temp_directory": str(temporary),
        # The order of rows is part of what is published: sorted by token, and the same for the same input.
        "preserve_insertion_order": "true",
        # Analysts open the file with what they have: R packages and ODBC drivers are versions behind.
        "storage_compatibility_version": OLDEST_READER,
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "allow_community_extensions": "false",
    }
    if threads is not None:
        settings["threads"] = str(threads)
    try:
        connection = duckdb.connect(str(path), config=settings)
        # In memory as temporary tables are, and seen by the cursors of other threads as well.
        connection.execute("ATTACH ':memory:' AS shared")
        # A nightly log holds results: the database would draw a bar into it on every long statement.
        connection.execute("SET enable_progress_bar = false")
        stopping.interrupts(connection)
        return connection
    except (duckdb.ParserException, duckdb.InvalidInputException, duckdb.SyntaxException):
        raise ConfigurationError(
            "the memory limit or the number of threads cannot be used", hint="for example 4GiB, and 1 or more"
        ) from None
    except duckdb.Error as error:
        raise _translated(error, "opening the database") from None


def run(connection: duckdb.DuckDBPyConnection, sql: str, step: str) -> list[tuple[Any, ...]]:
    """Run one statement and fetch what it returns.

    Args:
        connection: From `connect`.
        sql: The statement; names and texts in it quoted with `name` and `text`.
        step: What is being done, for an error, for example `settling emis_patient`.

    Raises:
        TemporaryError: Memory or disk ran out.
        IntegrityError: The statement failed. DuckDB's own message is withheld, since it can quote a value.
    """
    try:
        return connection.execute(sql).fetchall()
    except duckdb.OutOfMemoryException:
        return _run_narrow(connection, sql, step)
    except duckdb.Error as error:
        raise _translated(error, step) from None


def _run_narrow(connection: duckdb.DuckDBPyConnection, sql: str, step: str) -> list[tuple[Any, ...]]:
    """Run a statement that found too little memory once more on one thread.

    A statement either happens or does not, so running it again cannot do it twice.
    """
    try:
        with one_thread(connection):
            return connection.execute(sql).fetchall()
    except duckdb.Error as error:
        raise _translated(error, step) from None


@contextmanager
def during(step: str) -> Iterator[None]:
    """Translate what DuckDB raises in statements that others run on the connection, as `run` does for its own."""
    try:
        yield
    except duckdb.Error as error:
        raise _translated(error, step) from None


def finish(connection: duckdb.DuckDBPyConnection) -> None:
    """Write everything into the database file and close it.

    Raises:
        TemporaryError: The disk is full.
    """
    run(connection, "CHECKPOINT", "closing the database")
    connection.close()


def name(identifier: str) -> str:
    """An identifier, quoted for SQL: a bundle's column names come from another organisation."""
    return '"' + identifier.replace('"', '""') + '"'


def text(value: str) -> str:
    """A text literal, quoted for SQL."""
    return "'" + value.replace("'", "''") + "'"


def _translated(error: duckdb.Error, step: str) -> LinkageError:
    if any(word in str(error).lower() for word in _FULL):
        return TemporaryError(f"the disk is full while {step}", hint="free space below the store and run again")
    if isinstance(error, duckdb.OutOfMemoryException):
        return TemporaryError(f"out of memory while {step}", hint="raise the memory limit and run again")
    if said := of_the_machine(error):
        return type(said)(f"{said.message} while {step}", hint=said.hint)
    return IntegrityError(
        f"the database refused a step ({type(error).__name__}) while {step}",
        hint="nothing was published; check that the bundle was made by the same version",
    )
