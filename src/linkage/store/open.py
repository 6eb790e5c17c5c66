"""How analysts open a store: read-only, and nothing else can be reached through it."""

from __future__ import annotations

from pathlib import Path

import duckdb

from linkage.errors import InputError, IntegrityError
from linkage.store.layout import Store


def open_store(path: str | Path, temporary: Path | None = None) -> duckdb.DuckDBPyConnection:
    """Open the current snapshot's database.

    Args:
        path: The store.
        temporary: A folder into which large queries may spill; without one they must fit into memory, since a
            snapshot is never written into.

    Returns:
        A connection that can read the snapshot's tables and nothing else: no other file, no network, no extension,
        and its settings are locked.

    Raises:
        InputError: Nothing has been published there.
        IntegrityError: The current snapshot is not there, or cannot be opened.
    """
    store = Store(Path(path))
    current = store.current()
    if current is None:
        raise InputError(f"{path}: nothing has been published", hint="run the pipeline, or name its store")
    return open_snapshot(store.snapshots / current, temporary)


def open_snapshot(
    folder: Path, temporary: Path | None = None, database: Path | None = None
) -> duckdb.DuckDBPyConnection:
    """Open a snapshot's database: only its own files can be read, and nothing of it can be written.

    Args:
        folder: The snapshot.
        temporary: As in `open_store`.
        database: Its database, where it is not in the folder yet.

    Raises:
        IntegrityError: It is not there, or cannot be opened.
    """
    settings: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "allow_community_extensions": "false",
        "temp_directory": str(temporary) if temporary else "",
    }
    database = database or folder / "linked.duckdb"
    try:
        connection = duckdb.connect(str(database), read_only=True, config=settings)
        # The views read the snapshot's files; files and folders are read-only, so that COPY cannot replace one.
        connection.execute("SET allowed_directories = [?]", [f"{folder.resolve().as_posix()}/"])
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
    except duckdb.Error:
        raise IntegrityError(
            f"{database}: cannot be opened", hint="check that the snapshot is there and may be read"
        ) from None
    return connection
