"""Whether a file is still the one that was looked at, told by what the file system says of it and without reading it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

# Within a tick of its clock a file system gives two changes one time; the coarsest in use count in twos of seconds.
SETTLED = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Seen:
    """What a file system says of a file.

    Attributes:
        size: Bytes.
        modified: When its content was changed, nanoseconds since 1970.
        changed: When anything about it was changed; on Windows when it was made.
        inode: Its number in its volume.
        at: When this was asked, by this machine's clock.
    """

    size: int
    modified: int
    changed: int
    inode: int
    at: int

    @classmethod
    def of(cls, path: Path) -> Seen:
        """Ask for it; to be done before the file is read, so that a change while it is read shows.

        Raises:
            OSError: There is no such file.
        """
        at = time.time_ns()
        told = path.stat()
        changed = told.st_mtime_ns if os.name == "nt" else told.st_ctime_ns
        return cls(told.st_size, told.st_mtime_ns, changed, told.st_ino, at)

    def changes(self, path: Path) -> bool:
        """Whether the file's content changed since, or the file is gone; for the length of a run, so no tick is waited for."""
        try:
            now = Seen.of(path)
        except OSError:
            return True
        return (now.size, now.modified, now.inode) != (self.size, self.modified, self.inode)

    def still(self, path: Path) -> bool:
        """Whether the file is surely as it was; one that was asked about just after a change is never."""
        if max(self.modified, self.changed) + SETTLED > self.at:
            return False
        try:
            now = Seen.of(path)
        except OSError:
            return False
        return (now.size, now.modified, now.changed, now.inode) == (self.size, self.modified, self.changed, self.inode)
