"""The switch: a snapshot is complete and checked before anybody can see it, and the last good one stays until then."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from linkage.disk import about, entries, sync, sync_all
from linkage.errors import IntegrityError, told_of_the_machine
from linkage.store.layout import Store
from linkage.store.manifest import File, PublishedTable, SnapshotManifest
from linkage.store.open import open_snapshot


def begin(store: Store, run_id: str) -> Path:
    """Make the folder in which a run builds its snapshot, and clear what a crashed run left."""
    _forget_untold(store)
    for left in store.path.glob(".staging-*"):
        remove(left)
    staging = store.staging(run_id)
    staging.mkdir(mode=0o700)
    return staging


def end(store: Store, run_id: str) -> None:
    """Remove the folder in which a run built its snapshot.

    It stays where the snapshot is in its place and nobody was told of it, or nobody can say: then `begin` clears both.
    """
    if store.current() == run_id or not (store.snapshots / run_id).exists():
        remove(store.staging(run_id))


def _forget_untold(store: Store) -> None:
    """Put a snapshot aside that a run had moved into place when it died, before anybody was told of it."""
    for left in store.path.glob(".staging-*"):
        name = left.name.removeprefix(".staging-")
        if name != store.current() and (store.snapshots / name).exists():
            # Nobody else may look into it any more, even where it cannot be removed.
            (store.snapshots / name).chmod(0o700)
            (store.snapshots / name).rename(store.staging(f"{name}.removed"))


@contextmanager
def in_place(built: Path, place: Path) -> Iterator[None]:
    """Lend a folder that is being built the place where it will be published, for as long as nobody is told of it.

    A view names its files by where they are when it is made, and is to be tried as its readers will use it. Should the
    process die meanwhile, `begin` clears the place, since the run's working folder is still there as well.
    """
    built.rename(place)
    try:
        yield
    finally:
        place.rename(built)


def publish(store: Store, built: Path, run_id: str) -> Path:
    """Move a finished snapshot into place and name it the current one.

    Args:
        store: The store.
        built: The finished folder, on the store's own volume.
        run_id: Its name.

    Returns:
        The published folder.

    Raises:
        IntegrityError: The folder has no manifest: it is not finished.
        TemporaryError: The disk is full or failed; the last snapshot is still the current one.
    """
    if not (built / "manifest.json").is_file():
        raise IntegrityError("the snapshot has no manifest", hint="nothing was published; report this")
    place = store.snapshots / run_id
    with told_of_the_machine():
        new = list(_closed(built))
        # A folder that may not be written into cannot be moved, so it is closed where it stays.
        built.chmod(0o750)
        sync_all(built, [*new, built])
        built.rename(place)
        try:
            place.chmod(0o550)
            sync(store.snapshots)
            _opens(place)
            switch(store, run_id)
        except BaseException as error:
            # A snapshot that nobody was told of goes back to where it is cleared away with the rest of the run.
            try:
                current = store.current()
            except (OSError, IntegrityError):
                raise error from None
            if current != run_id:
                with suppress(OSError):
                    place.chmod(0o750)
                    place.rename(built)
                raise
            # Readers see it already; whoever clears up after it asks the disk once more.
            if not isinstance(error, OSError):
                raise
    return place


def check(place: Path, tables: Iterable[PublishedTable], database: Path | None = None) -> None:
    """Open a finished snapshot as its readers will, and count every table in its files.

    Args:
        place: The finished folder, at the place that its views name; its database is closed.
        tables: What the manifest says is in it.
        database: Its database where it is not in the folder yet.

    Raises:
        IntegrityError: A table or a file is missing, or does not hold what the manifest says; names the table.
    """
    hint = "nothing was published; run again, and report this if it stays"
    try:
        connection = open_snapshot(place, database=database)
    except IntegrityError:
        raise IntegrityError("the snapshot's database cannot be opened", hint=hint) from None
    with connection:
        for table in tables:
            try:
                good = _count(connection, table.name) == table.rows and all(_holds(place, file) for file in table.files)
                # A view of a view has its rows; that it can be read is all that is to be tried.
                connection.execute(f"SELECT * FROM text.{_name(table.name)} LIMIT 0")
            except (duckdb.Error, OSError):
                good = False
            if not good or sum(file.rows for file in table.files) != table.rows:
                raise IntegrityError(f"{table.name}: the snapshot does not hold its rows", hint=hint)


def retain(
    store: Store,
    keep: int,
    before: str = "",
    note: Callable[[str], object] | None = None,
    spared: Collection[str] = (),
    also: Collection[str] = (),
) -> list[str]:
    """Remove the oldest snapshots beyond `keep` and all of before a moment, never the current one.

    Args:
        store: The store.
        keep: How many may stay.
        before: A moment written as run ids begin, for example `20261124T001530Z`; empty: any age may stay.
        note: Told of each before it goes.
        spared: Snapshots that stay although there are more than `keep`; age still removes them.
        also: Snapshots that go besides.

    Returns:
        The run ids that stay.
    """
    names = sorted(path.name for path in store.snapshots.iterdir())
    current = store.current()
    older = [name for name in names if name != current]
    counted = [name for name in older if name not in spared]
    beyond = {*counted[: max(len(counted) - (keep - 1), 0)], *also}
    for name in [name for name in older if name in beyond or name < before]:
        if note is not None:
            note(name)
        # Out of sight first: a crash while files go leaves no half snapshot among the whole ones.
        aside = store.staging(f"{name}.removed")
        (store.snapshots / name).chmod(0o750)
        (store.snapshots / name).rename(aside)
        remove(aside)
    return sorted(path.name for path in store.snapshots.iterdir())


def remove(folder: Path) -> None:
    """Remove a folder with everything in it, although what was published may not be written into.

    A disk that fails once leaves nothing behind: the whole is tried again.
    """
    if not folder.is_dir() or folder.is_symlink():
        folder.unlink(missing_ok=True)
        return
    try:
        _clear(folder)
    except OSError:
        if folder.exists():
            _clear(folder)


def _clear(folder: Path) -> None:
    _open(folder)
    shutil.rmtree(folder)


def _open(folder: Path) -> None:
    """Let a folder, and those in it, be written into; Windows keeps files that may not be written to as well."""
    folder.chmod(0o700)
    with os.scandir(folder) as found:
        for each in found:
            if each.is_dir(follow_symlinks=False):
                _open(Path(each.path))
            elif os.name == "nt" and not each.is_symlink():
                Path(each.path).chmod(0o700)


def switch(store: Store, run_id: str) -> None:
    """Name a complete snapshot the current one, at once for all who open the store from now on.

    Once it has its name nothing fails any more; who clears up after it asks the disk again whether it holds.
    """
    aside = store.current_file.with_suffix(".new")
    aside.write_text(run_id + "\n", encoding="ascii")
    sync(aside)
    aside.replace(store.current_file)
    with suppress(OSError):
        sync(store.path)


def _holds(place: Path, file: File) -> bool:
    return (place / file.path).stat().st_size == file.bytes


def manifest_of(place: Path) -> SnapshotManifest | None:
    """What a snapshot says of itself; None where that is missing or damaged."""
    try:
        return SnapshotManifest.model_validate_json((place / "manifest.json").read_bytes())
    except (OSError, ValueError):
        return None


def _opens(place: Path) -> None:
    """Make sure that every table can be read at the place that the views name."""
    with open_snapshot(place) as connection:
        try:
            for schema, table in connection.execute(
                "SELECT table_schema, table_name FROM information_schema.tables"
            ).fetchall():
                connection.execute(f"SELECT * FROM {_name(schema)}.{_name(table)} LIMIT 0")
        except duckdb.Error:
            raise IntegrityError(
                "the snapshot cannot be read where it is to be published", hint="nothing was published; run again"
            ) from None


def _closed(built: Path) -> Iterator[str]:
    """Close a folder against writing, and say what in it may not be on the disk yet."""
    for each in entries(built):
        if each.is_dir(follow_symlinks=False):
            Path(each.path).chmod(0o550)
            yield each.path
            continue
        found = about(each)
        # A file that another user linked here first is left as it is.
        if stat.S_IMODE(found.st_mode) != 0o440:
            Path(each.path).chmod(0o440)
        # What another name leads to was taken over from an earlier snapshot, and has been on the disk since.
        if found.st_nlink == 1:
            yield each.path


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM main.{_name(table)}").fetchone()
    return int(row[0]) if row else 0


def _name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'
