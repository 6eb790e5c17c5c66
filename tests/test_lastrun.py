"""Going on from the last run: what is linked, what is looked at again, and when everything is made instead."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import ALLOWED, NOW, SmallIcs, row

from linkage import config, lastrun, pipeline
from linkage.bundle import digest
from linkage.errors import IntegrityError
from linkage.lastrun import DAYS, LastRun
from linkage.link import Before, Kept
from linkage.pipeline import RunReport
from linkage.store.layout import Store
from linkage.store.manifest import File, RunManifest, SnapshotManifest


def at(ics: SmallIcs, hours: int, *, full: bool = False) -> RunReport:
    return pipeline.run(ics.configuration, now=NOW + timedelta(hours=hours), full=full)


def deliver(ics: SmallIcs, *rows: str, day: int = 21) -> None:
    path = ics.extract.with_name(f"appointment_202611{day}.csv")
    header = ics.extract.read_text().splitlines()[0]
    path.write_text("\n".join([header, *rows]) + "\n")


def files(report: RunReport) -> dict[str, Path]:
    assert report.snapshot
    return {path.relative_to(report.snapshot).as_posix(): path for path in report.snapshot.rglob("*.parquet")}


def shared(one: RunReport, other: RunReport) -> set[str]:
    """Paths of files that both snapshots have as one."""
    first, second = files(one), files(other)
    return {path for path in first if path in second and first[path].samefile(second[path])}


def test_nothing_new_shares_every_file_of_records_and_people(small_ics: SmallIcs) -> None:
    first, second = at(small_ics, 0), at(small_ics, 24)
    assert first.again == second.again == ()
    counted = {f"{table}/part-00000.parquet" for table in ("load", "removed", "coverage", "dictionary")}
    assert shared(first, second) == set(files(second)) - counted


def test_a_full_run_shares_nothing_and_publishes_the_same(small_ics: SmallIcs) -> None:
    first, second = at(small_ics, 0), at(small_ics, 24, full=True)
    assert shared(first, second) == set()
    assert {path: digest(place) for path, place in files(first).items()} == {
        path: digest(place) for path, place in files(second).items()
    }


def test_a_new_row_leaves_other_months_alone(small_ics: SmallIcs) -> None:
    first = at(small_ics, 0)
    deliver(small_ics, row(11, ALLOWED).replace("2026-05", "2026-06"))
    second = at(small_ics, 24)
    third = at(small_ics, 48, full=True)
    months = {path for path in files(second) if "month=" in path}
    assert {path for path in months if path in shared(first, second)} == {path for path in months if "2026-05" in path}
    assert {path: digest(place) for path, place in files(second).items() if "month=" in path} == {
        path: digest(place) for path, place in files(third).items() if "month=" in path
    }


def flip(path: Path) -> None:
    """One byte of the data otherwise, as a disk may do: still a Parquet file of that size."""
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 1
    path.chmod(0o640)
    path.write_bytes(content)


def test_a_damaged_file_that_has_to_be_read_stops_the_run(small_ics: SmallIcs) -> None:
    first = at(small_ics, 0)
    flip(files(first)["person/part-00000.parquet"])
    deliver(small_ics, row(11, ALLOWED))
    with pytest.raises(IntegrityError, match="current snapshot is missing or was changed") as caught:
        at(small_ics, 24)
    assert caught.value.exit_code == 6
    assert small_ics.current() == first.run_id
    assert "--full" in str(caught.value.hint)
    assert shared(at(small_ics, 25, full=True), at(small_ics, 26)) >= {"person/part-00000.parquet"}


@pytest.fixture
def kept(tmp_path: Path) -> tuple[LastRun, Kept]:
    """A last run with one file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "old" / "t" / "part-00000.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"a": list(range(1000))}), path)
    file = File(path="t/part-00000.parquet", rows=1000, bytes=path.stat().st_size, sha256=digest(path))
    before = Before(folder=tmp_path, tables={}, files={}, digests={path: file.sha256}, removed={})
    return LastRun("20261101T000000Z-aaaaaa", before, {path: file}), Kept(path, None, None, 1000)


