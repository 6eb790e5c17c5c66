"""A whole run on a small ICS: what is published, what is accounted for, and what stays untouched."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from small import ALLOWED, NOW, SmallIcs

import linkage
from linkage import hide, pipeline, site
from linkage.contract import Feed, Table
from linkage.errors import InputError, IntegrityError, KeyUnavailableError, TemporaryError
from linkage.pipeline import RunReport
from linkage.pseudonymise import Keyset
from linkage.sources.inspect import Extract
from linkage.store import publish
from linkage.store.layout import Store
from linkage.store.lock import hold
from linkage.store.manifest import ExactBalance, check_balance
from linkage.store.open import open_store

Published = tuple[SmallIcs, RunReport]


def test_every_row_is_accounted_for(published: Published) -> None:
    """In = out + removed, by reason."""
    _, report = published
    assert report.read == 10
    assert report.tables["sus_op_appointment"] == 4
    assert report.removed == {
        "national_not_asked": 1,
        "national_opt_out": 1,
        "number_blocked": 1,
        "number_check_digit": 1,
        "number_malformed": 1,
        "number_missing": 1,
    }


def test_the_person_is_the_token_of_the_number(published: Published) -> None:
    """Rows of one person link however the number was written, and to the token of that number alone."""
    ics, _ = published
    keyset = linkage.Keyset.open("age://keys.age", base=ics.folder)
    import polars as pl

    token = keyset.pseudonymiser("ics:test").tokenise(pl.Series([ALLOWED]))[0][0]
    with open_store(ics.store) as connection:
        people = connection.execute("SELECT token, sources FROM person").fetchall()
        events = connection.execute("SELECT DISTINCT token FROM event").fetchall()
    assert [person.bytes for person, _ in people] == [token]
    assert [event.bytes for (event,) in events] == [token]


def test_ages_are_completed_years(published: Published) -> None:
    """The birthday is the day after the appointment."""
    ics, _ = published
    with open_store(ics.store) as connection:
        assert connection.execute("SELECT DISTINCT age FROM event").fetchall() == [(75,)]


def test_analysts_reach_nothing_but_the_snapshot(published: Published) -> None:
    """No file, no extension, no way to change that."""
    ics, _ = published
    with open_store(ics.store) as connection:
        for statement in (
            "SELECT * FROM read_text('/etc/passwd')",
            "SET enable_external_access = true",
            "CREATE TABLE t (a INT)",
        ):
            with pytest.raises(duckdb.Error):
                connection.execute(statement)


def test_the_analysts_manifest_suppresses_what_the_pipelines_states(published: Published) -> None:
    """Seven and fewer are not shown; the exact account is elsewhere."""
    ics, report = published
    assert report.snapshot is not None
    shown = json.loads((report.snapshot / "manifest.json").read_text())
    exact = json.loads((ics.folder / "private" / "runs" / f"{report.run_id}.json").read_text())
    assert shown["balance"][0]["removed"]["number_missing"] is None
    assert exact["balance"][0]["removed"]["number_missing"] == 1


def test_check_publishes_nothing(small_ics: SmallIcs) -> None:
    """`check` reports what a run would publish and leaves no snapshot and no working files."""
    report = pipeline.check(small_ics.configuration, now=NOW)
    assert report.tables["sus_op_appointment"] == 4
    assert small_ics.current() is None
    assert list(small_ics.store.glob("snapshots/*")) == list(small_ics.store.glob(".staging-*")) == []


def test_what_cannot_be_cleared_away_is_told(
    small_ics: SmallIcs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run published all the same, and the next one removes what was left."""
    with monkeypatch.context() as patched:

        def failing(folder: Path) -> None:
            raise OSError(errno.EIO, "failed", str(folder))

        patched.setattr(publish, "remove", failing)
        report = small_ics.run()
    (left,) = small_ics.store.glob(".staging-*")
    assert f"warning: {left} could not be removed" in capsys.readouterr().err
    assert small_ics.current() == report.run_id
    small_ics.run()
    assert not [*small_ics.store.glob(".staging-*")]
    assert "could not be removed" not in capsys.readouterr().err


