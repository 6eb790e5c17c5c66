"""One query of one snapshot, with bound parameters and an end: read-only, and nothing else can be reached."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from linkage.errors import InputError, IntegrityError, TemporaryError
from linkage.store.layout import Store
from linkage.store.manifest import SnapshotManifest
from linkage.store.open import open_snapshot

__all__ = ["Snapshot", "ask", "current_snapshot"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The snapshot that is asked.

    Attributes:
        folder: Where it is.
        manifest: What it was made from.
        digest: SHA-256 of the manifest's file, hexadecimal: it names every file with its digest.
    """

    folder: Path
    manifest: SnapshotManifest
    digest: str


def current_snapshot(path: Path) -> Snapshot:
    """The current snapshot of a store.

    Raises:
        InputError: Nothing has been published there.
        IntegrityError: Its manifest is missing or damaged.
    """
    store = Store(path)
    current = store.current()
    if current is None:
        raise InputError(f"{path}: nothing has been published", hint="run the pipeline, or name its store")
    folder = store.snapshots / current
    try:
        content = (folder / "manifest.json").read_bytes()
        manifest = SnapshotManifest.model_validate_json(content)
    except (OSError, ValueError):
        raise IntegrityError(
            f"{folder}: its manifest is missing or damaged", hint="run the pipeline, or restore the store"
        ) from None
    return Snapshot(folder, manifest, hashlib.sha256(content).hexdigest())


def ask(snapshot: Snapshot, sql: str, parameters: Mapping[str, Any], seconds: float) -> pl.DataFrame:
    """Run a query.

    Args:
        snapshot: What is asked.
        sql: The query, with named parameters (`$name`).
        parameters: Their values.
        seconds: After so long it is stopped.

    Raises:
        TemporaryError: It took too long, or memory ran out.
        IntegrityError: The snapshot cannot be read, or lacks a table or column.
    """
    late = threading.Event()
    with open_snapshot(snapshot.folder) as connection:
        timer = threading.Timer(seconds, _stop, (connection, late))
        timer.start()
        try:
            return pl.DataFrame(connection.sql(sql, params=dict(parameters)).to_arrow_table())
        except duckdb.OutOfMemoryException:
            raise TemporaryError(
                "out of memory", hint="ask when the machine is less busy, or about fewer people"
            ) from None
        except (duckdb.Error, RuntimeError):
            if late.is_set():
                raise TemporaryError(
                    f"the query took more than {seconds:g} seconds and was stopped",
                    hint="ask when the machine is less busy, or raise `seconds` in the node's file",
                ) from None
            raise IntegrityError(
                f"{snapshot.folder.name}: a table is missing or cannot be read",
                hint="look at the snapshot with `linkage open`",
            ) from None
        finally:
            timer.cancel()


def _stop(connection: duckdb.DuckDBPyConnection, late: threading.Event) -> None:
    late.set()
    connection.interrupt()
