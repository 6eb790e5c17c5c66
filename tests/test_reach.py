"""What a change of people, registers and practices does to parts of an earlier run, against a run over the extracts."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage.errors import IntegrityError
from linkage.increments import absent, reach
from linkage.increments.asking import Asked
from linkage.increments.judged import load, save
from linkage.increments.reach import Between
from linkage.optouts.policy import MAY_BE_USED, VERDICTS
from linkage.optouts.practices import Period, Sharing
from linkage.pseudonymise import Keyset
from linkage.reasons import Reason
from reached import ANN, BOB, CAT, DAN, SCOT, TABLES, TEST, Entry, State, World, compare, lacked, made, night

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
SAID = st.sampled_from([MAY_BE_USED] * 3 + [0, 1, 3, 4, 5, 6])
PAIRS = st.tuples(st.sampled_from(PEOPLE), st.sampled_from(PEOPLE)).filter(lambda pair: pair[0] != pair[1])
LAST_DAYS = st.sampled_from([None, *DAYS])
WORLDS = st.builds(
    World,
    entries=st.fixed_dictionaries(dict.fromkeys(KEYS[:3], NUMBERED), optional=dict.fromkeys(KEYS[3:], ENTRIES)),
    replaced=st.frozensets(PAIRS, max_size=1),
    verdicts=st.dictionaries(st.sampled_from(PEOPLE), SAID, max_size=2),
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
    return replace(world, verdicts={**world.verdicts, draw(st.sampled_from(PEOPLE)): draw(SAID)})


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


def _is_the_part_that_a_run_makes(name: str, rows: list[dict[str, Any]], worlds: list[World]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder) / "other"
        other.mkdir()
        state = made(Path(folder), name, rows, worlds[0].judged())
        for before, after in pairwise(worlds):
            state = night(state, name, rows, Between(before.judged(), after.judged()))
            compare(state, made(other, name, rows, after.judged()))


@settings(max_examples=40)
@given(nights())
def test_a_part_that_is_carried_over_is_the_part_that_a_run_makes(
    found: tuple[str, list[dict[str, Any]], list[World]],
) -> None:
    """Row for row, with every removed row under its reason, night after night."""
    _is_the_part_that_a_run_makes(*found)


@pytest.mark.slow
@settings(max_examples=120)
@given(nights())
def test_many_parts_that_are_carried_over(found: tuple[str, list[dict[str, Any]], list[World]]) -> None:
    """The same, for longer."""
    _is_the_part_that_a_run_makes(*found)


NATIONAL, NOT_ASKED = VERDICTS.index(Reason.NATIONAL_OPT_OUT), VERDICTS.index(Reason.NATIONAL_NOT_ASKED)
TYPE1, LEFT = VERDICTS.index(Reason.TYPE1_OPT_OUT), VERDICTS.index(Reason.PRACTICE_NOT_SHARING)
BORN = date(1950, 5, 2)
FREE = World(entries={"k1": Entry(ANN, born=BORN, practice="A1"), "k2": Entry(BOB, practice="A1")})
ASKED = replace(FREE, otherwise=NOT_ASKED, verdicts={ANN: MAY_BE_USED, BOB: MAY_BE_USED, CAT: MAY_BE_USED})


def _world(world: World = FREE, **changed: Any) -> World:
    return replace(world, **changed)


def _with(world: World = FREE, **entries: Entry) -> World:
    return replace(world, entries={**world.entries, **entries})


def _stay(number: int | None = ANN, **more: Any) -> dict[str, Any]:
    return {"nhs_number": number and f"{number:010d}", "on": "2026-02-01", **more}


def _by_key(key: str = "k1", **more: Any) -> dict[str, Any]:
    return {"patient": key, "on": "2026-06-01", **more}


OUT = _world(verdicts={ANN: NATIONAL})
BOTH = _world(verdicts={ANN: TYPE1})
MERGED = _world(replaced=frozenset({(ANN, BOB)}))
CIRCLE = _world(replaced=frozenset({(ANN, BOB), (BOB, ANN)}))
DISAGREEING = _world(replaced=frozenset({(ANN, BOB), (ANN, CAT)}))
LINKED = _with(k3=Entry(ANN, born=BORN, practice="A1"))
SHARES, ALL_SHARE = _world(sharing=AGREED), Sharing({}, frozenset())
AT_C3 = _with(SHARES, k1=Entry(ANN, born=BORN, practice="C3"))
AFTER_LEAVING = "2026-08-01"
EXEMPT = _world(sharing=AGREED, leavers={ANN: date(2026, 6, 1)})
OTHER = _world(otherwise=NATIONAL)
B_OUT = _world(verdicts={BOB: NATIONAL})
DELETED = _with(k1=Entry(ANN, born=BORN, practice="A1", removes="deleted"))

# What happens: the table, its rows, what they were and are decided by, and whether the part stays as it is, is only
# counted otherwise (recounted), is changed without the extract (carried), or is made of the extract again.
CASES: dict[str, tuple[str, list[dict[str, Any]], World, World, str]] = {
    "nothing": ("acute stay", [_stay()], FREE, FREE, "stays"),
    "opt-out": ("acute stay", [_stay(), _stay(BOB)], FREE, OUT, "carried"),
    "opt-out, by key": ("gp letter", [_by_key(), _by_key("k2")], FREE, OUT, "carried"),
    "opt-out of somebody else": ("acute stay", [_stay(BOB)], FREE, OUT, "stays"),
    "opt-out withdrawn": ("acute stay", [_stay(), _stay(BOB)], OUT, FREE, "again"),
    "opt-out of somebody else withdrawn": ("acute stay", [_stay(BOB)], OUT, FREE, "stays"),
    "opt-out withdrawn, of a row not asked for": ("acute stay", [_stay(on="2025-12-31")], OUT, FREE, "again"),
    "another opt-out": ("acute stay", [_stay(), _stay(BOB)], OUT, BOTH, "recounted"),
    "opt-out, of a row not asked for": ("acute stay", [_stay(on="2025-12-31")], FREE, OUT, "recounted"),
    "opt-out, of a secret row": ("acute stay", [_stay(secret="1")], FREE, OUT, "stays"),
    "opt-out, of a broken row": ("acute stay", [_stay(broken=True)], FREE, OUT, "stays"),
    "opt-out under an old number": ("acute stay", [_stay()], MERGED, _world(MERGED, verdicts={ANN: NATIONAL}), "again"),
    "opt-out under the current number": (
        "acute stay",
        [_stay()],
        MERGED,
        _world(MERGED, verdicts={BOB: NATIONAL}),
        "carried",
    ),
    "never asked, then asked": (
        "acute stay",
        [_stay(), _stay(DAN)],
        ASKED,
        _world(ASKED, verdicts={**ASKED.verdicts, DAN: MAY_BE_USED}),
        "again",
    ),
    "asked, and answered no": (
        "acute stay",
        [_stay(), _stay(DAN)],
        ASKED,
        _world(ASKED, verdicts={**ASKED.verdicts, DAN: NATIONAL}),
        "recounted",
    ),
    "no longer asked about": (
        "acute stay",
        [_stay(), _stay(BOB)],
        ASKED,
        _world(ASKED, verdicts={ANN: MAY_BE_USED}),
        "carried",
    ),
    "test numbers": ("acute stay", [_stay(TEST)], FREE, _world(verdicts={TEST: NATIONAL}), "stays"),
    "merged": ("acute stay", [_stay(), _stay(CAT)], FREE, MERGED, "carried"),
    "merged, by key": ("gp visit", [_by_key(), _by_key("k2")], FREE, MERGED, "carried"),
    "merged into one who is out": (
        "acute stay",
        [_stay()],
        _world(verdicts={BOB: NATIONAL}),
        _world(MERGED, verdicts={BOB: NATIONAL}),
        "carried",
    ),
    "merged on": ("acute stay", [_stay()], MERGED, _world(replaced=frozenset({(ANN, BOB), (BOB, CAT)})), "carried"),
    "merge undone": ("acute stay", [_stay(), _stay(BOB)], MERGED, FREE, "again"),
    "merge undone, of others": ("acute stay", [_stay(CAT)], MERGED, FREE, "stays"),
    "merges that disagree": ("acute stay", [_stay()], FREE, DISAGREEING, "again"),
    "merges that agree again": ("acute stay", [_stay()], DISAGREEING, MERGED, "again"),
    "merges in a circle": ("acute stay", [_stay(), _stay(CAT)], FREE, CIRCLE, "again"),
    "merges in a circle, kept": ("keeps ride", [_stay()], FREE, CIRCLE, "again"),
    "merges out of a circle, kept": ("keeps ride", [_stay()], CIRCLE, MERGED, "again"),
    "key corrected": (
        "gp letter",
        [_by_key(), _by_key("k2")],
        FREE,
        _with(k1=Entry(CAT, born=BORN, practice="A1")),
        "carried",
    ),
    "key corrected to Scotland": (
        "gp letter",
        [_by_key()],
        FREE,
        _with(k1=Entry(SCOT, born=BORN, practice="A1")),
        "again",
    ),
    "key corrected to one who is out": (
        "gp letter",
        [_by_key()],
        _world(verdicts={CAT: TYPE1}),
        _with(_world(verdicts={CAT: TYPE1}), k1=Entry(CAT)),
        "carried",
    ),
    "key now known": ("gp letter", [_by_key("k4")], FREE, _with(k4=Entry(CAT)), "again"),
    "key now known, of others": ("gp letter", [_by_key()], FREE, _with(k4=Entry(CAT)), "stays"),
    "key now known, kept": ("keeps bed", [_by_key("k1", ward="R1")], FREE, _with(**{"R1\x1fk1": Entry(CAT)}), "again"),
    "key now known, of another ward": (
        "keeps bed",
        [_by_key("k1", ward="R1")],
        FREE,
        _with(**{"R2\x1fk1": Entry(CAT)}),
        "stays",
    ),
    "key no longer ambiguous": (
        "gp letter",
        [_by_key("k4")],
        _with(k4=Entry(None, reason="person_ambiguous")),
        _with(k4=Entry(CAT)),
        "again",
    ),
    "key deleted": (
        "gp letter",
        [_by_key()],
        FREE,
        _with(k1=Entry(ANN, practice="A1", born=BORN, removes="deleted")),
        "again",
    ),
    "key deleted, on the register": (
        "gp patient",
        [_by_key()],
        FREE,
        _with(k1=Entry(ANN, born=BORN, practice="A1", removes="deleted")),
        "stays",
    ),
    "key sensitive": ("gp letter", [_by_key()], FREE, _with(k1=Entry(ANN, removes="sensitive")), "carried"),
    "key sensitive, where rows may be deletions": (
        "gp visit",
        [_by_key(), _by_key(deleted="1")],
        FREE,
        _with(k1=Entry(ANN, born=BORN, removes="sensitive")),
        "again",
    ),
    "key a test patient": ("gp letter", [_by_key()], FREE, _with(k1=Entry(ANN, removes="test_patient")), "carried"),
    "key no longer sensitive": ("gp letter", [_by_key()], _with(k1=Entry(ANN, removes="sensitive")), FREE, "again"),
    "one of two keys deleted": (
        "gp letter",
        [_by_key(), _by_key("k3")],
        LINKED,
        _with(LINKED, k3=Entry(ANN, removes="sensitive")),
        "again",
    ),
    "one of two keys corrected": (
        "gp letter",
        [_by_key(), _by_key("k3")],
        LINKED,
        _with(LINKED, k3=Entry(CAT)),
        "again",
    ),
    "both of two keys corrected": (
        "gp letter",
        [_by_key(), _by_key("k3")],
        LINKED,
        _with(LINKED, k1=Entry(CAT), k3=Entry(CAT)),
        "carried",
    ),
    "birth date corrected": (
        "gp visit",
        [_by_key()],
        FREE,
        _with(k1=Entry(ANN, born=date(1961, 8, 20), practice="A1")),
        "again",
    ),
    "birth date corrected, no ages": ("gp letter", [_by_key()], FREE, _with(k1=Entry(ANN, practice="A1")), "stays"),
    "birth date corrected, others": ("gp visit", [_by_key("k2")], FREE, _with(k1=Entry(ANN, practice="A1")), "stays"),
    "birth date corrected of one who goes": (
        "gp visit",
        [_by_key()],
        FREE,
        _with(OUT, k1=Entry(ANN, born=date(1961, 8, 20), practice="A1")),
        "carried",
    ),
    "moved practice": ("gp letter", [_by_key()], SHARES, _with(SHARES, k1=Entry(ANN, practice="B2")), "stays"),
    "moved practice, of no account": ("gp letter", [_by_key()], FREE, _with(k1=Entry(ANN, practice="C3")), "stays"),
    "moved to a practice that does not share": ("gp letter", [_by_key()], SHARES, AT_C3, "again"),
    "moved back": ("gp letter", [_by_key()], AT_C3, SHARES, "again"),
    "moved away": ("gp letter", [_by_key()], SHARES, _world(AT_C3, verdicts={ANN: LEFT}), "carried"),
    "left a practice, exempt": ("gp letter", [_by_key()], SHARES, EXEMPT, "again"),
    "left a practice, exempt, of others": ("gp letter", [_by_key("k2")], SHARES, EXEMPT, "stays"),
    "had left a practice, exempt, and has not": (
        "gp call",
        [_stay(ANN, practice="A1", on=AFTER_LEAVING)],
        EXEMPT,
        _world(sharing=AGREED),
        "again",
    ),
    "left a practice, exempt, of a row that is not asked for": (
        "gp call",
        [_stay(ANN, practice="A1", on="2025-12-31")],
        _world(sharing=AGREED),
        _world(sharing=AGREED, leavers={ANN: date(2025, 6, 1)}),
        "again",
    ),
    "moved to one who left": (
        "gp call",
        [_stay(CAT, practice="A1")],
        EXEMPT,
        _world(EXEMPT, replaced=frozenset({(CAT, ANN)})),
        "again",
    ),
    "practices of a period": (
        "gp letter",
        [_by_key(on="2026-02-01")],
        _with(_world(sharing=LISTED), k1=Entry(ANN, practice="A1")),
        _with(_world(sharing=LISTED), k1=Entry(ANN, practice="B2")),
        "again",
    ),
    "an agreement ended": (
        "gp letter",
        [_by_key()],
        SHARES,
        _world(sharing=Sharing({"gp": frozenset()}, frozenset())),
        "everything",
    ),
    "practices bind now": ("gp letter", [_by_key()], FREE, _world(sharing=ALL_SHARE), "everything"),
    "practices of another setting": ("acute stay", [_stay()], FREE, SHARES, "stays"),
    "another default": ("acute stay", [_stay()], FREE, OTHER, "everything"),
    "restricted codes": ("acute stay", [_stay()], FREE, _world(restricted="x"), "everything"),
    "restricted codes, no codes": ("gp letter", [_by_key()], FREE, _world(restricted="x"), "stays"),
    "opt-out, at a practice that does not share": (
        "gp visit",
        [_by_key(practice="C3")],
        SHARES,
        _world(SHARES, verdicts={ANN: NATIONAL}),
        "stays",
    ),
    "other out": ("acute stay", [_stay(BOB, mother=f"{ANN}")], FREE, OUT, "carried"),
    "other out and back": ("acute stay", [_stay(BOB, mother=f"{ANN}")], OUT, FREE, "again"),
    "other merged": ("acute stay", [_stay(CAT, mother=f"{ANN}")], FREE, MERGED, "carried"),
    "other by key out": ("gp visit", [_by_key("k2", carer="k1")], FREE, OUT, "carried"),
    "other by key back": ("acute stay", [_stay(BOB, midwife="k1")], OUT, FREE, "again"),
    "other by key known": ("acute stay", [_stay(BOB, midwife="k4")], FREE, _with(k4=Entry(CAT)), "again"),
    "other by key sensitive": (
        "acute stay",
        [_stay(BOB, midwife="k1")],
        FREE,
        _with(k1=Entry(ANN, removes="sensitive")),
        "carried",
    ),
    "other, of a row that is not there": ("acute stay", [_stay(BOB, mother=f"{ANN}", secret="1")], OUT, FREE, "stays"),
}


def test_what_was_decided_by_is_kept_sealed(tmp_path: Path) -> None:
    """Nobody but its owner may read it, no number stands in it, and what is not whole is refused."""
    Keyset.create(tmp_path / "keys.age")
    keyset = Keyset.open("age://keys.age", base=tmp_path)
    judged, folder = _world(EXEMPT, verdicts={ANN: NATIONAL}).judged(), tmp_path / "judged"
    save(judged, folder, keyset.seal)
    files = list(folder.iterdir())
    written = b"".join(path.read_bytes() for path in files)
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in files)
    assert str(ANN).encode() not in written
    assert ANN.to_bytes(8, "little") not in written
    back = load(folder, judged.who, keyset.unseal)
    assert back.policy.sharing is not None
    assert judged.policy.sharing is not None
    assert back.policy.sharing.agreed == judged.policy.sharing.agreed
    assert back.policy.sharing.leavers.equals(judged.policy.sharing.leavers)
    assert back.policy.standings["gp"].numbers.tolist() == [ANN]
    assert back.policy.standings["gp"] is back.policy.standings["acute"]
    for path in files:
        content = path.read_bytes()
        path.write_bytes(content[:-1])
        with pytest.raises(IntegrityError):
            load(folder, judged.who, keyset.unseal)
        path.write_bytes(content)


def test_whose_rows_a_part_lacks_is_kept_sealed(tmp_path: Path) -> None:
    """Nobody but its owner may read it, no key stands in it, and what is not whole is refused."""
    Keyset.create(tmp_path / "keys.age")
    keyset = Keyset.open("age://keys.age", base=tmp_path)
    lacks = made(tmp_path, "gp letter", [_by_key("k4", letter="r1")], FREE.judged()).absent
    assert lacks.select("key", "reason", "rows").rows() == [("k4", "person_unknown", 1)]
    path = tmp_path / "part.absent"
    absent.save(lacks, path, keyset.seal)
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"k4" not in path.read_bytes()
    assert absent.load(path, keyset.unseal).equals(lacks)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(IntegrityError):
        absent.load(path, keyset.unseal)


def test_what_is_said_shows_no_number() -> None:
    """Neither who is out nor whose number is whose."""
    between = Between(FREE.judged(), OUT.judged())
    found = between.reach(*TABLES["acute stay"])
    said = [between, between.before, found, *found.columns.values()]
    assert not any(str(number) in repr(each) for each in said for number in PEOPLE)


def test_where_nearly_everybody_changes_all_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made-up rows of all of them would have to be held in memory."""
    assert Between(FREE.judged(), OUT.judged()).reach(*TABLES["acute stay"]).everything is None
    monkeypatch.setattr(reach, "MOST", 0)
    assert Between(FREE.judged(), OUT.judged()).reach(*TABLES["acute stay"]).everything
    assert Between(FREE.judged(), FREE.judged()).reach(*TABLES["acute stay"]).everything is None


