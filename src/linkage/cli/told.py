"""`--events` and `--lineage`: what a command does and how it ends, for machines."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from linkage import stopping
from linkage.errors import LinkageError
from linkage.nights.events import EventFile
from linkage.nights.lineage import Lineage
from linkage.pipeline import Outcome
from linkage.progress import Progress

__all__ = ["Told", "telling"]


class Told:
    """A command whose end is told.

    Attributes:
        progress: Where its stages go.
    """

    def __init__(self, purposes: Sequence[Path], events: Path | None, lineage: Path | None) -> None:
        self._events = EventFile(events) if events is not None else None
        self._lineage = Lineage(lineage, purposes) if lineage is not None else None
        self._started = time.monotonic()
        self.progress = Progress(tell=self._events) if self._events is not None else Progress()

    def outcomes(self, outcomes: Sequence[Outcome]) -> None:
        """What became of each purpose."""
        for each in outcomes:
            if each.error is not None:
                self._refused(each.path, each.error)
            if each.report is not None and each.report.behind is not None:
                self.progress.tell("warning", configuration=str(each.path), message=each.report.behind.message)
            if each.report is not None and self._lineage is not None:
                self._lineage.complete(each.path, each.report.run_id)

    def _refused(self, path: Path, error: LinkageError) -> None:
        said = {
            "class": type(error).__name__,
            "exit_code": error.exit_code,
            "message": error.message,
            "hint": error.hint,
        }
        self.progress.tell("refused", configuration=str(path), **said)
        if self._lineage is not None:
            self._lineage.fail(path, error)

    def stopped(self) -> None:
        """A signal ends the command."""
        number = stopping.received() or 2
        self.progress.tell("stopped", exit_code=128 + number)
        self._abort("stopped", 128 + number)

    def failed(self, error: BaseException) -> None:
        """Something that nobody foresaw ended it; its words are withheld."""
        if isinstance(error, LinkageError):
            said = {"class": type(error).__name__, "message": error.message, "hint": error.hint}
            self.progress.tell("refused", exit_code=error.exit_code, **said)
            self._abort(error.message, error.exit_code)
            return
        self.progress.tell("failed", exit_code=1, **{"class": type(error).__name__})
        self._abort(type(error).__name__, 1)

    def _abort(self, message: str, code: int) -> None:
        if self._lineage is not None:
            self._lineage.abort(message)
        self.finished(code)

    def finished(self, code: int) -> None:
        """The last line of the command."""
        self.progress.tell("finished", exit_code=code, seconds=round(time.monotonic() - self._started, 3))
        if self._events is not None:
            self._events.close()


@contextmanager
def telling(purposes: Sequence[Path], events: Path | None, lineage: Path | None) -> Iterator[Told]:
    """Tell how a command ends, whatever ends it."""
    told = Told(purposes, events, lineage)
    stopping.say_last(told.stopped)
    try:
        yield told
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) or stopping.received() is not None:
            told.stopped()
        else:
            told.failed(error)
        raise
