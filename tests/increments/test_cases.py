"""Every single thing that may happen between two nights, and its undoing: an increment is what a full run makes."""

from __future__ import annotations

from pathlib import Path

import pytest
from cases import CASES, Case, base
from equality import run_both

from linkage.sources import seen


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_thing_at_a_time(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it, after it, when it was taken back, and once more without news."""
    monkeypatch.setattr(seen, "SETTLED", -(10**18))
    ics = base(tmp_path / "ics", case.feeds)
    assert run_both(ics) == ""
    case.happens(ics)
    assert run_both(ics) == ""
    if case.undone:
        case.undone(ics)
        assert run_both(ics) == ""


def test_every_case_has_a_name_of_its_own() -> None:
    """Or one would stand for two."""
    assert len({case.name for case in CASES}) == len(CASES)
