"""What `pip install .` leaves behind, with a C compiler and without one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1]
COMPILER = os.environ.get("CC", "cc")

pytestmark = pytest.mark.slow

# Says where the code was found, and makes one token of the format's own values.
PROGRAM = """
import sys, linkage, polars
from linkage.pseudonymise import Pseudonymiser
tokens, _ = Pseudonymiser.from_root(bytes(range(32)), "ics:demo").tokenise(polars.Series(["943 476 5919"]))
sys.stdout.write(f"{linkage.__file__} {tokens[0].hex()}")
"""


def _installed(folder: Path, compiler: str) -> tuple[str, Path]:
    """The name of the wheel made with this compiler, and the folder that it unpacks to."""
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(HERE / name, source)
    ignored = shutil.ignore_patterns("*.so", "*.pyd", "*.egg-info", "__pycache__")
    shutil.copytree(HERE / "src", source / "src", ignore=ignored)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    environment = {**os.environ, "CC": compiler, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(
        [*command, "-w", folder, source], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder / "installed")
    return wheel.name, folder / "installed"


def _python(folder: Path, program: str, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("compiler", [COMPILER, "/nonexistent/cc"], ids=["with a compiler", "without one"])
def test_the_kernel_is_there_or_left_out(tmp_path: Path, compiler: str) -> None:
    """One wheel for every Python from 3.11 on; without a compiler no error, the same tokens, and the tool says so."""
    if compiler == COMPILER and not shutil.which(compiler):
        pytest.skip("no C compiler here")
    wheel, folder = _installed(tmp_path, compiler)
    built = [path.name for path in folder.rglob("_kernel*") if path.suffix in {".so", ".pyd"}]
    said = _python(folder, "from linkage.cli import main; main()", "--version", "--verbose")
    where, token = _python(folder, PROGRAM).split()
    assert "-cp311-abi3-" in wheel
    assert where == str(folder / "linkage" / "__init__.py")
    assert token == "67773098193b81d083c601a4bf818148"
    if compiler == COMPILER:
        assert len(built) == 1
        assert "abi3" in built[0] or built[0].endswith(".pyd")
        assert "kernel: compiled, " in said
    else:
        assert built == []
        assert "kernel: Python over hashlib" in said
