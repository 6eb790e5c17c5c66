"""Polars never writes rows of the site half into a folder of the system."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Spills as soon as anything is held back, wherever the test runs.
ALWAYS = {"POLARS_OOC_MEMORY_BUDGET_MB": "0", "POLARS_OOC_SPILL_MIN_BYTES": "1", "POLARS_OOC_DRIFT_THRESHOLD": "0"}
SORT = """
{before}
import polars as pl
{after}
n = 200_000
pl.LazyFrame({{"a": pl.Series(range(n)).shuffle(1), "b": ["9434765919"] * n}}).sort("a").sink_parquet("{out}")
"""


@pytest.mark.parametrize(
    ("before", "after", "spills"),
    [("", "", True), ("import linkage", "", False), ("", "import linkage", False)],
    ids=["without linkage", "linkage first", "polars first"],
)
def test_nothing_is_spilt(tmp_path: Path, before: str, after: str, spills: bool) -> None:
    """Whatever the environment asks for; without linkage the same query does spill, or this would prove nothing."""
    code = SORT.format(before=before, after=after, out=tmp_path / "out.parquet")
    environment = {**os.environ, **ALWAYS, "POLARS_OOC_SPILL_DIR": str(tmp_path / "spill")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert any((tmp_path / "spill").glob("*")) == spills
