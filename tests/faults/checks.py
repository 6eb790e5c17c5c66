"""What must hold after a fault, whatever it was. Each check gives what is wrong, in words; nothing where all is well."""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

import polars as pl

from linkage.store.layout import Store
from linkage.store.manifest import SnapshotManifest

from .driver import Ended
from .injector import Fault
from .world import World

KNOWN = (0, 2, 3, 4, 5, 6, 75)


def digests(folder: Path) -> dict[str, str]:
    """Every file of a folder, by its SHA-256."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def half_snapshots(world: World) -> Iterator[str]:
    """Snapshots that do not hold what their manifest says, or that `current` names and are not there."""
    store = Store(world.store)
    current = store.current()
    if current is not None and not (store.snapshots / current / "manifest.json").is_file():
        yield f"current names {current}, which is not there"
    for place in store.snapshots.iterdir() if store.snapshots.is_dir() else ():
        try:
            manifest = SnapshotManifest.model_validate_json((place / "manifest.json").read_bytes())
        except (OSError, ValueError):
            # While it is built a snapshot is tried where it will be; for its owner only, and cleared away if its run dies.
            if (
                place.name == current
                or stat.S_IMODE(place.stat().st_mode) & 0o077
                or not store.staging(place.name).is_dir()
            ):
                yield f"{place.name}: no manifest"
            continue
        for file in (file for table in manifest.tables for file in table.files):
            path = place / file.path
            if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != file.sha256:
                yield f"{place.name}: {file.path} is not what the manifest says"


def numbers_on_disk(world: World, said: str) -> Iterator[str]:
    """NHS numbers in what was said or left: as text, as integers, and in the columns of Parquet files."""
    looked_for = {int(each) for each in world.people}
    integers = {each.to_bytes(8, "little") for each in looked_for}
    if _numbers(said) & looked_for:
        yield "an NHS number in what was said"
    if left := [path.name for path in (world.folder / "temporary").iterdir()]:
        yield f"left in the temporary folder: {left}"
    for path in (path for place in (world.store, world.private) for path in place.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if _numbers(content.decode("latin-1")) & looked_for or any(each in content for each in integers):
            yield f"an NHS number in {path.relative_to(world.folder)}"
        if path.suffix in (".parquet", ".removed", ".withdrawn", ".lines", ".replacement") and content[-4:] == b"PAR1":
            yield from _numbers_in_columns(path, world, looked_for)


def _numbers_in_columns(path: Path, world: World, looked_for: set[int]) -> Iterator[str]:
    try:
        frame = pl.read_parquet(path, hive_partitioning=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        # Pages are written by several threads, and a run that dies may lack one before an end that is there.
        if not any(each.name.startswith(".staging-") for each in path.relative_to(world.folder).parents):
            yield f"{path.relative_to(world.folder)} cannot be read"
        return
    for name, column in zip(frame.columns, frame.iter_columns(), strict=True):
        kind = column.dtype
        found = (
            _numbers(" ".join(column.drop_nulls().cast(pl.String))) if kind.is_integer() or kind == pl.String else set()
        )
        if found & looked_for:
            yield f"an NHS number in {path.relative_to(world.folder)}, column {name}"


def _numbers(text: str) -> set[int]:
    return {int(each) for each in re.findall(r"(?=(999\d{7}))", text)}


def open_to_others(world: World) -> Iterator[str]:
    """What others may read and should not: the private folder, and what is still being built."""
    for place in [world.private, *world.store.glob(".staging-*")]:
        if place.is_dir() and stat.S_IMODE(place.stat().st_mode) & 0o077:
            yield f"{place.name} may be read by others"


def left_over(world: World, fault: Fault | None = None, before: Collection[str] = ()) -> Iterator[str]:
    """What a run should have cleared away: a killed one could not, nor one that may remove or open nothing any more.

    A folder stays by which the next start knows a snapshot that could not be taken back.
    """
    store = Store(world.store)
    there = [*store.snapshots.iterdir()] if store.snapshots.is_dir() else []
    untold = {store.staging(each.name).name for each in there if each.name != store.current()}
    if fault is None or not (fault.action in ("kill", "torn") or {"unlink", "open", "read"} & {*fault.then}):
        known = {*before, *(untold if fault else ())}
        yield from (f"left in the store: {name}" for name in staging(world) - known)


def staging(world: World) -> set[str]:
    """Working folders that are there; an old snapshot that could not be removed whole goes with the next start."""
    return {path.name for path in world.store.glob(".staging-*") if path.suffix != ".removed"}


def told(ended: Ended) -> Iterator[str]:
    """Whether the exit code and the message tell what happened."""
    if ended.code < 0:
        return
    if ended.code not in KNOWN:
        yield f"exit code {ended.code}: {ended.said.strip()[-400:]}"
    elif ended.code and ("error: " not in ended.said or "hint: " not in ended.said):
        yield f"no error and hint: {ended.said.strip()[-400:]}"
