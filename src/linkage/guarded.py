"""Keeping what is in memory out of files: no core dumps, no other process reading along, and no swap where that is allowed.

It does not wipe anything: Python copies bytes as it likes, and what was freed stays until it is written over. Root on the same
machine, a debugger that was there before, and a snapshot of a virtual machine see all of it.
"""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from pathlib import Path

if sys.platform != "win32":
    import resource

__all__ = ["lock_memory", "no_dumps"]

_PR_SET_DUMPABLE = 4
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
_CAP_IPC_LOCK = 14


class _State:
    """Whether the process is ours, and not that of a program that imported us."""

    command = False


def no_dumps() -> None:
    """In a process of the command line: write no core dump of it, and let no other process of the user attach to it."""
    _State.command = True
    if sys.platform == "win32":
        return
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def lock_memory() -> bool:
    """Keep the memory of a command, as it is touched, out of swap; whether the system allows it.

    It is not tried below a limit: what this process asked for later would fail, and the work with it.
    """
    if not _State.command or sys.platform != "linux" or not _may_lock():
        return False
    try:
        locked = ctypes.CDLL(None, use_errno=True).mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT)
    except (OSError, AttributeError):
        return False
    return bool(locked == 0)


def _may_lock() -> bool:
    if sys.platform == "win32":
        return False
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY:
        return True
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        able = next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return False
    return bool(able >> _CAP_IPC_LOCK & 1)
