"""The kernel under the address and undefined-behaviour sanitizers and under valgrind, on arbitrary columns."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
KERNEL = HERE.parents[1] / "src" / "linkage" / "pseudonymise"
COMPILER = os.environ.get("CC", "cc")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which(COMPILER), reason="no C compiler here"),
]


def _build(target: Path, *flags: str) -> Path:
    warnings = ("-Wall", "-Wextra", "-Werror")
    done = subprocess.run(
        [COMPILER, "-g", *flags, *warnings, "-I", str(KERNEL), str(HERE / "kernel_fuzz.c"), "-o", str(target)],
        capture_output=True,
        text=True,
        check=False,
    )
    if "cannot find" in done.stderr and "san" in done.stderr:
        pytest.skip("the compiler has no sanitizers here")
    assert done.returncode == 0, done.stderr
    return target


@pytest.mark.parametrize("level", ["-O1", "-O3"])
def test_under_the_sanitizers(tmp_path: Path, level: str) -> None:
    """Every path of this processor; whatever is wrong ends the program."""
    program = _build(tmp_path / "fuzz", level, "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    done = subprocess.run([program, "4000"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "4000 inputs" in done.stdout


@pytest.mark.skipif(not shutil.which("valgrind"), reason="no valgrind here")
def test_under_valgrind(tmp_path: Path) -> None:
    """Only the portable path: valgrind's processor has no SHA instructions. Uninitialised memory counts too."""
    program = _build(tmp_path / "fuzz", "-O1")
    command = ["valgrind", "-q", "--error-exitcode=9", "--leak-check=full", str(program), "60"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "portable C: right" in done.stdout
    assert "60 inputs" in done.stdout