def _run(days: int) -> str:
    return f"{datetime(2026, 11, 1, tzinfo=UTC) + timedelta(days=days):%Y%m%d}T000000Z-bbbbbb"


def test_a_file_that_rots_is_found_within_its_days(kept: tuple[LastRun, Kept], tmp_path: Path) -> None:
    last, file = kept
    flip(file.path)
    found = []
    for day in range(1, DAYS + 1):
        run = LastRun(_run(day - 1), last.before, last.known)
        try:
            run.carry([file], tmp_path / str(day), _run(day))
        except IntegrityError:
            found.append(day)
    assert len(found) == 1
    with pytest.raises(IntegrityError, match="was changed"):
        last.carry([file], tmp_path / "after a pause", _run(DAYS))
    with pytest.raises(IntegrityError, match="was changed"):
        last.carry([file], tmp_path / "by a clock that went back", _run(-1))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [cut, os.unlink])
def test_a_file_that_is_cut_or_gone_is_found_at_once(
    kept: tuple[LastRun, Kept], tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    last, file = kept
    damage(file.path)
    with pytest.raises(IntegrityError, match="missing or was changed"):
        last.carry([file], tmp_path / "new", last.run_id)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=30), st.text("abc/=", min_size=1))
def test_whenever_runs_are_each_file_has_its_turn(gaps: list[int], path: str) -> None:
    """Between two looks there are never more than the days and the gap to the next run."""
    day, since = 0, 0
    for gap in gaps:
        due = lastrun._due(_run(day), _run(day + gap))(path)
        day, since = day + gap, since + gap
        assert due or since < DAYS
        since = 0 if due else since


def test_a_volume_without_links_gets_copies(
    kept: tuple[LastRun, Kept], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(source: object, target: object) -> None:
        raise OSError("no links here")

    last, file = kept
    monkeypatch.setattr(os, "link", refused)
    last.carry([file], tmp_path / "new", _run(1))
    made = tmp_path / "new" / "t" / "part-00000.parquet"
    assert made.read_bytes() == file.path.read_bytes()
    assert not made.samefile(file.path)


def nothing_held(ics: SmallIcs, report: RunReport) -> None:
    shutil.rmtree(ics.folder / "private" / "held")


def another_version(ics: SmallIcs, report: RunReport) -> None:
    path = ics.folder / "private" / "runs" / f"{report.run_id}.json"
    path.write_text(path.read_text().replace('"tool_version": "', '"tool_version": "0.'))


def no_account(ics: SmallIcs, report: RunReport) -> None:
    (ics.folder / "private" / "runs" / f"{report.run_id}.json").unlink()


def a_changed_manifest(ics: SmallIcs, report: RunReport) -> None:
    assert report.snapshot
    path = report.snapshot / "manifest.json"
    path.chmod(0o640)
    path.write_text(path.read_text() + "\n")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (nothing_held, "no bundle"),
        (another_version, "another version"),
        (no_account, "the account of the last run is missing"),
        (a_changed_manifest, "the current snapshot is missing or was changed"),
    ],
)
def test_without_a_usable_last_run_everything_is_made(
    small_ics: SmallIcs, spoil: Callable[[SmallIcs, RunReport], None], why: str
) -> None:
    first = at(small_ics, 0)
    assert first.snapshot
    made = SnapshotManifest.model_validate_json((first.snapshot / "manifest.json").read_bytes())
    spoil(small_ics, first)
    configuration = config.load(small_ics.configuration)
    private = small_ics.folder / "private"
    found, said = lastrun.find(configuration, Store(small_ics.store), private, made.domain, made.key_id)
    assert found is None
    assert why in said
    again = at(small_ics, 24)
    assert shared(first, again) == set()
    account = RunManifest.model_validate_json((private / "runs" / f"{again.run_id}.json").read_bytes())
    assert why in str(account.full)


def test_another_key_has_no_last_run(small_ics: SmallIcs) -> None:
    at(small_ics, 0)
    configuration, private = config.load(small_ics.configuration), small_ics.folder / "private"
    assert "the key changed" in lastrun.find(configuration, Store(small_ics.store), private, "ics:test", "another")[1]
    assert "nothing was published" in lastrun.find(configuration, Store(small_ics.folder), private, "ics:test", "x")[1]
