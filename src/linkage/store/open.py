"""How analysts open a store: read-only, and nothing else can be reached through it."""

from __future__ import annotations

from pathlib import Path

import duckdb

from linkage.errors import InputError
from linkage.store.layout import Store


def open_store(path: Path) -> duckdb.DuckDBPyConnection:
    """Open the current snapshot's database.

    Returns:
        A connection that can read the snapshot's tables and nothing else: no other file, no network, no extension,
        and its settings are locked.

    Raises:
        InputError: Nothing has been published there.
    """
    store = Store(path)
    current = store.current()
    if current is None:
        raise InputError(f"{path}: nothing has been published", hint="run the pipeline, or name its store")
    settings: dict[str, str | bool | int | float | list[str]] = {
        "enable_external_access": "false",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "allow_community_extensions": "false",
    }
    connection = duckdb.connect(
        str(store.snapshots / current / "linked.duckdb"), read_only=True, config=settings
    )
    connection.execute("SET lock_configuration = true")
    return connection
