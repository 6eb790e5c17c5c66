"""Where things are in a store.

<store>/linkage-store                              says that this folder is a store
<store>/current                                    the run id of the newest complete snapshot
<store>/snapshots/<run id>/manifest.json, linked.duckdb   read-only, as everything in it; the views name the files below
<store>/snapshots/<run id>/<table>/[feed=<feed>/]month=<YYYY-MM or undated>/part-00000.parquet
<store>/.staging-<run id>/                         being built, owner-only
<store>/lock, lock.holder                          held while a run works
"""

from __future__ import annotations

import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from linkage.errors import ConfigurationError, IntegrityError

UNDATED = "undated"
# Nothing that could lead out of the folder of snapshots.
RUN_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9-]{0,63}")


@dataclass(frozen=True, slots=True)
class Store:
    """A store's folder."""

    path: Path

    @property
    def marker(self) -> Path:
        """The file that says that the folder is a store."""
        return self.path / "linkage-store"

    @property
    def snapshots(self) -> Path:
        """The folder of published snapshots."""
        return self.path / "snapshots"

    @property
    def current_file(self) -> Path:
        """The file that names the newest snapshot."""
        return self.path / "current"

    def staging(self, run_id: str) -> Path:
        """Where a run builds its snapshot."""
        return self.path / f".staging-{run_id}"

    def current(self) -> str | None:
        """The newest complete snapshot's run id; None before the first.

        Raises:
            IntegrityError: The file does not name a run.
        """
        try:
            found = self.current_file.read_bytes().strip()
        except FileNotFoundError:
            return None
        if not RUN_ID.fullmatch(found):
            raise IntegrityError(
                f"{self.current_file}: does not name a run", hint="write the id of a folder of snapshots into it"
            )
        return found.decode("ascii")

    def newest(self) -> str:
        """The id of the newest run that left a snapshot; empty where none did."""
        return max((path.name for path in self.snapshots.iterdir()), default="")

    def make(self) -> None:
        """Make the store's folder, or accept the one that is there.

        Raises:
            ConfigurationError: The path holds something that is not a store.
        """
        if self.path.exists() and not self.path.is_dir():
            raise ConfigurationError(f"{self.path} is a file", hint="name a folder for the store")
        if self.path.is_dir() and any(self.path.iterdir()) and not self.marker.is_file():
            raise ConfigurationError(
                f"{self.path} exists and is not a linkage store",
                hint="name a new folder: what is there is not touched",
            )
        self.path.mkdir(parents=True, exist_ok=True, mode=0o750)
        self.marker.touch(mode=0o640)
        self.snapshots.mkdir(exist_ok=True, mode=0o750)


def run_id(now: datetime, newest: str = "") -> str:
    """A new run's id, for example `20261124T001530Z-3f2a1c`: it sorts after `newest`, even where the clock went back."""
    with suppress(ValueError):
        now = max(now, datetime.strptime(newest[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) + timedelta(seconds=1))
    return f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
