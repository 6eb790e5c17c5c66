"""Sixty nights on end: what is there at last is what a full run makes of everything."""

from __future__ import annotations

from pathlib import Path

import pytest
from soak import nights_on_end


@pytest.mark.slow
def test_sixty_nights_end_as_a_full_run_does(tmp_path: Path) -> None:
    """Growth, corrections, deletions, opt-outs, returns and late files, with a kill every fifth night."""
    store = nights_on_end(tmp_path / "ics", 60, (20, 40, 60))
    assert 0 < len(list(store.snapshots.iterdir())) <= 3
