"""What is looked for after a fault is found, and what a dying run may leave is no complaint."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from faults import checks

NUMBER = 9_990_000_018


@pytest.fixture
def world(tmp_path: Path) -> Any:
    for name in ("temporary", "private", "store/snapshots/a", "store/.staging-b/snapshot"):
        (tmp_path / name).mkdir(parents=True)
    return SimpleNamespace(
        folder=tmp_path, store=tmp_path / "store", private=tmp_path / "private", people=[str(NUMBER)]
    )


@pytest.mark.parametrize("place", ["store/snapshots/a", "store/.staging-b/snapshot", "private"])
def test_a_number_in_a_column_is_found(world: Any, place: str) -> None:
    """Wherever it is, also where a run died."""
    path = world.folder / place / "part-00000.parquet"
    pl.DataFrame({"digits": [str(NUMBER), *map(str, range(50))]}).write_parquet(path)
    found = [*checks.numbers_on_disk(world, "")]
    assert f"an NHS number in {path.relative_to(world.folder)}, column digits" in found


@pytest.mark.parametrize(
    ("place", "said"), [("store/snapshots/a", 1), ("private", 1), ("store/.staging-b/snapshot", 0)]
)
def test_a_file_that_lacks_a_page_is_a_complaint_where_no_run_died(world: Any, place: str, said: int) -> None:
    """It has its end all the same."""
    path = world.folder / place / "part-00000.parquet"
    pl.DataFrame({"words": ["one", "two"] * 500}).write_parquet(path)
    content = bytearray(path.read_bytes())
    content[4:60] = bytes(56)
    path.write_bytes(content)
    expected = [f"{path.relative_to(world.folder)} cannot be read"] * said
    assert [*checks.numbers_on_disk(world, "")] == expected
