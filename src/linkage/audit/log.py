"""The log: lines that are only ever added, each written and synced before the act that it tells of.

<log>/entries       one line of canonical JSON for each entry
<log>/checkpoint    the signed state after the last entry
<log>/witnessed     the newest checkpoint that witnesses have cosigned
<log>/lock

A line that a crash cut short was never acknowledged, and nothing was done on its word: it is taken off at the next start.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from linkage.audit.entries import Entry, encode
from linkage.audit.merkle import Frontier, leaf
from linkage.audit.notes import Checkpoint, open_checkpoint, sign_checkpoint
from linkage.disk import sync
from linkage.errors import IntegrityError, TemporaryError
from linkage.signed import Signer

__all__ = ["Log", "lines_of", "unfinished"]

PATIENCE = 10.0  # seconds that a process waits for the one before it
_HINT = "keep what is there and find out why: linkage audit verify"


class Log:
    """A log that is open for adding to it; one process at a time."""

    def __init__(self, folder: Path, signer: Signer, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Args:
        folder: Where it is; made when it is not there, owner-only.
        signer: Signs its checkpoints; its name is the log's origin.
        now: The clock.
        """
        self.folder, self._signer, self._now = folder, signer, now
        self._frontier = Frontier()
        self._lock = FileLock(folder / "lock", timeout=PATIENCE, fallback_to_soft=False)

    @classmethod
    @contextmanager
    def open(
        cls, folder: Path, signer: Signer, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> Iterator[Log]:
        """Open a log, held for this process.

        Raises:
            TemporaryError: Another process holds it.
            IntegrityError: It is shorter than its checkpoint says, or not what was signed.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        log = cls(folder, signer, now)
        try:
            with log._lock:
                log._read()
                yield log
        except Timeout:
            raise TemporaryError("another process writes into the log", hint="wait until it has ended") from None

    @property
    def size(self) -> int:
        """Entries."""
        return self._frontier.size

    @property
    def checkpoint(self) -> Checkpoint:
        """The state after the last entry."""
        return Checkpoint(self._signer.name, self._frontier.size, self._frontier.root())

    def add(self, entries: Sequence[Entry]) -> list[int]:
        """Add entries: on the disk, and their checkpoint signed, when this returns.

        Returns:
            Their places.

        Raises:
            IntegrityError: One holds what looks like an identifier; none is added.
        """
        lines = [encode(each) for each in entries]
        first = self._frontier.size
        with (self.folder / "entries").open("ab") as file:
            file.write(b"".join(line + b"\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
        for line in lines:
            self._frontier.add(leaf(line))
        self._sign()
        return list(range(first, first + len(lines)))

    def _read(self) -> None:
        """Take the log up where it was left."""
        self._cut_torn_line()
        signed = self._signed()
        for line in lines_of(self.folder):
            self._frontier.add(leaf(line))
            if signed and self._frontier.size == signed.size and self._frontier.root() != signed.root:
                raise IntegrityError(f"{self.folder}: the log is not what was signed", hint=_HINT)
        if signed and self._frontier.size < signed.size:
            raise IntegrityError(f"{self.folder}: entries are missing from the log", hint=_HINT)
        if signed is None and self._frontier.size and not (self.folder / "checkpoint").exists():
            raise IntegrityError(f"{self.folder}: the log has entries and no checkpoint", hint=_HINT)
        beyond = self._frontier.size - (signed.size if signed else 0)
        if beyond:
            # They were synced and not yet signed for when the process ended; that is said, so that it can be asked about.
            found = Entry(time=self._now(), act="log.recover", phase="settled", by="log", details={"entries": beyond})
            self.add([found])
        elif signed is None:
            self._sign()

    def _signed(self) -> Checkpoint | None:
        try:
            note = (self.folder / "checkpoint").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        return open_checkpoint(note, self._signer.verifier)

    def _cut_torn_line(self) -> None:
        path = self.folder / "entries"
        if not path.exists():
            path.touch(mode=0o600)
            # A power cut must not take the name of a file whose lines were acknowledged.
            for folder in (self.folder, self.folder.parent):
                sync(folder)
        with path.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            keep = size
            while keep and _byte_before(file, keep) != b"\n":
                keep -= 1
            if keep != size:
                file.truncate(keep)
                os.fsync(file.fileno())

    def _sign(self) -> None:
        aside = self.folder / "checkpoint.new"
        with aside.open("w", encoding="utf-8") as file:
            file.write(sign_checkpoint(self.checkpoint, self._signer))
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self.folder / "checkpoint")


def lines_of(folder: Path) -> Iterator[bytes]:
    """The whole lines of a log, without their ends."""
    with (folder / "entries").open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield line[:-1]


def unfinished(lines: Iterator[bytes]) -> dict[int, Entry]:
    """Of some lines, the intents that nothing ended."""
    left: dict[int, Entry] = {}
    for place, line in enumerate(lines):
        try:
            entry = Entry.model_validate_json(line)
        except ValueError:
            raise IntegrityError(f"entry {place} of the log cannot be read", hint=_HINT) from None
        if entry.phase == "intent":
            left[place] = entry
        elif entry.of is not None:
            left.pop(entry.of, None)
    return left


def _byte_before(file: BinaryIO, place: int) -> bytes:
    file.seek(place - 1)
    return file.read(1)
