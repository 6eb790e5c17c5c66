"""An older store beside a newer private folder: what the roster learned last is not cleared away."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from small import NOW, SmallIcs

from linkage import pipeline
from linkage.errors import IntegrityError
from linkage.pipeline import RunReport
from linkage.store.publish import remove


def at(ics: SmallIcs, hours: int) -> RunReport:
    return pipeline.run(ics.configuration, now=NOW + timedelta(hours=hours))


def restored(ics: SmallIcs, aside: Path) -> RunReport:
    """Two runs, and the store as it was after the first; the second run's report."""
    at(ics, 0)
    shutil.copytree(ics.store, aside)
    second = at(ics, 24)
    remove(ics.store)
    shutil.copytree(aside, ics.store)
    return second


def test_an_older_store_is_refused_and_the_newest_roster_stays(small_ics: SmallIcs, tmp_path: Path) -> None:
    second = restored(small_ics, tmp_path / "aside")
    with pytest.raises(IntegrityError, match=second.run_id):
        at(small_ics, 48)
    assert (small_ics.folder / "private" / "roster" / second.run_id).is_dir()


def test_one_that_is_lost_for_good_can_be_left_behind(small_ics: SmallIcs, tmp_path: Path) -> None:
    restored(small_ics, tmp_path / "aside")
    (small_ics.folder / "private" / "published").unlink()
    third = at(small_ics, 48)
    assert (small_ics.folder / "private" / "published").read_text().strip() == third.run_id


def test_retention_may_remove_what_was_published_last(small_ics: SmallIcs) -> None:
    small_ics.configuration.write_text(small_ics.configuration.read_text().replace("[store]", "[store]\nkeep = 1"))
    for hours in (0, 24, 48):
        done = at(small_ics, hours)
    assert [path.name for path in (small_ics.store / "snapshots").iterdir()] == [done.run_id]