@pytest.mark.parametrize(
    ("lacks", "asked"),
    [(["k4"], ["k4"]), (["k1"], []), ([], []), (None, ["k4"])],
    ids=["it", "another", "none", "unread"],
)
def test_a_key_that_was_not_known_is_asked_about_where_a_part_lacks_it(
    lacks: list[str] | None, asked: list[str], tmp_path: Path
) -> None:
    """Nearly all keys of a night are in its own files alone; where it cannot be told, all are asked about."""
    rows = [_by_key(key, letter=f"r{place}") for place, key in enumerate(lacks or ())]
    world = replace(FREE, entries={})
    part = made(tmp_path, "gp letter", rows, world.judged())
    between = Between(world.judged(), replace(world, entries={"k4": Entry(CAT)}).judged())
    found = between.reach(*TABLES["gp letter"], (lambda *_: None) if lacks is None else lacked(part))
    (judged,) = found.judged.values()
    assert judged["key"].unique().to_list() == asked


@pytest.mark.parametrize("name", sorted(TABLES))
def test_where_nobody_changes_it_is_said_without_asking(name: str) -> None:
    """What would be answered about nobody, and what becomes of nobody's tokens, column by column."""
    feed, table = TABLES[name]
    between = Between(FREE.judged(), FREE.judged())
    found = between.reach(feed, table)
    assert found.nothing
    for column, changes in found.columns.items():
        asked = Asked.of(feed, table, column)
        judged = between._judged(asked, between._units(asked).drop("new"))
        assert found.judged[column].equals(judged)
        assert found.judged[column].schema == judged.schema
        made = reach._changes(asked, judged)
        for one, other in ((changes.out, made.out), (changes.moved, made.moved), (changes.gone, made.gone)):
            assert one.equals(other)
            assert one.schema == other.schema
        assert changes.doubtful.equals(made.doubtful, check_dtypes=True)


