"""Ctrl-C and SIGTERM end a command within two seconds, whatever it is busy with.

Python tells the main thread of a signal only when it is back from Polars or DuckDB, and a pass over a large extract takes
minutes. So a second thread is woken by the signal itself: it interrupts the databases, gives the main thread a moment to clear
up and leave, and where that does not come, removes what it can of the working folders and ends the process. That is what a
crash would do at that moment, and a crash publishes nothing: the next start clears what is left.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn, Protocol

__all__ = ["HINT", "MESSAGE", "clear", "interrupts", "received", "say_last", "watching"]

MESSAGE = "stopped by {signal}"
HINT = "what was published stays; run the same command again"
GRACE, CLEARING = 1.0, 0.5  # seconds for the main thread to leave, and for the folders to go
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM") if hasattr(signal, name))


class Interruptible(Protocol):
    """Something that can be told to stop what it does, for example a connection to a database."""

    def interrupt(self) -> None:
        """Stop."""


class _State:
    """What there is to do when a signal comes; one for the process, as signals are."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self.busy: weakref.WeakSet[Interruptible] = weakref.WeakSet()
        self.folders: list[Path] = []
        self.last: list[Callable[[], None]] = []
        self.raised = False
        self.left = threading.Event()


_state = _State()


def received() -> int | None:
    """The signal that is stopping this command; None where none came."""
    return _state.signal


def interrupts(work: Interruptible) -> None:
    """Interrupt this, from another thread, when a signal comes: for work that does not return to Python by itself."""
    _state.busy.add(work)


def say_last(words: Callable[[], None]) -> None:
    """Call this if the process has to be ended from outside the main thread: its own last words are not said then."""
    _state.last.append(words)


@contextmanager
def clear(folder: Path) -> Iterator[None]:
    """Remove a working folder if the process has to be ended while it is in use."""
    _state.folders.append(folder)
    try:
        yield
    finally:
        _state.folders.remove(folder)


@contextmanager
def watching() -> Iterator[None]:
    """Stop on signals for as long as this lasts; only the main thread can ask for it."""
    global _state  # noqa: PLW0603 signals are the process's, and so is what they stop
    _state = state = _State()
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    before = {each: signal.signal(each, _raise) for each in _SIGNALS}
    fd = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    watcher = threading.Thread(target=_watch, args=(state, ours), daemon=True, name="linkage-stopping")
    watcher.start()
    try:
        yield
    finally:
        state.left.set()
        signal.set_wakeup_fd(fd)
        for each, handler in before.items():
            signal.signal(each, handler)
        theirs.close()
        watcher.join(GRACE)
        ours.close()


def _raise(number: int, _: FrameType | None) -> None:
    """In the main thread, once it runs Python again: leave. A second signal does not disturb the clearing up."""
    _state.signal = _state.signal or number
    if not _state.raised:
        _state.raised = True
        raise KeyboardInterrupt


def _watch(state: _State, wakened: socket.socket) -> None:
    while got := wakened.recv(1):
        if got[0] in {int(each) for each in _SIGNALS}:
            break
    else:
        return
    state.signal = state.signal or got[0]
    for work in list(state.busy):
        # A connection that is closed already has nothing to interrupt.
        with suppress(Exception):
            work.interrupt()
    if not state.left.wait(GRACE):
        _end(state)


def _end(state: _State) -> NoReturn:
    clearing = threading.Thread(target=_clear, args=(list(state.last), list(state.folders)), daemon=True)
    clearing.start()
    clearing.join(CLEARING)
    number = state.signal or int(signal.SIGTERM)
    said = f"error: {MESSAGE.format(signal=signal.Signals(number).name)}\nhint: {HINT}\n"
    with suppress(OSError):
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, said.encode())
    os._exit(128 + number)


def _clear(last: list[Callable[[], None]], folders: list[Path]) -> None:
    for words in last:
        with suppress(Exception):
            words()
    for folder in folders:
        # The folder itself stays: it tells the next start that this run died, and what else to look for.
        for left in folder.iterdir():
            shutil.rmtree(left, ignore_errors=True)
