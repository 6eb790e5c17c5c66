"""The roster: what it says of a key is what a plain reading of all deliveries says, however they come; and it is kept whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage.errors import IntegrityError
from linkage.sources import roster_files as rosters
from linkage.sources import roster_merge
from linkage.sources.resolve import People, people
from linkage.sources.roster import Roster
from linkage.sources.roster_tables import CLAIMS, ENTRIES, REGISTRATIONS, SUPERSEDED

_Row = dict[str, Any]


@pytest.fixture(autouse=True, scope="module")
def short_stretches() -> Iterator[None]:
    """Rows that stand together are few, so that some stretches change and others do not."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(roster_merge, "_STRETCH", 2)
        yield


_NAMES, _KEYS = ("ward.patient", "clinic.patient"), ("1", "2", "3")


def _at(day: int) -> datetime:
    return datetime(2026, 11, day)


@st.composite
def _rows(draw: st.DrawFn) -> _Row:
    number = draw(st.sampled_from([None, None, 9_434_765_919, 9_434_765_870]))
    return {
        "namespace": draw(st.sampled_from(_NAMES)),
        "key": draw(st.sampled_from(_KEYS)),
        "number": number,
        "reason": None if number else draw(st.sampled_from(["number_missing", "number_malformed"])),
        "birth_date": draw(st.sampled_from([None, date(1960, 1, 1), date(1970, 1, 1)])),
        "practice": draw(st.sampled_from([None, "Z99001", "Z99002"])),
        "removes": draw(st.sampled_from([None, None, "deleted", "sensitive"])),
        "whole_person": draw(st.booleans()),
        "delivered": _at(draw(st.integers(1, 4))),
    }


def _frame(rows: Sequence[_Row], schema: pl.Schema) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=schema, orient="row") if rows else schema.to_frame()


def _last(rows: Sequence[_Row], name: str) -> object:
    said = [row[name] for row in rows if row[name] is not None]
    return said[-1] if said else None


def _plainly(rows: Sequence[_Row]) -> tuple[_Row, set[tuple[int, datetime]]]:
    """The entry of one key, and the numbers that it had last where it has none."""
    newest = [row for row in rows if row["delivered"] == max(each["delivered"] for each in rows)]
    numbers = {row["number"] for row in newest} - {None}
    entry = {name: newest[0][name] for name in ("namespace", "key", "delivered")}
    entry |= {name: _last(newest, name) for name in ("birth_date", "practice", "removes")}
    entry["number"] = next(iter(numbers)) if len(numbers) == 1 else None
    entry["reason"] = "person_ambiguous" if len(numbers) > 1 else None if numbers else _last(newest, "reason")
    entry["whole_person"] = any(row["whole_person"] for row in newest)
    numbered = [row for row in rows if row["number"] is not None]
    had = [row for row in numbered if row["delivered"] == max(each["delivered"] for each in numbered)]
    if entry["removes"] == "deleted" and entry["number"] is None and had:
        distinct = {row["number"] for row in had}
        entry["number"] = next(iter(distinct)) if len(distinct) == 1 else None
        entry["reason"] = None if entry["number"] else entry["reason"]
        entry["whole_person"] |= any(row["whole_person"] for row in had)
    lost = {(row["number"], row["delivered"]) for row in had} if entry["number"] is None else set()
    return entry, lost


def _said(frame: pl.DataFrame) -> set[tuple[object, ...]]:
    return set(frame.with_columns(pl.col(pl.Categorical).cast(pl.String)).iter_rows())


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(_rows(), max_size=14), cuts=st.lists(st.integers(0, 14), max_size=3))
def test_entries_and_claims_are_those_of_a_plain_reading(rows: list[_Row], cuts: list[int]) -> None:
    """One delivery after the other, cut into files anywhere."""
    rows = sorted(rows, key=lambda row: row["delivered"])
    edges = [0, *sorted(cuts), len(rows)]
    files = [_frame(rows[start:stop], ENTRIES) for start, stop in pairwise(edges)]
    roster = Roster.empty().with_entries(files)
    expected = [
        _plainly([row for row in rows if (row["namespace"], row["key"]) == each])
        for each in sorted({(row["namespace"], row["key"]) for row in rows})
    ]
    entries, claims = set(), set()
    for entry, lost in expected:
        entries.add(tuple(entry[name] for name in ENTRIES))
        claims |= {(entry["namespace"], entry["key"], number, delivered) for number, delivered in lost}
    assert _said(roster.entries.select(ENTRIES.names())) == entries
    assert roster.entries.height == len(entries)
    assert _said(roster.claims.select(CLAIMS.names())) == claims


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(_rows(), max_size=12))
def test_a_later_delivery_may_be_taken_by_a_later_run(rows: list[_Row]) -> None:
    """What is known of keys that are not spoken of stays as it is, and an entry stands for all that was said before."""
    for row in rows:
        row["delivered"] = _at(1 if row["delivered"] < _at(3) else 3)
        row["removes"] = None
    first, second = (_frame([row for row in rows if row["delivered"] == _at(day)], ENTRIES) for day in (1, 3))
    at_once = Roster.empty().with_entries([first, second])
    in_turn = Roster.empty().with_entries([first]).with_entries([second])
    assert _said(in_turn.entries) == _said(at_once.entries)
    known = _said(at_once.entries.filter(pl.col("delivered") == _at(1)))
    assert known <= _said(Roster.empty().with_entries([first]).entries)


