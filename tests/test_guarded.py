"""No core dump and no reader of a process that holds keys; memory is locked where that cannot make the work fail."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel")

DUMPS = """
import ctypes, resource, sys
sys.argv = ["linkage", "--version"]
from linkage.cli import main
try:
    main()
except SystemExit:
    pass
print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""
LOCKED = """
from pathlib import Path
from linkage import guarded
elsewhere = guarded.lock_memory()
guarded.no_dumps()
before = not elsewhere and guarded.lock_memory()
block = bytearray(50_000_000)
block[::4096] = b"x" * len(block[::4096])
lines = Path("/proc/self/status").read_text().splitlines()
print(before, next(int(line.split()[1]) for line in lines if line.startswith("VmLck:")))
"""
LIMITED = """
import resource
from linkage import guarded
resource.setrlimit(resource.RLIMIT_MEMLOCK, (1 << 20, 1 << 20))
guarded._CAP_IPC_LOCK = 63
guarded.no_dumps()
print(guarded.lock_memory(), len(bytearray(50_000_000)))
"""


def _run(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_every_command_writes_no_core_dump() -> None:
    """The limit is none, and the kernel is told that the process cannot be dumped or attached to."""
    assert _run(DUMPS)[-1] == "(0, 0) 0"


def test_memory_is_locked_where_it_may_be() -> None:
    """All of it, or nothing is said to be."""
    [told, locked] = _run(LOCKED)[0].split()
    assert (told == "True") == (int(locked) > 40_000)


def test_a_limit_does_not_make_the_work_fail() -> None:
    """It is not locked then, and memory is there."""
    assert _run(LIMITED) == ["False 50000000"]
