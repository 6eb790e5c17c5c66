"""A run that takes few rows of a file at a time publishes what one does that takes them at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from cases import base
from equality import compare, run
from evolving import FEEDS

from linkage import together


@pytest.mark.parametrize("rows", [1, 2])
def test_the_same_is_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """Rows, counts, submissions, and codes that nothing translates."""
    ics = base(tmp_path / "ics", FEEDS)
    with monkeypatch.context() as patch:
        patch.setattr(together, "AT_ONCE", rows)
        assert run(ics, whole=False) == ""
    assert run(ics, whole=True) == ""
    compare(ics)
    assert not list(ics.folder.rglob("*.piece"))
