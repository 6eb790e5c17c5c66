"""The kernel's C files as programs without Python: for the processor at hand and, in an emulator, for Armv8."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "pseudonymise"
KERNEL = HERE.parents[1] / "src" / "linkage" / "pseudonymise"
WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wno-unused-function")
SANITIZERS = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@dataclass(frozen=True)
class Target:
    """A processor: what compiles for it, what runs its programs, and the Debian packages that bring both."""

    name: str
    compiler: str
    runner: tuple[str, ...] = ()
    packages: str = "gcc"

    def build(self, program: Path, source: str, *flags: str, headers: Path = KERNEL) -> Path:
        """Compile one of the C files beside the tests, or skip the test and say what is not here."""
        for tool in (self.compiler, *self.runner[:1]):
            if not shutil.which(tool):
                pytest.skip(f"{self.name}: there is no {tool} here (Debian: {self.packages})")
        command = [self.compiler, *flags, *WARNINGS, "-I", str(headers), str(HERE / source), "-o", str(program)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if "cannot find" in done.stderr and "san" in done.stderr:
            pytest.skip(f"{self.name}: the compiler has no sanitizers here")
        assert done.returncode == 0, done.stderr
        return program

    def run(self, program: Path, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run it; the caller looks at how it ended."""
        # The leak check of the sanitizers traces the process, which the emulator cannot do.
        environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"} if self.runner else None
        command = [*self.runner, str(program), *arguments]
        return subprocess.run(command, input=given, capture_output=True, text=True, check=False, env=environment)


NATIVE = Target("this processor", os.environ.get("CC", "cc"))
ARM = Target(
    "Armv8 in an emulator",
    "aarch64-linux-gnu-gcc",
    ("qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"),
    "qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
)
ARM_PATHS = ("Armv8 SHA2 instructions", "portable C")
every_target = pytest.mark.parametrize("target", [NATIVE, ARM], ids=lambda target: target.name)
