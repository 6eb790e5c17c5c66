"""Disk space: a run that cannot fit is refused before it begins, and what a run took is told."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
from small import NOW, SmallIcs

from linkage import pipeline
from linkage.cli.run import disk
from linkage.errors import TemporaryError
from linkage.nights import space
from linkage.nights.space import Peak, readable, size


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def has_free(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 40, 0, free))


def account(ics: SmallIcs) -> Path:
    return ics.folder / "private" / "runs" / f"{ics.current()}.json"


def say(ics: SmallIcs, **values: object) -> None:
    """Change what the last run is known to have taken."""
    said = json.loads(account(ics).read_text())
    said["disk"] |= values
    account(ics).write_text(json.dumps(said))


def test_a_run_tells_what_it_took(small_ics: SmallIcs) -> None:
    report = small_ics.run()
    used, snapshot = report.disk, report.snapshot
    assert used is not None
    assert snapshot is not None
    assert used.work_bytes >= used.snapshot_bytes > 0
    assert used.added_bytes == used.snapshot_bytes == used.store_bytes
    assert used.full
    assert used.full_input_bytes == small_ics.extract.stat().st_size
    assert abs(size(snapshot) - used.snapshot_bytes) <= 64 << 10
    assert disk(used).startswith("the run worked in ")
    assert json.loads(account(small_ics).read_text())["disk"] == used.model_dump()


def test_a_run_that_cannot_fit_is_refused_with_both_figures(
    small_ics: SmallIcs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And with what to do; the working folder is gone, and the last snapshot is what readers see."""
    first = small_ics.run()
    say(small_ics, full_work_bytes=3 << 30)
    has_free(monkeypatch, 2 << 30)
    with pytest.raises(
        TemporaryError, match=r"2\.0 GiB are free on the volume of .*, and the run needs some 3\.0 GiB"
    ) as no:
        full(small_ics)
    assert first.run_id in no.value.message
    assert "larger volume" in no.value.hint
    assert no.value.exit_code == 75
    assert small_ics.current() == first.run_id
    assert not list(small_ics.store.glob(".staging-*"))
    has_free(monkeypatch, 4 << 30)
    full(small_ics)


def full(ics: SmallIcs) -> None:
    """A run that makes everything anew."""
    (outcome,) = pipeline.run_all([ics.configuration], now=NOW, full=True)
    if outcome.error is not None:
        raise outcome.error


def test_more_extracts_need_more(small_ics: SmallIcs, monkeypatch: pytest.MonkeyPatch) -> None:
    small_ics.run()
    say(small_ics, full_work_bytes=1 << 30)
    has_free(monkeypatch, 3 << 30)
    text = small_ics.extract.read_text()
    header, rows = text.split("\n", 1)
    small_ics.extract.with_name("appointment_20261121.csv").write_text(header + "\n" + 9 * rows)
    with pytest.raises(TemporaryError, match="needs some"):
        full(small_ics)


def test_an_increment_that_fits_only_warns_of_a_full_run(
    small_ics: SmallIcs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is refused is what cannot be, and not what may have to be some other night."""
    small_ics.run()
    small_ics.run()
    say(small_ics, full=False, work_bytes=1 << 20, full_work_bytes=3 << 30)
    has_free(monkeypatch, 2 << 30)
    assert small_ics.run().disk is not None
    assert (
        "warning: a run that makes everything anew needs some 3.0 GiB, and 2.0 GiB are free" in capsys.readouterr().err
    )


def test_what_is_linked_from_an_earlier_snapshot_takes_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "old").write_bytes(b"x" * 10_000)
    (tmp_path / "b").mkdir()
    os.link(tmp_path / "a" / "old", tmp_path / "b" / "old")
    (tmp_path / "b" / "new").write_bytes(b"x" * 5_000)
    assert size(tmp_path / "b", own=True) < 10_000 <= size(tmp_path / "a") < size(tmp_path / "b")
    assert size(tmp_path) == size(tmp_path / "b")


def test_the_most_that_a_folder_held_is_what_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "EVERY", 0.01)
    with Peak(tmp_path).watching() as peak:
        (tmp_path / "spilt").write_bytes(b"x" * (1 << 20))
        peak.measure()
        (tmp_path / "spilt").unlink()
        peak.measure()
    assert peak.bytes >= 1 << 20


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 bytes"), (1023, "1,023 bytes"), (1536, "1.5 KiB"), (250 << 20, "250 MiB"), (5 << 50, "5,120 TiB")],
)
def test_sizes_are_said_in_words(count: int, words: str) -> None:
    assert readable(count) == words