def test_runs_over_the_same_extracts_agree(published: Published) -> None:
    """Same input, same rows in the same order, and same Parquet bytes."""
    ics, first = published
    second = ics.run()
    assert first.snapshot is not None
    assert second.snapshot is not None
    assert ics.current() == second.run_id
    files = [path.relative_to(first.snapshot) for path in first.snapshot.rglob("*.parquet")]
    assert files
    assert all((first.snapshot / file).read_bytes() == (second.snapshot / file).read_bytes() for file in files)


def test_a_second_run_at_the_same_time_is_refused(published: Published) -> None:
    """One run at a time, and the message names who holds the store."""
    ics, first = published
    with hold(Store(ics.store)), pytest.raises(TemporaryError, match="another run holds the store"):
        ics.run()
    assert ics.current() == first.run_id


def test_unaccounted_rows_do_not_publish() -> None:
    """A balance that does not add up raises."""
    with pytest.raises(IntegrityError, match="sus_op appointment"):
        check_balance((ExactBalance(feed="sus_op", table="appointment", read=3, published=1, removed={"deleted": 1}),))


def test_a_keyset_under_a_passphrase_is_asked_for_it_once(small_ics: SmallIcs) -> None:
    """By whatever asks; without anything to ask, the run is refused."""
    (small_ics.folder / "keys.age").unlink()
    Keyset.create(small_ics.folder / "keys.age", passphrase="correct horse")
    with pytest.raises(KeyUnavailableError, match="passphrase"):
        small_ics.run()
    asked: list[bool] = []

    def ask() -> str:
        asked.append(True)
        return "correct horse"

    pipeline.run(small_ics.configuration, now=NOW, passphrase=ask)
    assert asked == [True]


def test_a_snapshot_removed_by_hand_does_not_cost_the_roster(published: Published) -> None:
    """Everything else about it is still there, and the next run goes on from it."""
    ics, report = published
    assert report.snapshot is not None
    shutil.rmtree(report.snapshot)
    assert ics.run().tables == report.tables


@pytest.mark.parametrize("difference", [-1, 1])
def test_a_row_that_the_reader_loses_or_adds_stops_the_run(
    small_ics: SmallIcs, monkeypatch: pytest.MonkeyPatch, difference: int
) -> None:
    """What was counted byte by byte and what was read must agree."""
    look = site.inspect

    def miscounting(path: Path, feed: Feed, table: Table) -> Extract:
        extract = look(path, feed, table)
        return replace(extract, rows=extract.rows + difference)

    monkeypatch.setattr(site, "inspect", miscounting)
    with pytest.raises(IntegrityError, match=rf"{10 + difference} rows were counted and 10 were read"):
        small_ics.run()
    assert small_ics.current() is None


def correct_in_place(path: Path) -> None:
    text = path.read_text()
    path.write_text(text.replace("12.5", "99.5"))


def replace_whole(path: Path) -> None:
    other = path.with_name("coming")
    shutil.copyfile(path, other)
    other.replace(path)


@pytest.mark.parametrize("change", [correct_in_place, replace_whole, Path.unlink])
def test_an_extract_that_changes_while_it_is_read_stops_the_run(
    published: Published, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    """Though as many rows are read as were counted: some passes would have seen the old ones and some the new."""
    ics, first = published
    find = hide.find

    def changing(delivery: site.Delivery) -> object:
        change(ics.extract)
        return find(delivery)

    late = ics.extract.with_name("appointment_20261121.csv")
    shutil.copyfile(ics.extract, late)
    monkeypatch.setattr(hide, "find", changing)
    with pytest.raises(
        InputError, match=r"appointment_20261120\.csv: (the file changed while it was read|cannot be read)"
    ):
        ics.run()
    assert ics.current() == first.run_id
