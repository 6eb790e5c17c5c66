"""A run that ends in the middle as if its process was killed: nothing that would clean up is done."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

_WRITES = ("rename", "replace", "unlink", "rmdir", "mkdir", "write_text", "write_bytes", "chmod", "touch")


class Killed(BaseException):
    """Raised at some call of a function of the package; no handler of the package may know it."""


@contextmanager
def counting(kill_at: int | None = None) -> Iterator[list[int]]:
    """Count the calls of functions of the package, and end at one of them.

    Yields:
        A list whose only element is the number of calls so far.
    """
    calls = [0]
    inside = f"{os.sep}linkage{os.sep}"

    def look(frame: FrameType, event: str, _: Any) -> None:
        if event != "call" or inside not in frame.f_code.co_filename:
            return
        calls[0] += 1
        if calls[0] == kill_at:
            sys.setprofile(None)
            _deaf(patch)
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        sys.setprofile(look)
        try:
            yield calls
        finally:
            sys.setprofile(None)


def _deaf(patch: pytest.MonkeyPatch) -> None:
    """A dead process changes no file."""

    def nothing(*_: object, **__: object) -> None:
        return None

    for name in _WRITES:
        patch.setattr(Path, name, nothing)
    for name in ("rmtree", "move", "copytree", "copyfile"):
        patch.setattr(shutil, name, nothing)
    for name in ("rename", "replace", "unlink", "link"):
        patch.setattr(os, name, nothing)