@pytest.mark.parametrize("case", CASES)
def test_what_a_change_does_to_a_part(case: str, tmp_path: Path) -> None:
    """It is the part of a run over the extract, and the extract is not read without need."""
    name, rows, before, after, happens = CASES[case]
    key = TABLES[name][1].primary_key[0]
    rows = [row if key == "patient" else {**row, key: f"r{place}"} for place, row in enumerate(rows)]
    (tmp_path / "again").mkdir()
    old = made(tmp_path, name, rows, before.judged())
    save(before.judged(), tmp_path / "judged", bytes)
    between = Between(load(tmp_path / "judged", before.judged().who, bytes), after.judged())
    new = night(old, name, rows, between)
    compare(new, made(tmp_path / "again", name, rows, after.judged()))
    found = "everything" if between.reach(*TABLES[name]).everything else _happened(old, new)
    assert found == happens


# The worlds of some nights, and what happens to the part in each of them but the first.
CHAINS: dict[str, tuple[str, list[dict[str, Any]], list[World], list[str]]] = {
    "out and back": ("acute stay", [_stay(), _stay(BOB)], [FREE, OUT, FREE], ["carried", "again"]),
    "out and back, of others": ("acute stay", [_stay(BOB)], [FREE, OUT, FREE], ["stays", "stays"]),
    "out, for another reason": ("acute stay", [_stay(), _stay(BOB)], [FREE, OUT, BOTH], ["carried", "again"]),
    "counted otherwise, and back": ("acute stay", [_stay()], [OUT, BOTH, FREE], ["recounted", "again"]),
    "counted otherwise, twice": ("acute stay", [_stay()], [OUT, BOTH, OUT], ["recounted", "recounted"]),
    "merged, out and back": (
        "acute stay",
        [_stay(), _stay(CAT)],
        [FREE, MERGED, _world(MERGED, verdicts={BOB: NATIONAL}), MERGED],
        ["carried", "carried", "again"],
    ),
    "merged, and undone": ("acute stay", [_stay(), _stay(CAT)], [FREE, MERGED, FREE], ["carried", "again"]),
    "out by key, and corrected": (
        "gp letter",
        [_by_key()],
        [FREE, OUT, _with(OUT, k1=Entry(CAT))],
        ["carried", "again"],
    ),
    "sensitive by key, and back": (
        "gp letter",
        [_by_key()],
        [FREE, _with(k1=Entry(ANN, born=BORN, practice="A1", removes="sensitive")), FREE],
        ["carried", "again"],
    ),
    "other out, and back": ("acute stay", [_stay(BOB, mother=f"{ANN}")], [FREE, OUT, FREE], ["carried", "again"]),
    "other by key out, and back": ("acute stay", [_stay(BOB, midwife="k1")], [FREE, OUT, FREE], ["carried", "again"]),
    "moved away, and back": (
        "gp letter",
        [_by_key()],
        [SHARES, _world(AT_C3, verdicts={ANN: LEFT}), SHARES],
        ["carried", "again"],
    ),
}


@pytest.mark.parametrize("case", CHAINS)
def test_what_some_nights_do_to_a_part(case: str, tmp_path: Path) -> None:
    """Whoever went comes back, and only then is the extract read again."""
    name, rows, worlds, expected = CHAINS[case]
    rows = [{**row, TABLES[name][1].primary_key[0]: f"r{place}"} for place, row in enumerate(rows)]
    (tmp_path / "again").mkdir()
    state, happened = made(tmp_path, name, rows, worlds[0].judged()), []
    for before, after in pairwise(worlds):
        new = night(state, name, rows, Between(before.judged(), after.judged()))
        compare(new, made(tmp_path / "again", name, rows, after.judged()))
        happened.append(_happened(state, new))
        state = new
    assert happened == expected


def _happened(old: State, new: State) -> str:
    if new.again:
        return "again"
    if new.part.digest != old.part.digest:
        return "carried"
    return "stays" if new.part == old.part else "recounted"
