"""All of linking on top of the last run: every published file is that of a run from everything, as its rows and their order go."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from test_people_increments import JUNE, NAMED, stay, two_worlds, world

from increments import TABLES, World, _kept, _table
from linkage.bundle import digest
from linkage.errors import IntegrityError
from linkage.link import Before, Made, Steps, connect
from linkage.store.export import export, export_anew

MONTHS = {"event": "start", "event_code": "month"}


@dataclass
class Linked:
    """One run over a world, on top of another one or not."""

    folder: Path
    of: World
    last: Linked | None = None
    known: Before | None = None

    def __post_init__(self) -> None:
        connection = connect(Path(":memory:"), self.folder / "spill", threads=1)
        tables = [_table(self.folder / "bundle", name, self.of[name]) for name in self.of]
        self.parts = {table.name: table.parts for table in tables}
        known = self.known or (self.last.before() if self.last else None)
        write = partial(export_anew, connection, self.snapshot, metadata={})
        self.steps = Steps(connection, self.folder / "bundle", tables, known, write)
        self.steps.check()
        self.steps.settle(lambda rows: None)
        self.made = self.steps.link()
        months = {name: settled.month for name, settled in self.steps.settled.items()} | MONTHS
        for name, made in self.made.items():
            found = connection.execute(f"SELECT count(*) FROM {name}").fetchone()
            assert found == (made.rows,)
            self._write(name, made, months.get(name))
        connection.close()

    @property
    def snapshot(self) -> Path:
        return self.folder / "snapshot"

    def _write(self, name: str, made: Made, month: str | None) -> None:
        connection = self.steps.connection
        if made.relation and not (
            made.linked and not connection.execute(f"SELECT 1 FROM {made.relation} LIMIT 1").fetchall()
        ):
            export(connection, self.snapshot, name, month, {}, made.relation)
        for file in made.linked:
            assert self.last
            target = self.snapshot / file.path.relative_to(self.last.snapshot)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.hardlink_to(file.path)

    def before(self) -> Before:
        files = {name: _kept(self.snapshot, name) for name in self.made}
        return Before(
            folder=self.folder / "bundle",
            tables=self.parts,
            files=files,
            digests={file.path: digest(file.path) for each in files.values() for file in each},
            removed={name: settled.removed for name, settled in self.steps.settled.items()},
        )

    def files(self) -> Mapping[str, Any]:
        return {
            path.relative_to(self.snapshot).as_posix(): pq.ParquetFile(path).read().to_pylist()
            for path in sorted(self.snapshot.rglob("*.parquet"))
        }


def same(folder: Path, before: World, after: World) -> Linked:
    """Check the equality, and that nothing was settled from everything without need."""
    last = Linked(folder / "last", before)
    full = Linked(folder / "full", after)
    added = Linked(folder / "added", after, last)
    assert added.files() == full.files()
    ours, theirs = (
        {name: (settled.kept, settled.removed) for name, settled in run.steps.settled.items()} for run in (added, full)
    )
    assert ours == theirs
    return added


@pytest.mark.parametrize("name", NAMED)
def test_named_changes(tmp_path: Path, name: str) -> None:
    same(tmp_path, *NAMED[name])


@settings(max_examples=25, deadline=None)
@given(two_worlds())
def test_whatever_came_and_went(worlds: tuple[World, World]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        same(Path(folder), *worlds)


def test_nothing_is_settled_from_everything_without_need(tmp_path: Path) -> None:
    old = world(**{name: [(0, [{"token": 1, "key": 1}])] for name in TABLES})
    added = same(tmp_path, old, {**old, "ward_stay": [*old["ward_stay"], (1, [stay(5)])]})
    assert {settled.why for settled in added.steps.settled.values()} == {None}
    written = {name for name, made in added.made.items() if made.written}
    assert written == {"ward_stay", "event", "person"}


def test_a_register_that_is_delivered_again_says_its_rows_later(tmp_path: Path) -> None:
    """The same row of the same patient, after what another one of the same person said: it is believed again."""
    one = {"token": 1, "patient": 1, "sex": "1", "practice": "A"}
    two = {"token": 1, "patient": 2, "sex": "2", "practice": "B"}
    old = world(social_patient=[(0, [one]), (1, [two])])
    added = same(tmp_path, old, {**old, "social_patient": [(0, [one]), (1, [two]), (2, [one])]})
    assert added.files()["person/part-00000.parquet"][0]["practice"] == "A"
    assert added.made["social_patient"].relation is None


@pytest.mark.parametrize("name", ["ward_stay/month=2026-06", "event_code/feed=ward/month=2026-06", "person"])
def test_a_damaged_file_of_which_rows_are_copied_is_found(tmp_path: Path, name: str) -> None:
    """Whatever is not linked whole is held against its digest, so that no damage is published as sound."""
    old = world(ward_stay=[(0, [stay(key, key, JUNE, code_one="I21") for key in (1, 2, 3)])])
    last = Linked(tmp_path / "last", old)
    before = last.before()
    path = last.snapshot / name / "part-00000.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 1
    path.write_bytes(content)
    new = {**old, "ward_stay": [*old["ward_stay"], (1, [stay(4, 4, JUNE, code_one="I22")])]}
    with pytest.raises(IntegrityError, match=r"missing or was changed|refused a step"):
        Linked(tmp_path / "added", new, last, before)
