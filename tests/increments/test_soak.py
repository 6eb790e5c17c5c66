"""Sixty nights on end, with kills between them: what is there at last is what a full run makes of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

import pytest
from equality import compare, run
from evolving import FEEDS, Evolving
from killed import Killed, counting
from nights import Nights

from linkage.store.layout import Store
from linkage.store.publish import remove

COMPARED = (15, 35, 60)


@pytest.mark.slow
def test_sixty_nights(tmp_path: Path) -> None:
    """Growth, corrections, deletions, opt-outs, returns, replaced numbers, late files, and a kill every fifth night."""
    ics = Evolving(tmp_path / "ics", FEEDS)
    ics.rules.retention = 10
    ics.write_rules()
    chance = Random(60)
    nights = Nights(ics, chance)
    nights.begin()
    calls = 4000
    for place in range(1, COMPARED[-1] + 1):
        nights.night(place)
        if place % 5 == 0:
            calls = _killed(ics, max(int(calls * chance.random()), 1)) or calls
        if place in COMPARED:
            _as_it_is(ics)
        assert run(ics, whole=False) == ""
        if place in COMPARED:
            assert run(ics, whole=True) == ""
            compare(ics)
    store = Store(ics.folder / "adding" / "store")
    assert len(list(store.snapshots.iterdir())) == 3
    assert sorted(path.name for path in store.path.iterdir()) == ["current", "linkage-store", "lock", "snapshots"]


def _killed(ics: Evolving, at: int) -> int:
    """Run until a call, and die there; the number of calls where the run was over before."""
    with counting(at) as calls:
        try:
            run(ics, whole=False)
        except Killed:
            return 0
    ics.minutes += 5
    return calls[0]


def _as_it_is(ics: Evolving) -> None:
    """The other purpose becomes what the first one is now, so that both run from the same state."""
    for name in ("store", "private"):
        there = ics.folder / "whole" / name
        if there.exists():
            remove(there)
        shutil.copytree(ics.folder / "adding" / name, there)
