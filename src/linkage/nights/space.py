"""Disk space: what a run will need, told from what the last one needed, and what it took in the end.

A run works in a folder inside the store: bundle, database, spilt rows, and the snapshot that stays. How large that folder
became is measured while the run works, files that are linked from an earlier snapshot left out.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from linkage.disk import about
from linkage.errors import TemporaryError
from linkage.site import Delivery
from linkage.store.manifest import DiskUse, RunManifest

if TYPE_CHECKING:
    from linkage.hub import WorkFolder

__all__ = ["Peak", "check", "readable", "size", "use"]

EVERY = 1.0  # seconds between two measurements at least; at most a twentieth of the time goes into measuring
MARGIN = 1.1


@dataclass(slots=True)
class Peak:
    """The largest that a folder was seen, in bytes."""

    folder: Path
    bytes: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def measure(self) -> None:
        """Measure now."""
        found = size(self.folder, own=True)
        with self.lock:
            self.bytes = max(self.bytes, found)

    @contextmanager
    def watching(self) -> Iterator[Peak]:
        """Measure now and then, for as long as this lasts."""
        ended = threading.Event()

        def watch() -> None:
            pause = EVERY
            while not ended.wait(pause):
                started = time.monotonic()
                self.measure()
                pause = max(EVERY, 20 * (time.monotonic() - started))

        thread = threading.Thread(target=watch, daemon=True, name="linkage-space")
        thread.start()
        try:
            yield self
        finally:
            ended.set()
            thread.join()


def size(folder: Path, *, own: bool = False) -> int:
    """Bytes on the disk of all files below a folder, each counted once; with `own` only of those linked from nowhere else."""
    seen: set[int] = set()
    return _size(os.fspath(folder), seen, own=own)


def _size(folder: str, seen: set[int], *, own: bool) -> int:
    total = 0
    # Files come and go while a run works.
    with suppress(OSError), os.scandir(folder) as inside:
        for each in inside:
            if each.is_dir(follow_symlinks=False):
                total += _size(each.path, seen, own=own)
                continue
            with suppress(OSError):
                found = about(each)
                if found.st_ino not in seen and not (own and found.st_nlink > 1):
                    total += getattr(found, "st_blocks", -(-found.st_size // 512)) * 512
                if found.st_nlink > 1:
                    seen.add(found.st_ino)
    return total


def check(work: WorkFolder, delivered: Sequence[Delivery], last: RunManifest | None, *, full: bool) -> str | None:
    """Refuse a run that cannot be expected to fit.

    Args:
        work: Where the run works, and where it keeps what it holds.
        delivered: What it will read.
        last: The account of the last run; without one there is nothing to tell from.
        full: Whether everything is made anew.

    Returns:
        A warning where this run fits, and one that makes everything anew would not.

    Raises:
        TemporaryError: It needs more than is free; says both.
    """
    if last is None or last.disk is None:
        return None
    known = last.disk
    now = sum(extract.size for each in delivered for found in each.extracts.values() for extract in found)
    anew = _scaled(known.full_work_bytes, known.full_input_bytes, now)
    # Of a run that makes only what changed nothing is known before there was one.
    needed = anew if full else 0 if known.full else min(known.work_bytes, anew)
    _fits(work.store.path, needed, last)
    if work.private.stat().st_dev != work.store.path.stat().st_dev:
        _fits(work.private, size(work.private / "held" / last.snapshot.run_id), last)
    free = shutil.disk_usage(work.store.path).free
    if MARGIN * anew > free:
        return f"a run that makes everything anew needs some {readable(anew)}, and {readable(free)} are free"
    return None


def _fits(folder: Path, needed: int, last: RunManifest) -> None:
    free = shutil.disk_usage(folder).free
    if MARGIN * needed > free:
        raise TemporaryError(
            f"{readable(free)} are free on the volume of {folder}, and the run needs some {readable(needed)}, "
            f"told from {last.snapshot.run_id}",
            hint="free some space, lower `keep` under [store], or move the folder to a larger volume, and run again",
        )


def _scaled(work: int, inputs: int, now: int) -> int:
    return round(work * max(now / inputs, 1.0)) if inputs else work


def use(peak: Peak, store: Path, snapshot: Path, account: RunManifest, last: RunManifest | None) -> DiskUse:
    """What a run took, just before it is published."""
    peak.measure()
    inputs = sum(each.bytes for each in account.inputs)
    full = account.full is not None or not any(each.kept for each in account.taken)
    before = last.disk if last else None
    added = size(snapshot, own=True)
    return DiskUse(
        work_bytes=peak.bytes,
        full=full,
        full_work_bytes=peak.bytes if full or before is None else before.full_work_bytes,
        full_input_bytes=inputs if full or before is None else before.full_input_bytes,
        snapshot_bytes=size(snapshot),
        added_bytes=added,
        store_bytes=size(store / "snapshots") + added,
        free_bytes=shutil.disk_usage(store).free,
    )


def readable(count: float) -> str:
    """Bytes in words, for example 3.4 GiB."""
    units = ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while count >= 1024 and len(units) > 1:
        count /= 1024
        del units[0]
    return f"{count:,.0f} {units[0]}" if units[0] == "bytes" or count >= 100 else f"{count:,.1f} {units[0]}"
