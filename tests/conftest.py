"""Fixtures that any test may use."""

from __future__ import annotations

from pathlib import Path

import pytest
from small import SmallIcs, make_small_ics

from linkage.pipeline import RunReport


@pytest.fixture
def small_ics(tmp_path: Path) -> SmallIcs:
    """A small ICS before its first run."""
    return make_small_ics(tmp_path)


@pytest.fixture
def published(small_ics: SmallIcs) -> tuple[SmallIcs, RunReport]:
    """The small ICS after a good run."""
    return small_ics, small_ics.run()
