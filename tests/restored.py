"""Folders that are put back as they were, for tests that all begin after the same run."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from linkage.store.publish import remove


@dataclass(frozen=True)
class Restored:
    """A folder and a copy of it as it was.

    It is put back where it was made, since the database of a snapshot names its files by their place.
    """

    folder: Path
    kept: Path

    @classmethod
    def of(cls, folder: Path) -> Restored:
        """Keep a copy of a folder as it is now, beside it."""
        kept = folder.with_name(f"{folder.name} as it was")
        shutil.copytree(folder, kept, symlinks=True)
        return cls(folder, kept)

    def again(self) -> Path:
        """Put the folder back, whatever became of it."""
        if self.folder.exists():
            remove(self.folder)
        shutil.copytree(self.kept, self.folder, symlinks=True)
        return self.folder
