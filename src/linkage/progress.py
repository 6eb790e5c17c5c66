"""What a person at a terminal sees while a long run works: stage, rows, rows a second, time left.

Quiet unless standard error is a terminal, so that a nightly log holds results and not a moving bar. Machines are told the
same through `events`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from threading import Lock

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

from linkage.nights.events import Tell, nothing

EVERY = 5.0  # seconds between two events of one stage's progress


@dataclass(frozen=True, slots=True)
class StageTime:
    """How long a stage took.

    Attributes:
        name: The stage.
        seconds: Wall-clock seconds.
        rows: Rows it passed, 0 where it does not go by rows.
    """

    name: str
    seconds: float
    rows: int


@dataclass(slots=True)
class Stage:
    """A running stage; `advance` may be called from any thread."""

    rows: int = 0
    bars: Bars | None = None
    task: int = 0
    lock: Lock = field(default_factory=Lock)
    name: str = ""
    total: int | None = None
    tell: Tell = nothing
    started: float = field(default_factory=time.perf_counter)
    told: float = field(default_factory=time.perf_counter)

    def advance(self, rows: int) -> None:
        """Some more rows are done."""
        with self.lock:
            self.rows += rows
            now, done = time.perf_counter(), self.rows
            due = now - self.told >= EVERY
            self.told = now if due else self.told
        if due:
            rate = done / (now - self.started)
            left = round(max(self.total - done, 0) / rate, 1) if self.total and rate else None
            self.tell("stage_progress", stage=self.name, rows=done, of=self.total, rate=round(rate), seconds_left=left)
        if self.bars is not None:
            self.bars.advance(self.bars.task_ids[self.task], rows)


@dataclass(slots=True)
class Progress:
    """Times every stage, and draws a bar for it when somebody watches.

    Attributes:
        console: Where bars go; standard error by default.
        times: The stages that have ended.
        tell: Who else is told (`events`); nobody by default.
    """

    console: Console = field(default_factory=lambda: Console(stderr=True))
    times: list[StageTime] = field(default_factory=list)
    tell: Tell = nothing

    def branch(self, ways: int, name: object = "") -> Progress:
        """Where one of several ways goes on: with the stages that they had in common, and from here on its own."""
        if ways == 1:
            return self
        return Progress(self.console, list(self.times), partial(self.tell, configuration=str(name)))

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Stage]:
        """Run one stage.

        Args:
            name: What it is called, in a few words.
            total: Rows it will pass; None where that is not known.
        """
        started = time.perf_counter()
        stage = Stage(name=name, total=total, tell=self.tell)
        self.tell("stage_started", stage=name, of=total)
        if self.console.is_terminal:
            with self._bars() as bars:
                bars.add_task(name, total=total)
                stage.bars = bars
                yield stage
        else:
            yield stage
        seconds = time.perf_counter() - started
        self.times.append(StageTime(name, seconds, stage.rows))
        rate = round(stage.rows / seconds) if stage.rows and seconds else None
        self.tell("stage_finished", stage=name, seconds=round(seconds, 3), rows=stage.rows, rate=rate)

    def _bars(self) -> Bars:
        return Bars(
            SpinnerColumn(),
            TextColumn("{task.description:<22}"),
            BarColumn(),
            MofNCompleteColumn(),
            _RowsPerSecond(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )


class _RowsPerSecond(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f} rows/s" if speed else "", style="progress.data.speed")
