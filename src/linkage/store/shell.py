"""What to type to open a snapshot with DuckDB itself: read-only, its own files and no others, and settings that stay."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import polars as pl

from linkage.errors import ConfigurationError, InputError, IntegrityError
from linkage.store.layout import Store
from linkage.store.open import open_snapshot, open_store

__all__ = ["SETTINGS", "arguments", "python", "query", "r", "rows", "shell", "snapshot", "sql"]

# Nothing is loaded, and views read the snapshot's own files alone; the order matters, and the last one closes the door.
SETTINGS = (
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET allow_community_extensions = false",
)
_CLOSED = ("SET enable_external_access = false", "SET lock_configuration = true")


def snapshot(path: Path) -> Path:
    """The folder of the current snapshot.

    Raises:
        InputError: Nothing has been published there.
        IntegrityError: The current snapshot is not there.
    """
    store = Store(path)
    current = store.current()
    if current is None:
        raise InputError(f"{path}: nothing has been published", hint="run the pipeline, or name its store")
    folder = (store.snapshots / current).resolve()
    if not (folder / "linked.duckdb").is_file():
        raise IntegrityError(f"{folder}: not there", hint="run the pipeline, or restore the store from its backup")
    return folder


def sql(folder: Path) -> str:
    """SQL for a DuckDB that is open already, in whatever program."""
    attach = f"ATTACH {_quoted(_posix(folder / 'linked.duckdb'))} AS linked (READ_ONLY)"
    return "".join(f"{each};\n" for each in (*SETTINGS, attach, "USE linked", _allowed(folder), *_CLOSED))


def python(folder: Path) -> str:
    """Python that needs the package duckdb alone."""
    lines = [
        "import duckdb",
        "",
        f"connection = duckdb.connect({json.dumps(_posix(folder / 'linked.duckdb'))}, read_only=True)",
    ]
    lines += [f"connection.execute({json.dumps(each)})" for each in (*SETTINGS, _allowed(folder), *_CLOSED)]
    return "\n".join([*lines, 'print(connection.sql("SELECT count(*) AS people FROM person"))', ""])


def r(folder: Path) -> str:
    """R with the packages DBI and duckdb."""
    lines = [
        "library(DBI)",
        f"connection <- dbConnect(duckdb::duckdb(dbdir = {json.dumps(_posix(folder / 'linked.duckdb'))}, read_only = TRUE))",
    ]
    lines += [f"dbExecute(connection, {json.dumps(each)})" for each in (*SETTINGS, _allowed(folder), *_CLOSED)]
    return "\n".join([*lines, 'dbGetQuery(connection, "SELECT count(*) AS people FROM person")', ""])


def arguments(folder: Path) -> list[str]:
    """What follows the name of DuckDB's own shell, 1.2 or later; its safe mode shuts the door and locks it."""
    before = [*SETTINGS, _allowed(folder), ".safe_mode"]
    return [
        "-readonly", "-init", os.devnull, *(word for each in before for word in ("-cmd", each)),
        _posix(folder / "linked.duckdb"),
    ]  # fmt: skip


def shell(folder: Path) -> str:
    """The same as one line for a POSIX shell."""
    return " ".join(["duckdb", *(word if word.startswith("-") else _shell_word(word) for word in arguments(folder))])


def query(path: Path, text: str) -> str:
    """Ask one question of the current snapshot.

    Returns:
        A table of at most 10,000 rows, as text.

    Raises:
        ConfigurationError: The query cannot be run. What DuckDB says of it is told where it repeats the query alone.
    """
    with open_store(path) as connection, _told():
        found = connection.sql(text)
        return "" if found is None else str(found).rstrip("\n")


def rows(folder: Path, text: str) -> pl.DataFrame:
    """Ask one question of a snapshot, and take all of its answer; identifiers of type UUID are text in it.

    Raises:
        ConfigurationError: As `query`, and when it gives no rows and columns.
    """
    with open_snapshot(folder) as connection, _told():
        found = connection.sql(text)
        if found is None:
            raise ConfigurationError("the query gives no rows", hint="write it as SELECT …")
        answer: pl.DataFrame = found.pl()
        return answer


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException) as error:
        raise ConfigurationError(f"the query: {str(error).splitlines()[0]}", hint="correct it") from None
    except duckdb.Error as error:
        raise ConfigurationError(
            f"the query cannot be run: {type(error).__name__}",
            hint="the snapshot can be read and nothing else; large queries: linkage.open_store with `temporary`",
        ) from None


def _allowed(folder: Path) -> str:
    return f"SET allowed_directories = [{_quoted(_posix(folder) + '/')}]"


def _posix(path: Path) -> str:
    return path.as_posix()


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _shell_word(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"
