"""The last run for the hub half: whether anything can be taken over from it, and its files, which are linked and looked after.

A file of the last snapshot that stays as it is becomes one of the new snapshot's by a hard link. Its size is looked at each
time, and the rows of its table are counted before anybody is told of the snapshot. Of all files, and of the parts of the
held bundle, a share is read again whenever some days have passed, so that each is read within `DAYS` days and one that
rots on the disk is not handed on for ever.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from importlib.metadata import version
from pathlib import Path

from linkage import held
from linkage.bundle import BundleManifest, Part, digest
from linkage.config import Configuration
from linkage.errors import LinkageError
from linkage.findings import last_account
from linkage.link import Before, Kept, damaged
from linkage.reasons import Reason
from linkage.store.layout import UNDATED, Store
from linkage.store.manifest import File, RunManifest

__all__ = ["DAYS", "LastRun", "find"]

DAYS = 28


@dataclass(frozen=True)
class LastRun:
    """The run that made the current snapshot.

    Attributes:
        run_id: Its id.
        before: What settling and linking go on from.
        known: Its files as its account has them, by where they are.
    """

    run_id: str
    before: Before
    known: Mapping[Path, File]

    def carry(self, linked: Iterable[Kept], snapshot: Path, run_id: str) -> None:
        """Link files of the last snapshot into a new one.

        Args:
            linked: The files.
            snapshot: The new snapshot, while it is built.
            run_id: The new run, whose day decides which files are read again.

        Raises:
            IntegrityError: One is missing or was changed; names it.
        """
        due, folders = _due(self.run_id, run_id), set[str]()
        for kept in linked:
            file = self.known[kept.path]
            folder, _, name = f"{snapshot}/{file.path}".rpartition("/")
            if folder not in folders:
                Path(folder).mkdir(parents=True, exist_ok=True)
                folders.add(folder)
            _link(kept.path, file, Path(folder, name), again=due(file.path))

    def files(self, linked: Iterable[Kept]) -> tuple[File, ...]:
        """The files as they were accounted for."""
        return tuple(self.known[kept.path] for kept in linked)

    def stands(self, folder: Path, run_id: str) -> Callable[[Part], bool]:
        """Which parts of a new bundle need not be read whole today, beside what the bundle of this run has.

        A part that is the same file under the same digest was read when it came, and is on its day of `DAYS`.

        Args:
            folder: The new bundle.
            run_id: The new run.
        """
        due = _due(self.run_id, run_id)
        held_parts = {part.path: part.digest for each in self.before.tables.values() for part in each.all_parts}

        def stand(part: Part) -> bool:
            if due(part.path) or held_parts.get(part.path) != part.digest:
                return False
            with suppress(OSError):
                return (folder / part.path).samefile(self.before.folder / part.path)
            return False

        return stand


def find(
    configuration: Configuration, store: Store, private: Path, domain: str, key_id: str
) -> tuple[LastRun | None, str]:
    """The last run, where a run can go on from it; else None and why not.

    Args:
        configuration: The purpose.
        store: The store, of which the current snapshot is meant.
        private: The private folder.
        domain: The token domain of the new bundle.
        key_id: Its key.
    """
    current = store.current()
    if current is None:
        return None, "nothing was published yet"
    try:
        found = held.find(configuration, private, current)
        account = last_account(private, current, configuration.quality)
    except LinkageError as error:
        return None, error.message
    if account is None:
        return None, "the account of the last run is missing"
    folder = private / "held" / found.run_id / "bundle"
    manifest = BundleManifest.model_validate_json((folder / "manifest.json").read_bytes())
    place = store.snapshots / current
    why = _why_not(account, manifest, place, domain, key_id)
    return (None, why) if why else (_last_run(current, folder, manifest, account, place), "")


def _why_not(account: RunManifest, manifest: BundleManifest, place: Path, domain: str, key_id: str) -> str | None:
    if account.snapshot.tool_version != version("linkage"):
        return "another version of linkage made the last snapshot"
    if {(domain, key_id)} != {(each.domain, each.key_id) for each in (account.snapshot, manifest)}:
        return "the domain or the key changed"
    if not (place / "manifest.json").is_file() or digest(place / "manifest.json") != account.snapshot_digest:
        return "the current snapshot is missing or was changed"
    return None


def _last_run(run_id: str, folder: Path, manifest: BundleManifest, account: RunManifest, place: Path) -> LastRun:
    kept = {table.name: tuple((_kept(place, file), file) for file in table.files) for table in account.snapshot.tables}
    known = {each.path: file for found in kept.values() for each, file in found}
    removed = {f"{each.feed}_{each.table}": dict(each.removed) for each in account.balance}
    for table in manifest.tables:
        # What the site removed is counted in its parts; the rest was removed by settling.
        for part in table.parts:
            for reason, rows in part.removed.items():
                removed[table.name][reason] -= rows
    before = Before(
        folder=folder,
        tables={table.name: table for table in manifest.tables},
        files={name: tuple(each for each, _ in found) for name, found in kept.items()},
        digests={path: file.sha256 for path, file in known.items()},
        removed={
            name: {Reason(reason): rows for reason, rows in each.items() if rows} for name, each in removed.items()
        },
    )
    return LastRun(run_id, before, known)


def _kept(place: Path, file: File) -> Kept:
    told = dict(part.split("=", 1) for part in file.path.split("/")[1:-1])
    month = told.get("month", UNDATED)
    return Kept(place / file.path, told.get("feed"), None if month == UNDATED else month, file.rows)


def _due(last: str, now: str) -> Callable[[str], bool]:
    """Whether a file's turn to be read has come since the last run: each has its own day of `DAYS`."""
    days = (_day(now) - _day(last)).days
    if not 0 <= days < DAYS:
        return lambda path: True
    turns = {(_day(last).toordinal() + passed) % DAYS for passed in range(1, days + 1)}
    return lambda path: int.from_bytes(hashlib.sha256(path.encode()).digest()[:4]) % DAYS in turns


def _day(run_id: str) -> date:
    return datetime.strptime(run_id[:8], "%Y%m%d").date()


def _link(source: Path, file: File, target: Path, *, again: bool) -> None:
    try:
        try:
            os.link(source, target)
        except FileNotFoundError:
            raise
        except OSError:
            # Some volumes have no links.
            shutil.copyfile(source, target)
        good = target.stat().st_size == file.bytes
    except OSError:
        good = False
    if not good or (again and digest(source) != file.sha256):
        raise damaged(source)
