"""The samples of a page, and a shell that runs them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path


def samples(page: str, language: str) -> list[str]:
    """What stands in a page's blocks of a language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


def run(blocks: Iterable[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run blocks of commands one after another in one shell, in a folder, with `linkage` on the path; none of them fails."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-eu"], input="".join(blocks), cwd=folder, env={**os.environ, "PATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done
