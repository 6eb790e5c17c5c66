"""A purpose that covers some people only: who grows older, moves or is covered since is in both ways, or in neither."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from equality import run_both
from evolving import ALWAYS, PEOPLE, Evolving

DAY = 24 * 60
FEEDS = ("gp", "acute")


def patient(place: int, practice: str, born: str) -> str:
    return f"p{place},{PEOPLE[place]},{practice},2020-01-01,,{born},1,false,false,false"


def deliver(ics: Evolving, feed: str, table: str, *rows: str) -> None:
    ics.write(ics.new_path(feed, table, ics.last_day), rows)


def everybody(ics: Evolving) -> None:
    """Five patients of two practices, each with a spell and an observation; two are 75 until 8 December."""
    born = ("1950-12-08", "1950-12-08", "1980-01-01", "2015-06-01", "1949-01-01")
    deliver(ics, "gp", "patient", *(patient(at, f"Z9900{1 + at % 2}", day) for at, day in enumerate(born)))
    rows = [f"s{at + 1},{PEOPLE[at]},,{born[at]},Z99001,2026-05-01,,RX1,1,,false" for at in range(5)]
    deliver(ics, "acute", "spell", *rows)
    deliver(ics, "gp", "observation", *(f"o{at + 1},p{at},Z99001,2026-05-02,10,1,false,false" for at in range(5)))


def a_birthday(ics: Evolving) -> None:
    ics.minutes += 14 * DAY
    ics.write_registers()
    deliver(ics, "gp", "agreement", *ALWAYS["gp"]["agreement"])


def another_practice(ics: Evolving) -> None:
    deliver(ics, "gp", "patient", patient(0, "Z99002", "1950-12-08"))


def another_birth_date(ics: Evolving) -> None:
    deliver(ics, "gp", "patient", patient(2, "Z99001", "1948-12-08"))


def a_new_patient(ics: Evolving) -> None:
    deliver(ics, "gp", "patient", patient(5, "Z99001", "1951-01-01"))
    deliver(ics, "acute", "spell", f"s9,{PEOPLE[5]},,1951-01-01,Z99001,2026-05-03,,RX1,1,,false")


def wider(ics: Evolving) -> None:
    ics.rules.covers = "min_age = 18"
    ics.write_rules()


def everybody_again(ics: Evolving) -> None:
    ics.rules.covers = ""
    ics.write_rules()


THINGS = (a_birthday, another_practice, another_birth_date, a_new_patient, wider, everybody_again)
COVERS = ("max_age = 75", "min_age = 76", 'practices = ["Z99001"]', 'practices = ["Z99001"]\nmin_age = 18')


@pytest.mark.slow
@pytest.mark.parametrize("covers", COVERS)
def test_what_changes_whom_it_covers(covers: str, tmp_path: Path) -> None:
    """One thing after another, each held against a run from everything."""
    ics = Evolving(tmp_path / "ics", FEEDS)
    ics.rules.covers = covers
    ics.write_rules()
    things: tuple[Callable[[Evolving], None], ...] = (everybody, *THINGS)
    for thing in things:
        thing(ics)
        assert run_both(ics) == "", thing.__name__
