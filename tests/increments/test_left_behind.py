"""What no longer stands in a source does not go on counting because an earlier run read it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import duckdb
import pytest
from equality import run_both
from evolving import PEOPLE, Evolving

from linkage.sources import seen

P = PEOPLE


class WithDatabase(Evolving):
    """The sharing agreements of the GP feed stand in a database, all else in files."""

    def _flow(self, feed: str) -> str:
        return super()._flow(feed) + '[flows.database]\nduckdb = "w.duckdb"\ntables = { agreement = "agreement" }\n'


def _agree(ics: Evolving, practices: Iterable[str]) -> None:
    """The database as it was changed an hour ago by the ICS's clock: that is when its tables were delivered."""
    path = ics.folder / "w.duckdb"
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE agreement (Practice VARCHAR, Active VARCHAR)")
        connection.executemany("INSERT INTO agreement VALUES (?, 'true')", [[each] for each in practices])
    changed = ics.now.timestamp() - 3600
    os.utime(path, (changed, changed))


def test_an_agreement_that_is_no_longer_in_the_database_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing says so but that its row is not there; and one that comes back counts again."""
    monkeypatch.setattr(seen, "SETTLED", -(10**18))
    ics = WithDatabase(tmp_path / "ics", ("gp",))
    ics.write(
        ics.new_path("gp", "patient"),
        [f"p{at},{P[at]},Z9900{at},2020-01-01,,1950-05-02,1,false,false,false" for at in (1, 2)],
    )
    for practices in (("Z99001", "Z99002", "Z99009"), ("Z99002", "Z99009"), ("Z99001", "Z99009")):
        _agree(ics, practices)
        assert run_both(ics) == ""


def test_people_of_a_submission_that_did_not_count_are_heard_of_when_its_list_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a list every submission counts, also for the roster, and with one again only those on it."""
    monkeypatch.setattr(seen, "SETTLED", -(10**18))
    ics = Evolving(tmp_path / "ics", ("community",))
    ics.write(ics.new_path("community", "patient"), [f"c1,{P[1]},1950-05-02,A,RZ1,May,u1,2026-06-01"])
    ics.write(ics.new_path("community", "contact"), ["k1,c1,RZ1,May,u1,2026-06-01,2026-05-01"])
    listing = ics.new_path("community", "active")
    for step in (lambda: ics.write(listing, ["always"]), lambda: ics.remove(listing)) * 2:
        step()
        assert run_both(ics) == ""