_REPLACED = st.lists(st.tuples(st.sampled_from([9_434_765_919, 9_434_765_870]), st.just(9_434_765_838)), max_size=1)


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(_rows(), max_size=10), news=st.lists(_rows(), max_size=5), old=_REPLACED, new=_REPLACED)
def test_whatever_differs_since_an_earlier_roster_is_found_among_few_keys(
    rows: list[_Row], news: list[_Row], old: list[tuple[int, int]], new: list[tuple[int, int]]
) -> None:
    """Whether it is known of which keys something was said, or not."""

    def replaced(pairs: list[tuple[int, int]]) -> pl.DataFrame:
        return pl.DataFrame([(*each, _at(1)) for each in pairs], schema=SUPERSEDED, orient="row")

    known = Roster.empty().with_entries([_frame(rows, ENTRIES)]).with_superseded([replaced(old)])
    roster = known.with_entries([_frame(news, ENTRIES)]).with_superseded([replaced(new)])
    before, after = (people(each, allow_test=True) for each in (known, roster))
    for namespace in _NAMES:
        full = _said(before.known(namespace)) ^ _said(after.known(namespace))
        for now in (after, People(after.entries, after.current), people(replace(roster, told=None), allow_test=True)):
            was, is_now = (_said(each) for each in now.since(before, namespace))
            assert was ^ is_now == full


