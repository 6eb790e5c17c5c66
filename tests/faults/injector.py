"""One fault for one process: what it is, and the shim that makes it happen."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

KINDS = (
    "open", "create", "read", "write", "rename", "link", "unlink", "rmdir", "mkdir", "sync", "truncate", "chmod", "map",
    "volume",
)  # fmt: skip
ACTIONS = ("none", "kill", "torn", "refuse", "short", "cut", "grow", "replace", "jump")
CHANGES = ("cut", "grow", "replace")
NEEDS_SPACE = ("create", "write", "mkdir", "truncate", "link")
NEEDS_PERMISSION = ("create", "rename", "link", "unlink", "rmdir", "mkdir", "truncate", "chmod")
SOURCE = Path(__file__).with_name("shim.c")


@dataclass(frozen=True)
class Fault:
    """What goes wrong, and when.

    Attributes:
        action: One of ACTIONS.
        kinds: The kinds of operation that count; all of KINDS where it is empty.
        at: The fault comes at this operation, counted from 1.
        only: What the path of an operation that counts must hold.
        number: The error, for `refuse`, and for what is refused from then on.
        then: The kinds that are refused from then on.
        target: The file that is changed.
        clock: Seconds that the clock is off from the start.
        jump: Seconds that it jumps at the fault.
    """

    action: str = "none"
    kinds: tuple[str, ...] = ()
    at: int = 0
    only: str = ""
    number: int = 0
    then: tuple[str, ...] = ()
    target: str = ""
    clock: int = 0
    jump: int = 0

    def __str__(self) -> str:
        what = errno.errorcode.get(self.number, "") if self.number else ""
        rest = f", from then on {'+'.join(self.then)}" if self.then else ""
        what = f"{what} by {self.jump} s" if self.jump else what
        return f"{self.action} {what} at {'+'.join(self.kinds) or 'any'} {self.at} {self.only}{rest}".replace("  ", " ")


class _Plan(ctypes.Structure):
    """`struct plan` of shim.c."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("armed", "action", "number", "trace")),
        *((name, ctypes.c_uint32) for name in ("kinds", "then")),
        *((name, ctypes.c_int64) for name in ("at", "clock", "jump", "seen")),
        ("counts", ctypes.c_int64 * 16),
        *((name, ctypes.c_int32) for name in ("fired", "hit")),
        ("root", ctypes.c_char * 512),
        ("only", ctypes.c_char * 256),
        ("target", ctypes.c_char * 512),
        ("where", ctypes.c_char * 512),
    )


@dataclass
class Armed:
    """A fault in memory that this process shares with the one that it happens to.

    Attributes:
        fault: What goes wrong.
        root: Only operations on paths that begin so are counted.
        trace: Where every operation is written: the place of its kind in KINDS, and the path; what a rename leads to comes
            in a line of its own.
    """

    fault: Fault
    root: Path
    trace: Path | None = None
    _memory: mmap.mmap = field(default_factory=lambda: mmap.mmap(-1, ctypes.sizeof(_Plan)))

    @property
    def _plan(self) -> _Plan:
        return _Plan.from_buffer(self._memory)

    def arm(self) -> None:
        """Make it happen to this process: called after the fork."""
        plan, fault = self._plan, self.fault
        plan.action, plan.number = ACTIONS.index(fault.action), fault.number
        plan.kinds, plan.then = _mask(fault.kinds or KINDS), _mask(fault.then)
        plan.at, plan.clock, plan.jump = fault.at, fault.clock, fault.jump
        plan.root, plan.only, plan.target = (os.fsencode(each) for each in (self.root, fault.only, fault.target))
        if self.trace:
            plan.trace = os.open(self.trace, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        shim = ctypes.CDLL(None)
        shim.faults_arm(ctypes.byref(plan))

    @property
    def counts(self) -> dict[str, int]:
        """Operations below the root so far, by kind."""
        return dict(zip(KINDS, self._plan.counts, strict=False))

    @property
    def hit(self) -> tuple[str, str] | None:
        """The kind of the operation that it happened at, and the path; None where it did not happen."""
        plan = self._plan
        if not plan.fired:
            return None
        return KINDS[plan.hit], os.path.relpath(os.fsdecode(plan.where), self.root)


def _mask(kinds: tuple[str, ...]) -> int:
    return sum(1 << KINDS.index(each) for each in kinds)


def build(folder: Path) -> Path:
    """Compile the shim, or skip the test and say what is not here."""
    compiler = os.environ.get("CC", "cc")
    if not shutil.which(compiler):
        pytest.skip(f"there is no {compiler} here (Debian: gcc)")
    made = folder / "shim.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", str(made), str(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return made


def loaded(shim: Path) -> dict[str, str]:
    """The environment in which a process has the shim before libc; native libraries keep to one thread."""
    few = dict.fromkeys(("POLARS_MAX_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
    return {**os.environ, **few, "LD_PRELOAD": str(shim)}
