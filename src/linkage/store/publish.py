"""The switch: a snapshot is complete and checked before anybody can see it, and the last good one stays until then."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from linkage.errors import TemporaryError
from linkage.store.layout import Store

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def disk_full_is_temporary() -> Iterator[None]:
    """Turn a full disk, however it shows, into a TemporaryError."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise _full() from None
        raise
    except Exception as error:
        # DuckDB and Polars tell of a full disk in words.
        if "No space left" in str(error) or "could not write" in str(error).lower():
            raise _full() from None
        raise


def _full() -> TemporaryError:
    return TemporaryError(
        "the disk is full", hint="the last snapshot is untouched: free some space and run again"
    )


def begin(store: Store, run_id: str) -> Path:
    """Make the folder in which a run builds its snapshot, and clear what a crashed run left."""
    for left in store.path.glob(".staging-*"):
        shutil.rmtree(left)
    staging = store.staging(run_id)
    staging.mkdir(mode=0o700)
    return staging


def publish(store: Store, built: Path, run_id: str) -> Path:
    """Move a finished snapshot into place and name it the current one.

    Args:
        store: The store.
        built: The finished folder, on the store's own volume.
        run_id: Its name.

    Returns:
        The published folder.
    """
    place = store.snapshots / run_id
    for path in sorted(built.rglob("*")):
        path.chmod(0o750 if path.is_dir() else 0o640)
        if path.is_file():
            sync(path)
    built.chmod(0o750)
    built.rename(place)
    sync(store.snapshots)
    aside = store.current_file.with_suffix(".new")
    aside.write_text(run_id + "\n", encoding="ascii")
    sync(aside)
    aside.replace(store.current_file)
    sync(store.path)
    return place


def retain(store: Store, keep: int) -> list[str]:
    """Remove the oldest snapshots beyond `keep`, never the current one; returns the run ids that stay."""
    names = sorted(path.name for path in store.snapshots.iterdir())
    current = store.current()
    older = [name for name in names if name != current]
    for name in older[: max(len(older) - (keep - 1), 0)]:
        shutil.rmtree(store.snapshots / name)
    return sorted(path.name for path in store.snapshots.iterdir())


def sync(path: Path) -> None:
    """Make sure that a file or a folder's names are on the disk."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
