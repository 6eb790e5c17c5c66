"""A roster on the disk: each part in pieces of its own, sealed, readable by its owner alone."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from linkage.errors import IntegrityError
from linkage.sources.roster import Roster
from linkage.sources.roster_tables import PARTS, held

__all__ = ["is_whole", "load", "save"]

_Result = TypeVar("_Result")
_REGISTRATIONS = "registrations"
_ROWS = 2_000_000  # of a part, that are sealed at once
_AT_ONCE = 2  # pieces, which are in memory while they are packed


def save(roster: Roster, folder: Path, seal: Callable[[bytes], bytes]) -> None:
    """Write a roster, encrypted, owner-only; in the clear it exists in memory alone.

    Args:
        roster: What to keep.
        folder: A new folder for this generation.
        seal: Encrypts bytes, for example `Keyset.seal`.
    """
    folder.parent.mkdir(exist_ok=True, mode=0o700)
    folder.mkdir(mode=0o700)
    same = [*roster.registered_in.glob(f"{_REGISTRATIONS}.*")] if roster.registered_in else []
    for path in same:
        _link(path, folder / path.name)

    def write(name: str, place: int, pieces: int) -> None:
        buffer = io.BytesIO()
        getattr(roster, name).slice(place * _ROWS, _ROWS).write_ipc(buffer, compression="zstd")
        path = _piece(folder, name, place, pieces)
        path.touch(mode=0o600)
        path.write_bytes(seal(buffer.getvalue()))

    found = {
        name: -(-getattr(roster, name).height // _ROWS) or 1 for name in PARTS if not (same and name == _REGISTRATIONS)
    }
    _each(write, [(name, place, pieces) for name, pieces in found.items() for place in range(pieces)])


def _link(source: Path, target: Path) -> None:
    """Give a sealed file, which nobody writes into, a second name; or copy it where the volume cannot."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)


def _each(step: Callable[..., _Result], arguments: Sequence[tuple[object, ...]]) -> list[_Result]:
    """Some steps, two at a time: packing, and sealing less so, take one processor."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return [*pool.map(lambda each: step(*each), arguments)]


def is_whole(folder: Path) -> bool:
    """Whether every file of a kept roster is there, without opening any."""
    return all(
        _piece(folder, name, place, found).is_file() for name, found in _pieces(folder) for place in range(found)
    )


def load(folder: Path, unseal: Callable[[bytes], bytes]) -> Roster:
    """Read a roster back.

    Raises:
        IntegrityError: A part is missing, does not open under the key, or is not what was written.
    """
    parts: dict[str, Any] = {}
    for name, found in _pieces(folder):
        read = [(_piece(folder, name, place, found), name, unseal) for place in range(found)]
        parts[name] = pl.concat(_each(_read, read))
    return Roster(**parts, registered_in=folder)


def _pieces(folder: Path) -> list[tuple[str, int]]:
    """Each part and in how many files it is kept."""
    return [(name, len(list(folder.glob(f"{name}.*.arrow.age"))) or 1) for name in PARTS]


def _read(path: Path, name: str, unseal: Callable[[bytes], bytes]) -> pl.DataFrame:
    try:
        frame = pl.read_ipc(io.BytesIO(unseal(path.read_bytes())))
    except (OSError, pl.exceptions.PolarsError):
        frame = None
    # What an earlier version kept has all its words as text.
    if frame is not None and frame.schema == PARTS[name]:
        frame = held(name, frame)
    if frame is None or frame.schema != held(name, PARTS[name].to_frame()).schema:
        raise IntegrityError(
            f"{path}: the roster is missing a part or is damaged",
            hint="restore the private folder from its backup; without it deltas lose their patients",
        )
    return frame


def _piece(folder: Path, name: str, place: int, pieces: int) -> Path:
    """The file of a part, or of one of several pieces of it: each says how many there are, so none can be missing."""
    return folder / (f"{name}.arrow.age" if pieces == 1 else f"{name}.{place + 1}-of-{pieces}.arrow.age")
