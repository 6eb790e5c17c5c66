"""The ledger of released counts: what it refuses, and that it forgets nothing."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkage.disclosure import POLICIES, Asked, Entry, Ledger, Release, count_people
from linkage.disclosure.groups import Groups
from linkage.disclosure.tables import decide
from linkage.errors import IntegrityError, PolicyError

HES = POLICIES["hes"]
NOW = datetime(2026, 11, 24, tzinfo=UTC)


def _people(groups: dict[str, range]) -> pl.DataFrame:
    rows = [(person.to_bytes(16, "big"), name) for name, people in groups.items() for person in people]
    return pl.DataFrame(rows, schema={"token": pl.Binary, "sex": pl.String}, orient="row")


def _release(people: pl.DataFrame) -> Release:
    return decide(Groups.of(count_people(people, ["sex"]), ["sex"], "count", {}), HES)


def _admit(ledger: Ledger, people: pl.DataFrame, purpose: str = "planning", tokens: str = "ics:qxx 00") -> Release:
    release = _release(people)
    entry = Entry.of(release, Asked("q", purpose, "s", tokens), NOW)
    ledger.admit(entry, release, people)
    return release


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """One with room for a few answers."""
    return Ledger(tmp_path / "ledger", budget=5)


@pytest.mark.parametrize("joined", [1, 7])
def test_a_cohort_that_differs_by_few_is_refused(ledger: Ledger, joined: int) -> None:
    """Across snapshots: the same question a night later, when a few people have joined."""
    _admit(ledger, _people({"f": range(100)}))
    with pytest.raises(PolicyError, match="subtracting"):
        _admit(ledger, _people({"f": range(100 + joined)}))
    assert len(list(ledger.entries())) == 1


def test_the_same_people_or_enough_others_are_not(ledger: Ledger) -> None:
    """Nobody is singled out by a difference of nobody."""
    _admit(ledger, _people({"f": range(100)}))
    _admit(ledger, _people({"f": range(100)}))
    _admit(ledger, _people({"f": range(108)}))
    assert [path.name for path, _ in ledger.entries()] == ["000000", "000001", "000002"]


def test_as_many_people_are_not_the_same_people(ledger: Ledger) -> None:
    """Two left and two came: the counts are equal, and their difference is of four."""
    _admit(ledger, _people({"f": range(100)}))
    with pytest.raises(PolicyError):
        _admit(ledger, _people({"f": range(2, 102)}))
    _admit(ledger, _people({"f": range(1000, 1100)}))


def test_a_total_counts_as_well(ledger: Ledger) -> None:
    """Of another cut of the same people: only the totals are near."""
    _admit(ledger, _people({"f": range(50), "m": range(50, 100)}))
    with pytest.raises(PolicyError):
        _admit(ledger, _people({"i": range(20), "f": range(20, 103)}))


def test_what_was_withheld_then_is_not_counted(ledger: Ledger) -> None:
    """There is nothing to subtract it from."""
    _admit(ledger, _people({"f": range(5), "m": range(50, 100)}))
    _admit(ledger, _people({"f": range(20), "m": range(200, 300)}))
    assert len(list(ledger.entries())) == 2


def test_a_budget_ends(ledger: Ledger) -> None:
    """Each purpose has its own."""
    for _ in range(5):
        _admit(ledger, _people({"f": range(100)}))
    with pytest.raises(PolicyError, match="has had its 5 answers and refusals"):
        _admit(ledger, _people({"f": range(100)}))
    _admit(ledger, _people({"f": range(100)}), purpose="research")


def test_answers_under_another_key_are_not_passed_over(ledger: Ledger) -> None:
    """Who was counted then cannot be told by the tokens of now."""
    _admit(ledger, _people({"f": range(100)}))
    with pytest.raises(PolicyError, match="another domain or key"):
        _admit(ledger, _people({"f": range(100)}), tokens="ics:qxx 01")


def test_people_who_are_counted_twice_are_refused(ledger: Ledger) -> None:
    """The people and the counts are of one release."""
    people = _people({"f": range(100)})
    with pytest.raises(PolicyError, match="in several"):
        ledger.admit(
            Entry.of(_release(people), Asked("q", "p", "s", "k"), NOW), _release(people), people.vstack(people)
        )


def test_trying_costs_as_much_as_an_answer(ledger: Ledger) -> None:
    """Whoever asks often enough what is not answered would learn from that."""
    _admit(ledger, _people({"f": range(100)}))
    for number in (101, 102, 103, 104):
        with pytest.raises(PolicyError, match="subtracting"):
            _admit(ledger, _people({"f": range(number)}))
    with pytest.raises(PolicyError, match="answers and refusals"):
        _admit(ledger, _people({"f": range(100)}))
    _admit(ledger, _people({"f": range(100)}), purpose="research")
    next(iter((ledger.folder / "refused").iterdir())).write_text("{}")
    with pytest.raises(IntegrityError, match="refusal"):
        _admit(ledger, _people({"f": range(100)}), purpose="research")


def test_what_is_kept_is_for_its_owner(ledger: Ledger) -> None:
    """It holds tokens."""
    _admit(ledger, _people({"f": range(100)}))
    assert {path.stat().st_mode & 0o777 for path in ledger.folder.rglob("*")} == {0o700, 0o600}


@pytest.mark.parametrize("harm", ["entry", "people", "gone"])
def test_a_damaged_ledger_refuses(ledger: Ledger, harm: str) -> None:
    """An entry that cannot be read could be the one that matters."""
    _admit(ledger, _people({"f": range(100)}))
    _admit(ledger, _people({"f": range(100)}))
    if harm == "entry":
        (ledger.folder / "000000" / "entry.json").write_text("{", encoding="utf-8")
    elif harm == "people":
        (ledger.folder / "000000" / "people.parquet").unlink()
    else:
        shutil.rmtree(ledger.folder / "000000")
    with pytest.raises(IntegrityError):
        _admit(ledger, _people({"f": range(1000)}))


def test_people_that_cannot_be_read_refuse(ledger: Ledger) -> None:
    """And nothing is spent: it is no answer to the asker."""
    _admit(ledger, _people({"f": range(100)}))
    (ledger.folder / "000000" / "people.parquet").write_bytes(b"no table")
    with pytest.raises(IntegrityError, match="missing or damaged"):
        _admit(ledger, _people({"f": range(103)}))
    assert not (ledger.folder / "refused").exists()


def test_a_half_entry_is_none(ledger: Ledger) -> None:
    """What a crash left is put aside and made again."""
    (ledger.folder / ".000000").mkdir(parents=True)
    (ledger.folder / ".000000" / "people.parquet").write_bytes(b"half")
    _admit(ledger, _people({"f": range(100)}))
    assert [path.name for path in ledger.folder.iterdir()] == ["000000"]


GROUPS = st.tuples(st.integers(0, 30), st.integers(0, 60), st.integers(0, 30), st.integers(0, 60))


@given(GROUPS, GROUPS)
def test_no_pair_of_released_counts_singles_few_out(
    tmp_path_factory: pytest.TempPathFactory, first: tuple[int, ...], second: tuple[int, ...]
) -> None:
    """Against plain sets of people: a pair is admitted exactly where no two of its shown groups differ by few."""
    ledger = Ledger(tmp_path_factory.mktemp("ledger"), budget=9)
    worlds = [_people({"f": range(a, a + b), "m": range(200 + c, 200 + c + d)}) for a, b, c, d in (first, second)]
    worlds = [each for each in worlds if each.height]
    shown: list[list[frozenset[bytes]]] = []
    for people in worlds:
        release = _release(people)
        sets = [
            frozenset(people.filter((pl.col("sex") == label) | pl.lit(label == "(all)"))["token"])
            for (label,), kept in zip(release.groups.labels, release.shown, strict=True)
            if kept
        ]
        near = any(0 < len(a ^ b) < 8 for before in shown for a, b in product(sets, before))
        if near:
            with pytest.raises(PolicyError):
                _admit(ledger, people)
        else:
            _admit(ledger, people)
            shown.append(sets)
