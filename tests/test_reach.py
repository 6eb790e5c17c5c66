"""What a change of people, registers and practices does to parts of an earlier run, against a run over the extracts."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from linkage.optouts.policy import MAY_BE_USED
from linkage.optouts.practices import Period, Sharing
from linkage.reach import Between
from reached import ANN, BOB, CAT, DAN, SCOT, TABLES, TEST, Entry, World, compare, made, night

PEOPLE = (ANN, BOB, CAT, DAN, SCOT, TEST)
KEYS = ("k1", "k2", "k3", "k4", "R1\x1fk1", "R1\x1fk2")
DAYS = (date(2026, 2, 1), date(2026, 6, 1), date(2026, 9, 1))
PRACTICES = (None, "A1", "B2", "C3")
LISTED = Sharing({}, frozenset({"C3"}), (Period(date(2026, 1, 1), date(2026, 3, 1), frozenset({"B2"})),))
AGREED = Sharing({"gp": frozenset({"A1", "B2"})}, frozenset())

# Most people may be used and most rows are in order, for only what is in a part can be carried over.
NUMBERED = st.builds(
    Entry,
    number=st.sampled_from(PEOPLE),
    born=st.sampled_from([None, date(1950, 5, 2), date(1961, 8, 20)]),
    practice=st.sampled_from(PRACTICES),
    removes=st.sampled_from([None] * 8 + ["sensitive", "test_patient", "deleted"]),
)
NAMELESS = st.builds(Entry, number=st.none(), reason=st.sampled_from(["person_ambiguous", "number_missing"]))
ENTRIES = st.integers(0, 7).flatmap(lambda place: NUMBERED if place else NAMELESS)
VERDICTS = st.sampled_from([MAY_BE_USED] * 3 + [0, 1, 3, 4, 5, 6])
PAIRS = st.tuples(st.sampled_from(PEOPLE), st.sampled_from(PEOPLE)).filter(lambda pair: pair[0] != pair[1])
LAST_DAYS = st.sampled_from([None, *DAYS])
WORLDS = st.builds(
    World,
    entries=st.fixed_dictionaries(dict.fromkeys(KEYS[:3], NUMBERED), optional=dict.fromkeys(KEYS[3:], ENTRIES)),
    replaced=st.frozensets(PAIRS, max_size=1),
    verdicts=st.dictionaries(st.sampled_from(PEOPLE), VERDICTS, max_size=2),
    otherwise=st.sampled_from([MAY_BE_USED, MAY_BE_USED, MAY_BE_USED, 5]),
    sharing=st.sampled_from([None, LISTED, AGREED]),
    leavers=st.dictionaries(st.sampled_from(PEOPLE), LAST_DAYS, max_size=1),
)


@st.composite
def changes(draw: st.DrawFn, world: World) -> World:
    """A world in which some things are otherwise."""
    for _ in range(draw(st.integers(1, 3))):
        world = draw(st.sampled_from(_EDITS))(draw, world)
    return world


def _entry(draw: st.DrawFn, world: World) -> World:
    return replace(world, entries={**world.entries, draw(st.sampled_from(KEYS)): draw(ENTRIES)})


def _no_entry(draw: st.DrawFn, world: World) -> World:
    key = draw(st.sampled_from(KEYS))
    return replace(world, entries={name: each for name, each in world.entries.items() if name != key})


def _corrected(draw: st.DrawFn, world: World) -> World:
    """One thing about a key that is known."""
    if not world.entries:
        return world
    key = draw(st.sampled_from(sorted(world.entries)))
    other, name = draw(ENTRIES), draw(st.sampled_from(["born", "practice", "removes", "number"]))
    if name == "number" and (world.entries[key].number is None or other.number is None):
        return world
    return replace(world, entries={**world.entries, key: replace(world.entries[key], **{name: getattr(other, name)})})


def _verdict(draw: st.DrawFn, world: World) -> World:
    return replace(world, verdicts={**world.verdicts, draw(st.sampled_from(PEOPLE)): draw(VERDICTS)})


def _merge(draw: st.DrawFn, world: World) -> World:
    return replace(world, replaced=world.replaced ^ {draw(PAIRS)})


def _leaver(draw: st.DrawFn, world: World) -> World:
    return replace(world, leavers={**world.leavers, draw(st.sampled_from(PEOPLE)): draw(LAST_DAYS)})


def _default(draw: st.DrawFn, world: World) -> World:
    return replace(world, otherwise=draw(st.sampled_from([MAY_BE_USED, 5])))


def _sharing(draw: st.DrawFn, world: World) -> World:
    return replace(world, sharing=draw(st.sampled_from([None, LISTED, AGREED])))


_OFTEN = [_entry, _corrected, _verdict, _verdict, _merge, _merge]
_EDITS: list[Callable[[st.DrawFn, World], World]] = [*_OFTEN, *_OFTEN, _no_entry, _leaver, _leaver, _default, _sharing]
NUMBERS = st.sampled_from([None, "1234567890", *[f"{each:010d}" for each in PEOPLE] * 2])
LOCAL = st.sampled_from([None, *["k1", "k2", "k3", "k4"] * 2])
FLAGS = st.sampled_from([None] * 6 + ["0", "1"])
WRITTEN: dict[str, st.SearchStrategy[Any]] = {
    "nhs_number": NUMBERS,
    "mother": NUMBERS,
    "patient": LOCAL,
    "carer": LOCAL,
    "midwife": LOCAL,
    "practice": st.sampled_from(PRACTICES),
    "ward": st.sampled_from([None, "R1", "R1", "R1"]),
    "on": st.sampled_from([None, "2025-12-31", *[each.isoformat() for each in DAYS] * 2]),
    "secret": FLAGS,
    "deleted": FLAGS,
    "dummy": FLAGS,
    "broken": st.sampled_from([False] * 8 + [True]),
}


@st.composite
def nights(draw: st.DrawFn) -> tuple[str, list[dict[str, Any]], list[World]]:
    """A table, rows of it, and what they are decided by night after night."""
    name = draw(st.sampled_from(sorted(TABLES)))
    columns = [each for each in (*TABLES[name][1].columns, "broken") if each in WRITTEN]
    rows = draw(st.lists(st.fixed_dictionaries({each: WRITTEN[each] for each in columns}), min_size=1, max_size=8))
    key = TABLES[name][1].primary_key[0]
    rows = [row if key == "patient" else {**row, key: f"r{place}"} for place, row in enumerate(rows)]
    worlds = [draw(WORLDS)]
    for _ in range(draw(st.integers(1, 3))):
        worlds.append(draw(changes(worlds[-1])))
    return name, rows, worlds


@settings(max_examples=100)
@given(nights())
def test_a_part_that_is_carried_over_is_the_part_that_a_run_makes(
    found: tuple[str, list[dict[str, Any]], list[World]],
) -> None:
    """Row for row, with every removed row under its reason, night after night."""
    name, rows, worlds = found
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder) / "other"
        other.mkdir()
        state = made(Path(folder), name, rows, worlds[0].judged())
        for before, after in pairwise(worlds):
            state = night(state, name, rows, Between(before.judged(), after.judged()))
            compare(state, made(other, name, rows, after.judged()))
