"""What operators and analysts can see of past runs, and going back to one of them."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from small import ALLOWED, NOW, OPTED_OUT, SmallIcs, make_small_ics, row
from typer.testing import CliRunner

from linkage import binding, config, pipeline
from linkage.cli import app
from linkage.errors import ConfigurationError, InputError, IntegrityError, LinkageError, PolicyError, TemporaryError
from linkage.nights import history, operations, rollback
from linkage.pipeline import RunReport
from linkage.purpose import Population
from linkage.store.layout import Store
from linkage.store.lock import hold
from linkage.store.open import open_store
from restored import Restored


def at(ics: SmallIcs, hours: int) -> RunReport:
    """A run some hours later."""
    return pipeline.run(ics.configuration, now=NOW + timedelta(hours=hours))


def deliver(ics: SmallIcs, *rows: str, day: int = 21) -> Path:
    """One more extract."""
    path = ics.extract.with_name(f"appointment_202611{day}.csv")
    header = ics.extract.read_text().splitlines()[0]
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def say(*words: object) -> str:
    """What a command prints."""
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


Twice = tuple[SmallIcs, RunReport, RunReport]


def two_runs(folder: Path, *rows: str) -> tuple[Restored, RunReport, RunReport]:
    """Two runs, a day apart; the second took these rows more. Each test has them as they were."""
    folder.mkdir()
    ics = make_small_ics(folder)
    first = at(ics, 0)
    if rows:
        deliver(ics, *rows)
    second = at(ics, 24)
    return Restored.of(folder), first, second


@pytest.fixture(scope="module")
def made_twice(tmp_path_factory: pytest.TempPathFactory) -> tuple[Restored, RunReport, RunReport]:
    return two_runs(tmp_path_factory.mktemp("twice") / "ics", row(11, ALLOWED), row(12, "1234567890"))


@pytest.fixture
def twice(made_twice: tuple[Restored, RunReport, RunReport]) -> Twice:
    """Two runs; the second took one extract more."""
    restored, *reports = made_twice
    return SmallIcs(restored.again()), *reports


@pytest.fixture(scope="module")
def made_the_same(tmp_path_factory: pytest.TempPathFactory) -> tuple[Restored, RunReport, RunReport]:
    return two_runs(tmp_path_factory.mktemp("same") / "ics")


@pytest.fixture
def same(made_the_same: tuple[Restored, RunReport, RunReport]) -> Twice:
    """Two runs over the same extract."""
    restored, *reports = made_the_same
    return SmallIcs(restored.again()), *reports


def test_runs_are_listed_with_what_they_read_and_when_they_go(twice: Twice) -> None:
    ics, first, second = twice
    lines = say("runs", "list", ics.configuration).splitlines()
    assert lines[0].split() == ["run", "started", "read", "published", "extracts", "new", "state"]
    assert [" ".join(line.split()) for line in lines[1:]] == [
        f"{first.run_id} 2026-11-24 06:00 10 4 1 1 kept, goes in 2 runs, full: nothing was published yet",
        f"{second.run_id} 2026-11-25 06:00 12 5 2 1 current, goes in 3 runs",
    ]


def test_why_a_run_was_full_is_told(twice: Twice) -> None:
    """Asked for, or because what could be gone on from is not that of the current snapshot."""
    ics, first, _ = twice
    assert pipeline.run_all([ics.configuration], now=NOW + timedelta(hours=25), full=True)[0].error is None
    rollback.rollback(ics.configuration, first.run_id, reference="a test", now=NOW)
    at(ics, 26)
    told = [(each["full"], each["made_again"]) for each in listed(ics)]
    assert [full for full, _ in told[:3]] == ["nothing was published yet", None, "it was asked for"]
    assert told[3][0] not in (None, "it was asked for")
    assert "taken sus_op appointment: 1 new, 1 stood" in say("runs", "show", ics.configuration, listed(ics)[1]["run"])


def test_when_a_run_goes_is_when_it_is_removed(small_ics: SmallIcs) -> None:
    """The promise of the list, kept by the runs that follow, also after going back to an old one."""
    small_ics.replace('path = "store"', 'path = "store"\nkeep = 2')
    for hours in range(2):
        at(small_ics, hours)
    rollback.rollback(small_ics.configuration, history_of(small_ics).names[0], reference="a test", now=NOW)
    for hours in range(2, 6):
        promised = {each["run"]: each["goes_in"] for each in listed(small_ics) if each["state"] != "gone"}
        new = at(small_ics, hours).run_id
        left = {path.name for path in small_ics.store.glob("snapshots/*")}
        assert left == {name for name, goes_in in promised.items() if goes_in > 1} | {new}


def history_of(ics: SmallIcs) -> history.History:
    return history.of_purpose(config.load(ics.configuration))


def listed(ics: SmallIcs) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(say("runs", "list", ics.configuration, "--json"))
    return found


def test_the_account_of_a_run_stays_when_its_snapshot_has_gone(small_ics: SmallIcs) -> None:
    """Retention removes data; what was published remains known, and who removed it when."""
    small_ics.replace('path = "store"', 'path = "store"\nkeep = 1')
    names = [at(small_ics, hours).run_id for hours in range(3)]
    assert [(each["run"], each["state"]) for each in listed(small_ics)] == [
        (names[0], "gone"), (names[1], "gone"), (names[2], "current"),
    ]  # fmt: skip
    done = operations.read(small_ics.folder / "private")
    assert [(each.what, each.run) for each in done] == [("removed", names[0]), ("removed", names[1])]
    assert {path.name for path in (small_ics.folder / "private" / "roster").iterdir()} == {names[2]}


def test_retention_by_age_is_said_and_done(small_ics: SmallIcs) -> None:
    small_ics.replace('controllers = ["nobody"]', 'controllers = ["nobody"]\nretention = { days = 2 }')
    first = at(small_ics, 0)
    assert listed(small_ics)[0]["goes_from"] == "2026-11-26"
    second = at(small_ics, 24)
    assert [each["state"] for each in listed(small_ics)] == ["kept", "current"]
    third = at(small_ics, 49)
    assert [(each["run"], each["state"]) for each in listed(small_ics)] == [
        (first.run_id, "gone"), (second.run_id, "kept"), (third.run_id, "current"),
    ]  # fmt: skip


def test_analysts_are_told_the_same_with_small_numbers_withheld(twice: Twice) -> None:
    """By what the store holds alone."""
    ics, first, second = twice
    shutil.rmtree(ics.folder / "private")
    told = json.loads(say("runs", "list", "--store", ics.store, "--json"))
    assert [(each["run"], each["state"]) for each in told] == [(first.run_id, "kept"), (second.run_id, "current")]
    assert {each["published"] for each in told} == {None}
    text = say("runs", "show", "--store", ics.store, second.run_id)
    assert "withheld number_missing" in text
    assert "appointment_2026" not in text
    difference = json.loads(say("runs", "diff", "--store", ics.store, "--json"))
    assert difference["extracts_taken"] == []
    assert {each["name"]: (each["before"], each["after"]) for each in difference["tables"]} == {
        "event": (4, 5), "sus_op_appointment": (4, 5),
    }  # fmt: skip


def test_one_run_is_shown_whole(twice: Twice) -> None:
    ics, _, second = twice
    text = say("runs", "show", ics.configuration)
    assert text.startswith(f"run            {second.run_id}\n")
    assert "sus_op appointment: 12 read, 5 published" in text
    assert re.search(r"^ +2 number_check_digit$", text, re.MULTILINE)
    assert re.search(r"^ +2 sus_op appointment appointment_20261121\.csv, 2026-11-21, 4 days old", text, re.MULTILINE)
    assert re.search(r"^ +1 national_allowed r\.dat, 2026-11-23, 2 days old$", text, re.MULTILINE)
    assert re.search(r"^ +\d\.\d preparing, ", text, re.MULTILINE)
    found = json.loads(say("runs", "show", ics.configuration, second.run_id[-6:], "--json"))
    assert found["account"]["snapshot"]["run_id"] == second.run_id


def test_two_runs_are_compared(twice: Twice) -> None:
    ics, first, second = twice
    text = say("runs", "diff", ics.configuration, first.run_id, second.run_id)
    assert text.splitlines()[0] == f"{first.run_id} -> {second.run_id}"
    assert re.search(r"^ +\+1 sus_op_appointment: 4 -> 5$", text, re.MULTILINE)
    assert re.search(r"^ +\+1 number_check_digit: 1 -> 2$", text, re.MULTILINE)
    assert re.search(r"^extracts taken:\n +2 sus_op appointment appointment_20261121\.csv$", text, re.MULTILINE)
    assert "sus_op appointment: 10 -> 12 rows" in text
    backwards = json.loads(say("runs", "diff", ics.configuration, second.run_id, first.run_id, "--json"))
    assert [each["file"] for each in backwards["extracts_gone"]] == ["appointment_20261121.csv"]
    assert "nothing differs" in say("runs", "diff", ics.configuration, first.run_id, first.run_id)


def test_a_changed_configuration_and_register_are_told(twice: Twice) -> None:
    ics, _, _ = twice
    ics.replace('name = "test"', 'name = "another"')
    ics.answer.with_suffix(".ctl").write_text(
        "<DTSControl><StatusRecord><DateTime>20261125060000</DateTime></StatusRecord></DTSControl>"
    )
    at(ics, 25)
    text = say("runs", "diff", ics.configuration)
    assert "purpose: test -> another" in text
    assert "configuration: " in text


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ((), "no purpose is named"),
        (("{toml}", "x", "y", "z"), "3 runs are named"),
        (("{toml}", "nothing"), "no run is known"),
        (("{toml}", "2026"), "several runs"),
    ],
)
def test_what_cannot_be_shown_is_said(twice: Twice, words: tuple[str, ...], problem: str) -> None:
    ics, _, _ = twice
    with pytest.raises(LinkageError, match=problem):
        CliRunner().invoke(
            app, ["runs", "diff", *(word.format(toml=ics.configuration) for word in words)], catch_exceptions=False
        )


def test_a_damaged_account_is_named_and_the_others_are_shown(twice: Twice) -> None:
    ics, first, second = twice
    (ics.folder / "private" / "runs" / f"{first.run_id}.json").write_text("{")
    lines = say("runs", "list", ics.configuration).splitlines()
    assert lines[1] == f"{first.run_id}  damaged"
    assert lines[2].startswith(second.run_id)
    with pytest.raises(IntegrityError, match="damaged"):
        history_of(ics).find(first.run_id)


def test_before_the_first_run_there_is_nothing(small_ics: SmallIcs) -> None:
    assert say("runs", "list", small_ics.configuration) == "nothing has been published\n"
    with pytest.raises(InputError, match="nothing has been published"):
        rollback.rollback(small_ics.configuration, "x", now=NOW)


def people(ics: SmallIcs) -> tuple[str, int]:
    with open_store(ics.store) as connection:
        return ics.current() or "", (connection.execute("SELECT count(*) FROM event").fetchone() or (0,))[0]


def test_an_earlier_snapshot_can_be_current_again_and_the_later_one_after_it(same: Twice) -> None:
    """Where nothing was learnt in between no document is needed, and nothing is lost in either direction."""
    small_ics, first, second = same
    text = say("rollback", small_ics.configuration, first.run_id)
    assert f"current now: {first.run_id}" in text
    assert f"to undo it: linkage rollback {small_ics.configuration} {second.run_id}" in text
    assert people(small_ics) == (first.run_id, 4)
    say("rollback", small_ics.configuration, second.run_id)
    assert people(small_ics) == (second.run_id, 4)
    done = operations.read(small_ics.folder / "private")
    assert [(each.what, each.run, each.before) for each in done] == [
        ("rolled back", first.run_id, second.run_id), ("rolled back", second.run_id, first.run_id),
    ]  # fmt: skip
    assert all(each.user and each.host for each in done)
    assert at(small_ics, 48).tables == first.tables


def unnamed(ics: SmallIcs) -> ConfigurationError:
    """What `linkage rollback` says where no run is named."""
    with pytest.raises(ConfigurationError) as refused:
        CliRunner().invoke(app, ["rollback", str(ics.configuration)], catch_exceptions=False)
    assert refused.value.exit_code == 2
    return refused.value


def test_where_no_run_is_named_those_are_that_there_are(small_ics: SmallIcs) -> None:
    """At night nobody should have to look for them; the current one is not among them, nor one that is gone."""
    assert "no run is kept" in unnamed(small_ics).message
    gone, *runs = [at(small_ics, hours).run_id for hours in range(4)]
    error = unnamed(small_ics)
    assert error.message.endswith(f"the newest first: {runs[1]}, {runs[0]}")
    assert gone not in error.message
    assert f"linkage rollback {small_ics.configuration} {runs[1]}" in error.hint


def deliver_more(ics: SmallIcs) -> None:
    deliver(ics, row(11, ALLOWED))


def change_the_configuration(ics: SmallIcs) -> None:
    ics.replace('name = "test"', 'name = "narrower"')


def answer_again(ics: SmallIcs) -> None:
    """The one person in the snapshot has said no."""
    ics.answer.write_text(f"{OPTED_OUT},\n")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            deliver_more,
            "took 1 extract that may tell of opt-outs, first appointment_20261121.csv of sus_op appointment",
        ),
        (answer_again, "used 1 file of a register that it did not know, first national_allowed"),
        (change_the_configuration, "the configuration has changed"),
    ],
)
def test_what_was_learnt_since_needs_a_document(
    small_ics: SmallIcs, change: Callable[[SmallIcs], None], why: str
) -> None:
    """Somebody in the old snapshot may have said no since."""
    first = at(small_ics, 0)
    change(small_ics)
    second = at(small_ics, 24)
    with pytest.raises(PolicyError, match=why) as refused:
        rollback.rollback(small_ics.configuration, first.run_id, now=NOW)
    assert "--reference" in refused.value.hint
    assert small_ics.current() == second.run_id
    assert operations.read(small_ics.folder / "private") == []
    done = rollback.rollback(small_ics.configuration, first.run_id, reference="IG/2026/17", now=NOW)
    assert small_ics.current() == first.run_id
    assert any(re.search(why, each) for each in done.reasons)
    (noted,) = operations.read(small_ics.folder / "private")
    assert (noted.reference, noted.reasons) == ("IG/2026/17", done.reasons)


def list_practices(ics: SmallIcs, *lines: str) -> None:
    """Practices that do not share, with their first and last day."""
    (ics.folder / "practices.csv").write_text(
        "\n".join(["not_sharing_ods_code,from,to,note", *lines, f"end,{len(lines)},{NOW:%Y-%m-%d}"]) + "\n"
    )


@pytest.mark.parametrize(
    ("line", "needed"),
    [
        ("Z99001,2026-11-25,,", True),
        ("Z99001,2026-11-25,2026-11-25,", True),
        ("Z99001,2026-11-24,,", False),
        ("Z99001,2026-11-27,,", False),
        ("Z99001,,2026-11-24,", False),
    ],
)
def test_a_day_that_a_list_spoke_of_and_that_has_come_needs_a_document(
    small_ics: SmallIcs, line: str, needed: bool
) -> None:
    """The list is the same file for both runs, and keeps more out for the second."""
    small_ics.replace("[[flows]]", '[optouts.practices]\nlist = "practices.csv"\n[[flows]]')
    list_practices(small_ics, line)
    first = at(small_ics, 0)
    at(small_ics, 48)
    if needed:
        with pytest.raises(PolicyError, match="fewer may be used since 2026-11-25"):
            rollback.rollback(small_ics.configuration, first.run_id, now=NOW + timedelta(days=2))
    reference = "IG/19" if needed else ""
    rollback.rollback(small_ics.configuration, first.run_id, reference=reference, now=NOW + timedelta(days=2))
    assert small_ics.current() == first.run_id


def test_a_list_that_cannot_be_believed_needs_a_document(small_ics: SmallIcs) -> None:
    """Nobody knows what it keeps out."""
    small_ics.replace("[[flows]]", '[optouts.practices]\nlist = "practices.csv"\n[[flows]]')
    list_practices(small_ics)
    first = at(small_ics, 0)
    at(small_ics, 24)
    (small_ics.folder / "practices.csv").unlink()
    with pytest.raises(PolicyError, match=r"practices\.csv"):
        rollback.rollback(small_ics.configuration, first.run_id, now=NOW)
    assert rollback.rollback(small_ics.configuration, first.run_id, reference="IG/20", now=NOW).reasons


def test_people_who_grew_too_old_need_a_document(small_ics: SmallIcs) -> None:
    """Whom a purpose covers is counted on the day of a run."""
    found = config.load(small_ics.configuration)
    covers = found.purpose.model_copy(update={"population": Population(max_age=17)})
    young = found.model_copy(update={"purpose": covers})
    assert binding.fewer_from(young, NOW.date(), NOW) == (NOW + timedelta(days=1)).date()
    assert binding.fewer_from(found, NOW.date(), NOW) is None


def change_an_account(ics: SmallIcs, name: str, **values: object) -> None:
    """As a run would have written it that found something else."""
    path = ics.folder / "private" / "runs" / f"{name}.json"
    said = json.loads(path.read_text())
    said["snapshot"] |= {key: value for key, value in values.items() if key in said["snapshot"]}
    said |= {key: value for key, value in values.items() if key in said}
    path.write_text(json.dumps(said))


def test_late_opt_outs_and_changed_contracts_and_tools_need_a_document(same: Twice) -> None:
    """None of them leaves a register or an extract behind."""
    small_ics, first, second = same
    feeds = json.loads((small_ics.folder / "private" / "runs" / f"{second.run_id}.json").read_text())["snapshot"][
        "feeds"
    ]
    changed = [{**feed, "contract_digest": "another"} for feed in feeds]
    for name, values, why in (
        (second.run_id, {"from_held": first.run_id}, "took late opt-outs out of what is held"),
        (second.run_id, {"from_held": None, "feeds": changed}, "the contract of sus_op has changed"),
        (first.run_id, {"tool_version": "0.0.1"}, r"made by linkage 0\.0\.1"),
    ):
        change_an_account(small_ics, name, **values)
        with pytest.raises(PolicyError, match=why):
            rollback.rollback(small_ics.configuration, first.run_id, now=NOW)
    assert small_ics.current() == second.run_id


def test_a_missing_account_in_between_needs_a_document(same: Twice) -> None:
    """Nobody can tell what that run knew."""
    small_ics, first, second = same
    (small_ics.folder / "private" / "runs" / f"{second.run_id}.json").unlink()
    with pytest.raises(PolicyError, match="came later, is missing or damaged"):
        rollback.rollback(small_ics.configuration, first.run_id, now=NOW)


def change_a_file(place: Path) -> None:
    path = next(place.rglob("event/**/*.parquet"))
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def lose_a_file(place: Path) -> None:
    path = next(place.rglob("event/**/*.parquet"))
    path.parent.chmod(0o700)
    path.unlink()


def change_the_manifest(place: Path) -> None:
    path = place / "manifest.json"
    path.chmod(0o600)
    path.write_text(path.read_text() + "\n")


def change_the_database(place: Path) -> None:
    path = place / "linked.duckdb"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes() + b"x")


@pytest.mark.parametrize("damage", [change_a_file, lose_a_file, change_the_manifest, change_the_database])
def test_a_damaged_snapshot_is_not_gone_back_to(same: Twice, damage: Callable[[Path], None]) -> None:
    small_ics, first, second = same
    damage(small_ics.store / "snapshots" / first.run_id)
    with pytest.raises(IntegrityError, match="is missing or was changed"):
        rollback.rollback(small_ics.configuration, first.run_id, now=NOW)
    assert small_ics.current() == second.run_id


def test_without_its_roster_a_run_is_not_gone_back_to(same: Twice) -> None:
    small_ics, first, second = same
    (small_ics.folder / "private" / "roster" / first.run_id / "entries.arrow.age").unlink()
    with pytest.raises(IntegrityError, match="the roster of that run is not there"):
        rollback.rollback(small_ics.configuration, first.run_id, now=NOW)
    assert small_ics.current() == second.run_id


def test_what_is_gone_or_current_is_refused(small_ics: SmallIcs) -> None:
    small_ics.replace('path = "store"', 'path = "store"\nkeep = 1')
    first, second = at(small_ics, 0), at(small_ics, 24)
    for name, problem in ((first.run_id, "its snapshot is gone"), (second.run_id, "current snapshot already")):
        with pytest.raises(InputError, match=problem):
            rollback.rollback(small_ics.configuration, name, now=NOW)


def test_what_retention_would_remove_is_refused(small_ics: SmallIcs) -> None:
    """Also with a document: that is another one."""
    small_ics.replace('controllers = ["nobody"]', 'controllers = ["nobody"]\nretention = { days = 2 }')
    first = at(small_ics, 0)
    at(small_ics, 24)
    with pytest.raises(PolicyError, match="retention"):
        rollback.rollback(small_ics.configuration, first.run_id, reference="x", now=NOW + timedelta(days=3))


def test_a_purpose_that_has_ended_is_not_gone_back_to(small_ics: SmallIcs) -> None:
    small_ics.replace('name = "test"', 'name = "test"\nends = 2026-11-30')
    first, second = at(small_ics, 0), at(small_ics, 24)
    with pytest.raises(PolicyError, match="ended"):
        rollback.rollback(small_ics.configuration, first.run_id, reference="x", now=NOW + timedelta(days=30))
    assert small_ics.current() == second.run_id


def test_a_run_at_the_same_time_keeps_the_store(twice: Twice) -> None:
    ics, first, second = twice
    with hold(Store(ics.store)), pytest.raises(TemporaryError):
        rollback.rollback(ics.configuration, first.run_id, reference="x", now=NOW)
    assert ics.current() == second.run_id


def test_the_next_run_takes_the_same_extracts(twice: Twice) -> None:
    ics, first, second = twice
    rollback.rollback(ics.configuration, first.run_id, reference="x", now=NOW)
    third = at(ics, 48)
    assert third.tables == second.tables
    assert third.removed == second.removed


def test_an_extract_that_left_its_folder_is_missed(twice: Twice) -> None:
    """What it said of opt-outs is in no roster that the next run starts from."""
    ics, first, _ = twice
    rollback.rollback(ics.configuration, first.run_id, reference="x", now=NOW)
    bad = ics.extract.with_name("appointment_20261121.csv")
    kept = bad.read_text()
    bad.unlink()
    with pytest.raises(PolicyError, match=r"appointment_20261121\.csv of sus_op appointment: taken by a run that was"):
        at(ics, 48)
    assert ics.current() == first.run_id
    bad.write_text(kept.replace("1234567890", ALLOWED))
    assert at(ics, 49).tables["event"] == 6


def test_an_extract_may_be_left_out_by_a_document(twice: Twice) -> None:
    ics, first, _ = twice
    bad = ics.extract.with_name("appointment_20261121.csv")
    with pytest.raises(InputError, match="no later run has taken"):
        rollback.rollback(ics.configuration, first.run_id, reference="x", without=["other.csv"], now=NOW)
    rollback.rollback(ics.configuration, first.run_id, reference="x", now=NOW)
    with pytest.raises(PolicyError, match=r"the next run forgets what appointment_20261121\.csv said"):
        rollback.rollback(ics.configuration, first.run_id, without=[bad.name], now=NOW)
    rollback.rollback(ics.configuration, first.run_id, reference="IG/18", without=[bad.name], now=NOW)
    bad.unlink()
    assert at(ics, 48).tables == first.tables


def test_a_rename_that_fails_changes_nothing(same: Twice, monkeypatch: pytest.MonkeyPatch) -> None:
    small_ics, first, second = same
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(5, "broken")))
        patched.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(5, "broken")))
        with pytest.raises(TemporaryError, match="the disk could not be"):
            rollback.rollback(small_ics.configuration, first.run_id, now=NOW)
    assert small_ics.current() == second.run_id
    assert rollback.rollback(small_ics.configuration, first.run_id, now=NOW).before == second.run_id


@pytest.mark.parametrize("rest", ['{"at": "2026\n', '{"at": "2026', ""])
def test_a_line_that_was_cut_short_hides_no_other(tmp_path: Path, rest: str) -> None:
    """Neither the one before it nor the one after."""
    operations.record(tmp_path, "removed", "a")
    with (tmp_path / "operations.jsonl").open("a") as file:
        file.write(rest)
    operations.record(tmp_path, "removed", "b")
    assert operations.removed(tmp_path) == {"a", "b"}
    assert (tmp_path / "operations.jsonl").stat().st_mode & 0o077 == 0


def test_a_run_that_made_everything_anew_says_why(small_ics: SmallIcs) -> None:
    at(small_ics, 0)
    shutil.rmtree(small_ics.folder / "private" / "held")
    second = at(small_ics, 24)
    assert "made anew      nothing of the last run is held" in say(
        "runs", "show", small_ics.configuration, second.run_id
    )
