"""Nights on end, with kills between them: what is there at last is what a full run makes of it."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path
from random import Random

from equality import Unequal, compare, run
from evolving import FEEDS, Evolving
from killed import Killed, counting
from nights import Nights

from linkage.store.layout import Store
from linkage.store.publish import remove


def nights_on_end(folder: Path, count: int, compared: Collection[int]) -> Store:
    """Growth, corrections, deletions, opt-outs, returns, replaced numbers, late files, and a kill every fifth night.

    Args:
        folder: A new one.
        count: So many nights.
        compared: On these a full run is made as well, from the same state.

    Returns:
        The store that was added to.

    Raises:
        Unequal: Both differ, or a run was refused; says where.
    """
    ics = Evolving(folder, FEEDS)
    ics.rules.retention = 10
    ics.write_rules()
    chance = Random(60)
    nights = Nights(ics, chance)
    nights.begin()
    calls = 4000
    for place in range(1, count + 1):
        nights.night(place)
        if place % 5 == 0:
            calls = _killed(ics, max(int(calls * chance.random()), 1)) or calls
        if place in compared:
            _as_it_is(ics)
        for whole in (False, True) if place in compared else (False,):
            refused = run(ics, whole=whole)
            if refused:
                raise Unequal(f"night {place}: {refused}")
        if place in compared:
            compare(ics)
    return Store(ics.folder / "adding" / "store")


def _killed(ics: Evolving, at: int) -> int:
    """Run until a call, and die there; the number of calls where the run was over before."""
    with counting(at) as calls:
        try:
            run(ics, whole=False)
        except Killed:
            return 0
        finally:
            ics.minutes += 5
    return calls[0]


def _as_it_is(ics: Evolving) -> None:
    """The other purpose becomes what the first one is now, so that both run from the same state."""
    for name in ("store", "private"):
        there = ics.folder / "whole" / name
        if there.exists():
            remove(there)
        shutil.copytree(ics.folder / "adding" / name, there)
