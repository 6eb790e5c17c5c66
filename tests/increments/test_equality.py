"""The comparison is not blind: what it should find it finds."""

from __future__ import annotations

from pathlib import Path

import pytest
from equality import Unequal, compare, run, run_both
from evolving import NOBODY, PEOPLE, Evolving
from killed import Killed, counting

from linkage.store.layout import Store

SPELL = f"s1,{PEOPLE[0]},{PEOPLE[1]},1950-05-02,Z99001,2026-05-01,,RX1,1,,false"


@pytest.fixture
def ics(tmp_path: Path) -> Evolving:
    """One feed, after a night."""
    ics = Evolving(tmp_path / "ics", ("acute",))
    assert run_both(ics) == ""
    return ics


def test_a_delivery_that_one_of_both_did_not_take_is_found(ics: Evolving) -> None:
    """In the tables, and by its file in the account."""
    ics.write("acute/spell_20261102.csv", [SPELL])
    assert run(ics, whole=True) == ""
    with pytest.raises(Unequal, match="acute_spell"):
        compare(ics)


def test_somebody_who_is_out_is_found(ics: Evolving) -> None:
    """Also as the mother in somebody else's row."""
    ics.write("acute/spell_20261102.csv", [SPELL])
    assert run_both(ics) == ""
    for person in (NOBODY, PEOPLE[0], PEOPLE[1]):
        ics.objecting = {person}
        with pytest.raises(Unequal, match="people who are out"):
            compare(ics)


def test_a_refusal_of_one_alone_is_found(ics: Evolving) -> None:
    """Whatever the reason."""
    ics.configurations[0].write_text(ics.configurations[0].read_text().replace("max_invalid = 1.0", "min_rows = 50"))
    with pytest.raises(Unequal, match="min_rows"):
        run_both(ics)


def test_what_a_killed_run_leaves_stays_until_the_next(ics: Evolving) -> None:
    """A dead process does not clean up; the next run does, and publishes."""
    store = Store(ics.folder / "adding" / "store")
    before = store.current()
    with counting() as calls:
        run(ics, whole=False)
    published = store.current()
    assert published != before
    ics.minutes += 1
    with pytest.raises(Killed), counting(calls[0] * 2 // 3):
        run(ics, whole=False)
    assert list(store.path.glob(".staging-*"))
    assert store.current() == published
    assert run_both(ics) == ""
    assert not list(store.path.glob(".staging-*"))