_REGISTERED = st.fixed_dictionaries(
    {
        "feed": st.just("pds"),
        "namespace": st.sampled_from(_NAMES),
        "key": st.sampled_from(_KEYS),
        "practice": st.sampled_from([None, "Z99001", "Z99002"]),
        "start": st.sampled_from([None, date(2020, 1, 1), date(2021, 1, 1)]),
        "end": st.sampled_from([None, date(2022, 1, 1)]),
        "deleted": st.booleans(),
        "delivered": st.integers(1, 3).map(_at),
    }
)


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(_REGISTERED, max_size=12))
def test_registrations_are_those_of_the_latest_delivery(rows: list[_Row]) -> None:
    """Of each that began with one practice on one day; taken in one run or in a run for each delivery."""
    by = ("feed", "namespace", "key", "practice", "start")
    newest: dict[tuple[object, ...], datetime] = {}
    for row in rows:
        which = tuple(row[name] for name in by)
        newest[which] = max(newest.get(which, row["delivered"]), row["delivered"])
    expected = {
        tuple(row[name] for name in REGISTRATIONS)
        for row in rows
        if row["delivered"] == newest[tuple(row[name] for name in by)]
    }
    files = [_frame([row for row in rows if row["delivered"] == _at(day)], REGISTRATIONS) for day in (1, 2, 3)]
    at_once, in_turn = Roster.empty().with_registrations(files), Roster.empty()
    for each in files:
        in_turn = in_turn.with_registrations([each])
    for roster in (at_once, in_turn):
        assert _said(roster.registrations) == expected
        assert roster.registrations.height == len(expected)


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A roster of few rows is kept in several pieces."""
    monkeypatch.setattr(rosters, "_ROWS", 2)


def _some() -> Roster:
    rows = [
        dict.fromkeys(ENTRIES)
        | {"namespace": "ward.patient", "key": str(key), "whole_person": False, "delivered": _at(1)}
        for key in range(5)
    ]
    return Roster.empty().with_entries([_frame(rows, ENTRIES)])


def test_a_roster_is_read_as_it_was_kept(tmp_path: Path) -> None:
    """In one piece."""
    rosters.save(_some(), tmp_path / "roster", _same)
    assert {path.name for path in (tmp_path / "roster").iterdir()} >= {"entries.arrow.age", "claims.arrow.age"}
    assert rosters.load(tmp_path / "roster", _same).entries.equals(_some().entries)


def test_registrations_of_which_nothing_was_said_are_not_written_again(tmp_path: Path) -> None:
    """A roster of the next night has the same sealed file; one that heard of a registration has its own."""
    rows = [
        dict.fromkeys(REGISTRATIONS) | {"feed": "gp", "namespace": "gp.patient", "key": str(key)} for key in range(3)
    ]
    told = _frame([row | {"deleted": False, "delivered": _at(1)} for row in rows], REGISTRATIONS)
    rosters.save(_some().with_registrations([told.head(2)]), tmp_path / "first", _same)
    known = rosters.load(tmp_path / "first", _same)
    rosters.save(known.with_registrations([]).with_registrations([told.clear()]), tmp_path / "same", _same)
    rosters.save(known.with_registrations([told.tail(1)]), tmp_path / "other", _same)
    first, same, other = (tmp_path / name / "registrations.arrow.age" for name in ("first", "same", "other"))
    assert same.samefile(first)
    assert not other.samefile(first)
    assert same.stat().st_mode & 0o777 == 0o600
    for name, count in (("same", 2), ("other", 3)):
        assert rosters.load(tmp_path / name, _same).registrations.height == count


def test_a_roster_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    """It holds all its words as text."""
    rosters.save(_some(), tmp_path / "roster", _same)
    _some().entries.cast(ENTRIES).write_ipc(tmp_path / "roster" / "entries.arrow.age")
    assert rosters.load(tmp_path / "roster", _same).entries.equals(_some().entries)


def test_a_roster_of_other_columns_is_damaged(tmp_path: Path) -> None:
    """Nothing is guessed of what is not there."""
    rosters.save(_some(), tmp_path / "roster", _same)
    _some().entries.drop("practice").write_ipc(tmp_path / "roster" / "entries.arrow.age")
    with pytest.raises(IntegrityError, match="damaged"):
        rosters.load(tmp_path / "roster", _same)


@pytest.mark.usefixtures("small_pieces")
def test_a_long_roster_is_kept_in_pieces(tmp_path: Path) -> None:
    """Each is sealed alone, and is read in its place."""
    rosters.save(_some(), tmp_path / "roster", _same)
    found = sorted(path.name for path in (tmp_path / "roster").glob("entries.*"))
    assert found == [f"entries.{place}-of-3.arrow.age" for place in (1, 2, 3)]
    assert rosters.load(tmp_path / "roster", _same).entries.equals(_some().entries)


def test_only_what_changed_is_copied() -> None:
    """What a night says nothing of is held once by the roster before it and the one after, column by column."""
    before = _some()
    again = before.entries.filter(pl.col("key") == "3").with_columns(pl.col("delivered").dt.offset_by("1d"))
    after = before.with_entries([again])
    assert after.entries["delivered"].to_list() == [_at(2) if place == 3 else _at(1) for place in range(5)]
    for name, changes in (("delivered", True), ("namespace", False)):
        held = [each.entries[name].head(5).to_physical().to_numpy() for each in (before, after)]
        addresses = [each.__array_interface__["data"][0] for each in held]
        assert (addresses[0] == addresses[1]) != changes


def test_entries_keep_their_places_whatever_they_are_held_in() -> None:
    """Of several pieces some have rows that change, at their edges too; keys that are new come last."""
    pieces = pl.concat([_some().entries.slice(0, 2), _some().entries.slice(2, 1), _some().entries.slice(3)])
    before = replace(_some(), entries=pieces)
    for changed in ("0", "1", "2", "3", "4", "01", "12", "024", "01234"):
        rows = [
            {**row, "number": 9_434_765_919} for row in before.entries.iter_rows(named=True) if row["key"] in changed
        ]
        new = {**rows[0], "key": "5"}
        found = before.with_entries([_frame([new, *rows[::-1]], ENTRIES)]).entries
        assert found["key"].to_list() == ["0", "1", "2", "3", "4", "5"]
        numbers = [9_434_765_919 if key in changed or key == "5" else None for key in found["key"]]
        assert found["number"].to_list() == numbers


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(b"")], ids=["gone", "empty"])
@pytest.mark.parametrize("place", [1, 2, 3])
def test_a_missing_piece_is_noticed(tmp_path: Path, place: int, spoil: Callable[[Path], object]) -> None:
    """Whichever it is: without it some people would be unknown."""
    rosters.save(_some(), tmp_path / "roster", _same)
    assert rosters.is_whole(tmp_path / "roster")
    spoil(tmp_path / "roster" / f"entries.{place}-of-3.arrow.age")
    with pytest.raises(IntegrityError, match="missing a part"):
        rosters.load(tmp_path / "roster", _same)
    assert rosters.is_whole(tmp_path / "roster") == (spoil is not Path.unlink)


def _same(data: bytes) -> bytes:
    return data
