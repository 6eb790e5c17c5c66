"""Single things that may happen between two nights, and their undoing: an increment is what a full run makes.

`python -m tests.increments --cases` tries all of them; on every change those that come most often are tried.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from cases import CASES, OFTEN, Case, one_at_a_time


@pytest.mark.slow
@pytest.mark.parametrize("case", [each for each in CASES if each.name in OFTEN], ids=lambda case: case.name)
def test_one_thing_at_a_time(case: Case, tmp_path: Path) -> None:
    """Before it, after it, and when it was taken back."""
    one_at_a_time(tmp_path / "ics", case)


def test_every_case_has_a_name_of_its_own() -> None:
    """Or one would stand for two."""
    assert len({case.name for case in CASES}) == len(CASES)
    assert {case.name for case in CASES} >= OFTEN
