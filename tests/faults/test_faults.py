"""Whatever the machine does to a run, the last snapshot stays, and the next run ends as if nothing had happened."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from faults import injector

TESTS = Path(__file__).parents[1]
PROBE = """
import ctypes, mmap, os, sys
from pathlib import Path
from faults.injector import Armed, Fault
import duckdb, polars as pl
root = Path(sys.argv[1])
frame = pl.DataFrame({"a": [1, 2, 3]})
armed = Armed(Fault(only=".parquet", kinds=("write",), action="none"), root)
armed.arm()
before = 0
for made in ("polars", "duckdb", "python"):
    path = root / f"{made}.parquet"
    if made == "polars":
        frame.lazy().sink_parquet(path)
    elif made == "duckdb":
        duckdb.sql(f"COPY (SELECT 1 AS a) TO '{path}' (FORMAT parquet)")
    else:
        path.write_bytes(b"x")
    print(made, armed.counts["write"] > before, armed.counts["create"] > 0)
    before = armed.counts["write"]
"""


WORKING = {"ignore_cleanup_errors": True}  # another user may own what is in it


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shim, compiled."""
    return injector.build(tmp_path_factory.mktemp("shim"))


def test_native_libraries_are_counted_too(shim: Path, tmp_path: Path) -> None:
    """What Polars, DuckDB and Python write goes past the shim, or no fault would reach it."""
    command = [sys.executable, "-c", PROBE, str(tmp_path)]
    done = subprocess.run(command, env=injector.loaded(shim), cwd=TESTS, capture_output=True, text=True, check=False)
    assert done.stdout.split("\n")[:3] == ["polars True True", "duckdb True True", "python True True"], done.stderr


@pytest.mark.slow
def test_faults_at_random_points() -> None:
    """A few of the points that the command goes through by the thousand."""
    command = [sys.executable, "-m", "tests.faults", "--points", "16", "--seed", "11"]
    done = subprocess.run(command, cwd=TESTS.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " faults and " in done.stdout


def run_with(shim: Path, module: str, *words: str) -> str:
    """Run a module in a process that has the shim, in a folder that another user can reach; what it printed."""
    with tempfile.TemporaryDirectory(**WORKING) as made:
        Path(made).chmod(0o755)
        command = [sys.executable, "-m", module, made, *words]
        environment = injector.loaded(shim)
        done = subprocess.run(command, env=environment, cwd=TESTS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_everything_is_on_the_disk_before_the_switch_and_nowhere_else(shim: Path) -> None:
    """A first run, and two that go on from the last: power may fail right after `current` has its new name; and no file
    was made outside the store, the private folder and the log, for temporary folders are not the controller's.
    """
    assert run_with(shim, "faults.durable").splitlines() == ["0 0 [] []", "1 0 [] []", "2 0 [] []"]


@pytest.mark.slow
def test_a_run_that_dies_at_any_step_of_publishing(shim: Path) -> None:
    """Every rename and link, and some of the rest."""
    (said,) = run_with(shim, "faults.steps", "20").splitlines()
    assert said.endswith(" steps")
