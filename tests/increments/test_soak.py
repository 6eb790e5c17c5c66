"""Some nights on end on every change; `python -m tests.increments --nights 60` goes on for longer."""

from __future__ import annotations

from pathlib import Path

import pytest
from soak import nights_on_end


@pytest.mark.slow
def test_nights_on_end(tmp_path: Path) -> None:
    """They end as a full run makes them, and nothing is left beside the snapshots that are kept."""
    store = nights_on_end(tmp_path / "ics", 10, {7, 10})
    assert len(list(store.snapshots.iterdir())) == 3
    left = {path.name for path in store.path.iterdir()} - {"lock"}
    assert left == {"current", "linkage-store", "snapshots"}
