"""The last run, as far as a run can go on from it.

    before    Before: the bundle of the last run and the files of its snapshot; per table, whether they can be used at all
    reached   the keys of records of which some row came, went, or no longer stands as it stood
    resettle  all rows of those records are settled anew, as they were before and as they are now; of the published
              partitions only those are written again in which some row differs

After `resettle` a table can be read whole by its name, and `temp._changed_<table>` has the rows that went and came
(`increment.changed_table`). A table of which anything is in doubt is settled in full by `settle` and has no such table.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from linkage.anew import Write
from linkage.bundle import TableParts, of_each
from linkage.errors import IntegrityError
from linkage.link.increment import Increment, Kept
from linkage.link.tables import FeedTable
from linkage.reasons import Reason

__all__ = ["Before", "Compared"]


@dataclass(frozen=True)
class Compared:
    """The parts of a table beside those of the last run."""

    same: TableParts
    came: TableParts
    gone: TableParts


@dataclass(frozen=True)
class Before:
    """What is held of the last run; the same domain, key and version of this tool made it.

    Attributes:
        folder: Its bundle.
        tables: What that held, by published name, with the logs of deletions.
        files: The files of its snapshot, by published table.
        digests: SHA-256 of each of those files, hexadecimal.
        removed: Rows that settling removed, by published name and reason.
    """

    folder: Path
    tables: Mapping[str, TableParts]
    files: Mapping[str, tuple[Kept, ...]]
    digests: Mapping[Path, str]
    removed: Mapping[str, Mapping[Reason, int]]

    def why_not(self, table: FeedTable) -> str | None:
        """Why a table cannot go on from the last run; None where it can."""
        parts = self.tables.get(table.name)
        if parts is None or not self.files.get(table.name):
            return "the last run did not have it"
        if parts.contract_digest != table.parts.contract_digest or parts.fields != table.parts.fields:
            return "its contract or its columns changed"
        return None

    def compared(self, parts: TableParts) -> Compared:
        """The parts that are the same, that came and that went, by path and digest."""
        then = {(each.path, each.digest): each for each in self.tables[parts.name].parts}
        now = {(each.path, each.digest): each for each in parts.parts}
        return Compared(
            same=_with(parts, (each for key, each in now.items() if key in then)),
            came=_with(parts, (each for key, each in now.items() if key not in then)),
            gone=_with(parts, (each for key, each in then.items() if key not in now)),
        )

    def new_parts(self, parts: TableParts) -> TableParts:
        """The table with those parts alone that the last run did not have, also of its submissions."""
        then = self.tables.get(parts.name)
        if then is None or then.contract_digest != parts.contract_digest or then.fields != parts.fields:
            return parts
        known = {(each.path, each.digest) for each in then.all_parts}
        left = _with(parts, (each for each in parts.parts if (each.path, each.digest) not in known))
        if parts.submissions is None:
            return left
        listed = _with(parts.submissions, (e for e in parts.submissions.parts if (e.path, e.digest) not in known))
        return left.model_copy(update={"submissions": listed})

    def check_parts(self, parts: TableParts) -> bool:
        """Whether the last bundle's parts are what they were."""
        found = of_each(_digest, [self.folder / each.path for each in parts.parts])
        return found == [each.digest for each in parts.parts]

    def check_files(self, files: Iterable[Kept]) -> None:
        """Refuse to go on from published files that were changed.

        Raises:
            IntegrityError: One is missing or was changed; names it.
        """
        paths = [file.path for file in files]
        for path, made in zip(paths, of_each(_digest, paths), strict=True):
            if made != self.digests[path]:
                raise damaged(path)

    def increment(self, changed: Iterable[str], logs: Iterable[str], write: Write) -> Increment:
        """What the steps after settling need.

        Args:
            changed: The tables of which every change is known.
            logs: The tables that only name deleted records.
            write: Writes files of the new snapshot.
        """
        tables = {name: parts for name, parts in self.tables.items() if name not in set(logs)}
        return Increment(frozenset(changed), tables, self.files, self.check_files, write)


def damaged(path: Path) -> IntegrityError:
    """The error of a published file that is not what was published."""
    return IntegrityError(
        f"{path}: a file of the current snapshot is missing or was changed",
        hint="find out who could write there, then publish everything anew: `linkage run --full`",
    )


def _digest(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _with(parts: TableParts, chosen: Iterable[object]) -> TableParts:
    return parts.model_copy(update={"parts": tuple(chosen)})
