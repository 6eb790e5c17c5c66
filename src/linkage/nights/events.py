"""What a run is doing, for machines: one JSON object a line, appended and flushed as it happens.

The lines hold counts, names of feeds and files, and what `error:` and `hint:` say; nothing of a person. docs/reference/run-events.md
describes each. A file that can no longer be written is warned of once and never stops a run.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Literal
from uuid import uuid4

from linkage.errors import ConfigurationError

__all__ = ["Event", "EventFile", "Lines", "Tell", "nothing"]

Event = Literal[
    "started",
    "stage_started",
    "stage_progress",
    "stage_finished",
    "file",
    "warning",
    "published",
    "checked",
    "refused",
    "failed",
    "stopped",
    "finished",
]
Tell = Callable[..., None]
_PATIENCE = 0.2  # seconds that the last line waits for one that is being written


def nothing(event: Event, **fields: object) -> None:
    """Tell nobody."""


class Lines:
    """A file to which JSON lines are appended; a new one is for its owner alone.

    Args:
        path: The file.
        what: What is in it, for errors: `events`.

    Raises:
        ConfigurationError: It cannot be written.
    """

    def __init__(self, path: Path, what: str) -> None:
        self._what, self._lock = what, threading.Lock()
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise ConfigurationError(
                f"{path}: the file of {what} cannot be written: {error.strerror}",
                hint="name a file in a folder that is there and may be written to",
            ) from None
        self._file: FileIO | None = os.fdopen(handle, "ab", buffering=0)

    def write(self, line: Mapping[str, object]) -> None:
        """Append one line at once; where that fails, say so once and write no more."""
        if not self._lock.acquire(timeout=_PATIENCE):
            return
        try:
            if self._file is not None:
                self._file.write(json.dumps(line).encode() + b"\n")
        except (OSError, ValueError):
            self._shut()
            sys.stderr.write(
                f"warning: the file of {self._what} can no longer be written; the run goes on without it\n"
            )
        finally:
            self._lock.release()

    def close(self) -> None:
        """Write no more."""
        if self._lock.acquire(timeout=_PATIENCE):
            self._shut()
            self._lock.release()

    def _shut(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
        self._file = None


class EventFile(Lines):
    """A file of events.

    Attributes:
        command: Marks the lines of this command among those of others in the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "events")
        self.command = uuid4().hex[:12]

    def __call__(self, event: Event, **fields: object) -> None:
        """Append one event."""
        said = {"event": event, "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}Z", "command": self.command, **fields}
        self.write({name: value for name, value in said.items() if value is not None})
